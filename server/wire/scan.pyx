"""See `scan.pxd`."""

from libc.string cimport memset

from server.wire.text cimport plain, skip_blanks


cdef inline const uint8_t* failed(Scan* scan, int fault, const uint8_t* at) noexcept nogil:
    scan.fault = FAULT_END if at >= scan.end else fault
    scan.at = at
    return NULL


cdef inline int hex_digit(uint8_t text) noexcept nogil:
    if c'0' <= text <= c'9':
        return text - c'0'
    text |= 0x20
    if c'a' <= text <= c'f':
        return text - c'a' + 10
    return -1


cdef int hex4(const uint8_t* p) noexcept nogil:
    """Four hex digits as a number, or -1. Stops at the first that is none."""
    cdef int index, digit, value = 0
    for index in range(4):
        digit = hex_digit(p[index])
        if digit < 0:
            return -1
        value = value << 4 | digit
    return value


cdef int utf8_length(const uint8_t* p) noexcept nogil:
    """Bytes of the character at `p` (0x80 … 0xFF), or 0: overlong forms, surrogates and what is beyond U+10FFFF are
    not UTF-8."""
    cdef uint8_t first = p[0]
    cdef uint8_t second = p[1]
    if first < 0xC2:
        return 0
    if first < 0xE0:
        return 2 if second & 0xC0 == 0x80 else 0
    if first < 0xF0:
        if second & 0xC0 != 0x80 or (first == 0xE0 and second < 0xA0) or (first == 0xED and second > 0x9F):
            return 0
        return 3 if p[2] & 0xC0 == 0x80 else 0
    if first > 0xF4:
        return 0
    if second & 0xC0 != 0x80 or (first == 0xF0 and second < 0x90) or (first == 0xF4 and second > 0x8F):
        return 0
    return 4 if p[2] & 0xC0 == 0x80 and p[3] & 0xC0 == 0x80 else 0


cdef const uint8_t* scan_string(const uint8_t* p, Scan* scan) noexcept nogil:
    cdef const uint8_t* start = p
    cdef int unit, length
    p += 1
    while True:
        while True:
            length = <int>plain(p)
            p += length
            if length < 16:
                break
        if p >= scan.end:
            return failed(scan, FAULT_END, scan.end)
        if p[0] == c'"':
            return p + 1
        if p[0] == c'\\':
            if p[1] == c'u':
                unit = hex4(p + 2)
                if unit < 0:
                    return failed(scan, FAULT_ESCAPE, p)
                if unit < 0x20 or unit == 0x7F:
                    return failed(scan, FAULT_CONTROL, p)
                if 0xD800 <= unit < 0xE000:
                    if unit >= 0xDC00 or p[6] != c'\\' or p[7] != c'u' or not 0xDC00 <= hex4(p + 8) < 0xE000:
                        return failed(scan, FAULT_ESCAPE, p)
                    p += 6
                p += 6
            elif p[1] == c'"' or p[1] == c'\\' or p[1] == c'/':
                p += 2
            elif p[1] == c'b' or p[1] == c'f' or p[1] == c'n' or p[1] == c'r' or p[1] == c't':
                return failed(scan, FAULT_CONTROL, p)
            else:
                return failed(scan, FAULT_ESCAPE, p + 1 if p + 1 >= scan.end else p)
        elif p[0] < 0x20 or p[0] == 0x7F:
            return failed(scan, FAULT_CONTROL, p)
        else:
            length = utf8_length(p)
            if length == 0:
                return failed(scan, FAULT_UTF8, p)
            p += length


cdef inline bint is_digit(uint8_t text) noexcept nogil:
    return c'0' <= text <= c'9'


cdef const uint8_t* scan_number(const uint8_t* p, Scan* scan) noexcept nogil:
    if p[0] == c'-':
        p += 1
    if p[0] == c'0':
        p += 1
    elif is_digit(p[0]):
        while is_digit(p[0]):
            p += 1
    else:
        return failed(scan, FAULT_SYNTAX, p)
    if p[0] == c'.':
        p += 1
        if not is_digit(p[0]):
            return failed(scan, FAULT_SYNTAX, p)
        while is_digit(p[0]):
            p += 1
    if p[0] == c'e' or p[0] == c'E':
        p += 1
        if p[0] == c'+' or p[0] == c'-':
            p += 1
        if not is_digit(p[0]):
            return failed(scan, FAULT_SYNTAX, p)
        while is_digit(p[0]):
            p += 1
    return p


cdef const uint8_t* scan_value(const uint8_t* p, int depth, Scan* scan) noexcept nogil:
    cdef uint8_t close
    p = skip_blanks(p)
    if p >= scan.end:
        return failed(scan, FAULT_END, scan.end)
    if p[0] == c'"':
        return scan_string(p, scan)
    if p[0] == c'{' or p[0] == c'[':
        if depth >= DEPTH_MAX:
            return failed(scan, FAULT_DEPTH, p)
        close = c'}' if p[0] == c'{' else c']'
        p = skip_blanks(p + 1)
        if p[0] == close:
            return p + 1
        while True:
            if close == c'}':
                p = skip_blanks(p)
                if p[0] != c'"':
                    return failed(scan, FAULT_SYNTAX, p)
                p = scan_string(p, scan)
                if p is NULL:
                    return NULL
                p = skip_blanks(p)
                if p[0] != c':':
                    return failed(scan, FAULT_SYNTAX, p)
                p += 1
            p = scan_value(p, depth + 1, scan)
            if p is NULL:
                return NULL
            p = skip_blanks(p)
            if p[0] == close:
                return p + 1
            if p[0] != c',':
                return failed(scan, FAULT_SYNTAX, p)
            p += 1
    if p[0] == c't':
        if p[1] == c'r' and p[2] == c'u' and p[3] == c'e':
            return p + 4
    elif p[0] == c'f':
        if p[1] == c'a' and p[2] == c'l' and p[3] == c's' and p[4] == c'e':
            return p + 5
    elif p[0] == c'n':
        if p[1] == c'u' and p[2] == c'l' and p[3] == c'l':
            return p + 4
    else:
        return scan_number(p, scan)
    return failed(scan, FAULT_SYNTAX, p)


cdef const uint8_t* skip_value(const uint8_t* p) noexcept nogil:
    cdef int depth = 0
    p = skip_blanks(p)
    while True:
        if p[0] == c'"':
            p += 1
            while p[0] != c'"':
                p += 2 if p[0] == c'\\' else 1
            p += 1
        elif p[0] == c'{' or p[0] == c'[':
            depth += 1
            p += 1
        elif p[0] == c'}' or p[0] == c']':
            depth -= 1
            p += 1
        elif p[0] == c',' or p[0] == c':' or p[0] == c' ' or p[0] == c'\t' or p[0] == c'\r':
            p += 1
            continue
        else:
            while not (p[0] == c',' or p[0] == c':' or p[0] == c'}' or p[0] == c']'
                       or p[0] == c' ' or p[0] == c'\t' or p[0] == c'\r' or p[0] == c'\n' or p[0] == 0):
                p += 1
        if depth == 0:
            return p


cdef int unescape(const uint8_t* p, uint8_t* out, int room) noexcept nogil:
    cdef int length = 0
    cdef uint32_t unit
    memset(out, 0, room)
    p += 1
    while p[0] != c'"':
        if length + 4 > room:
            return -1
        if p[0] != c'\\':
            out[length] = p[0]
            length += 1
            p += 1
            continue
        if p[1] != c'u':                # only `"`, `\` and `/` are left: control characters were refused
            out[length] = p[1]
            length += 1
            p += 2
            continue
        unit = <uint32_t>hex4(p + 2)
        p += 6
        if 0xD800 <= unit < 0xDC00:
            unit = 0x10000 + ((unit - 0xD800) << 10) + (<uint32_t>hex4(p + 2) - 0xDC00)
            p += 6
        if unit < 0x80:
            out[length] = <uint8_t>unit
            length += 1
        elif unit < 0x800:
            out[length] = <uint8_t>(0xC0 | unit >> 6)
            out[length + 1] = <uint8_t>(0x80 | unit & 0x3F)
            length += 2
        elif unit < 0x10000:
            out[length] = <uint8_t>(0xE0 | unit >> 12)
            out[length + 1] = <uint8_t>(0x80 | unit >> 6 & 0x3F)
            out[length + 2] = <uint8_t>(0x80 | unit & 0x3F)
            length += 3
        else:
            out[length] = <uint8_t>(0xF0 | unit >> 18)
            out[length + 1] = <uint8_t>(0x80 | unit >> 12 & 0x3F)
            out[length + 2] = <uint8_t>(0x80 | unit >> 6 & 0x3F)
            out[length + 3] = <uint8_t>(0x80 | unit & 0x3F)
            length += 4
    return length
