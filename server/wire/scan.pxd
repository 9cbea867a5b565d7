# A strict reading of one line as RFC 8259 JSON, without interpreting it.
#
# `scan_value` accepts exactly one value: grammar, strict UTF-8, no control characters (neither raw nor escaped), no
# unpaired surrogates, at most DEPTH_MAX containers inside each other. It is the judge of what is JSON; the fast
# readers accept a subset of it.

from libc.stdint cimport int32_t, uint8_t, uint32_t, uint64_t

cdef enum:
    DEPTH_MAX = 8

cdef enum Fault:                        # why a text is not JSON that we take
    FAULT_NONE = 0
    FAULT_SYNTAX = 1
    FAULT_UTF8 = 2
    FAULT_CONTROL = 3                   # a control character, raw or escaped
    FAULT_ESCAPE = 4                    # an unknown escape, or half of a surrogate pair
    FAULT_DEPTH = 5
    FAULT_END = 6                       # the line ends too early

cdef struct Scan:
    const uint8_t* end                  # behind the last byte that may be read as text
    const uint8_t* at                   # where the fault is
    int fault

# Behind the value at `p` (blanks before it are skipped), or NULL with scan.fault and scan.at set.
cdef const uint8_t* scan_value(const uint8_t* p, int depth, Scan* scan) noexcept nogil
# Behind the string whose opening quotation mark is at `p`, or NULL.
cdef const uint8_t* scan_string(const uint8_t* p, Scan* scan) noexcept nogil
# Behind a value that is known to be well formed.
cdef const uint8_t* skip_value(const uint8_t* p) noexcept nogil
# The text of a well-formed string (opening quotation mark at `p`) with its escapes resolved, as UTF-8 followed by
# zeros up to `room`. Returns its length, or -1 when it does not fit.
cdef int unescape(const uint8_t* p, uint8_t* out, int room) noexcept nogil
