"""See `output.pxd`."""

from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.stdlib cimport free, realloc

from engine.results import AccountFlag, TransferFlag

cdef enum:
    ROOM_MIN = 65536
    KEEP_MAX = 8388608                  # a scratch buffer larger than this is given back


cdef void build_flag(FlagText* flag, str name) except *:
    cdef bytes text = f',"{name.lower()}"'.encode()
    if len(text) > <Py_ssize_t>sizeof(flag.text):
        raise ImportError(f"server.wire.output: no room for the flag {name}")
    flag.length = <uint32_t>len(text)
    memcpy(flag.text, <const char*>text, len(text))


for flag in AccountFlag:
    build_flag(&account_flag_texts[flag.bit_length() - 1], flag.name)
for flag in TransferFlag:
    build_flag(&transfer_flag_texts[flag.bit_length() - 1], flag.name)


cdef uint8_t* room(Out* out, size_t more) noexcept nogil:
    cdef size_t capacity
    cdef void* moved
    if out.capacity - out.length < more:
        capacity = 2 * out.capacity
        if capacity < ROOM_MIN:
            capacity = ROOM_MIN
        if capacity < out.length + more:
            capacity = out.length + more
        moved = realloc(out.data, capacity)
        if moved is NULL:
            return NULL
        out.data = <uint8_t*>moved
        out.capacity = capacity
    return out.data + out.length


cdef bytes take(Out* out):
    cdef bytes text = PyBytes_FromStringAndSize(<const char*>out.data, out.length)
    out.length = 0
    return text


cdef void reset(Out* out) noexcept:
    out.length = 0
    if out.capacity > KEEP_MAX:
        free(out.data)
        out.data = NULL
        out.capacity = 0


cdef uint8_t* put_flags(uint8_t* p, const FlagText* texts, uint16_t flags) noexcept nogil:
    cdef int bit
    cdef uint8_t* first = p
    for bit in range(16):
        if flags >> bit & 1:            # a bit without a name is internal: it has no text
            memcpy(p, texts[bit].text, sizeof(texts[bit].text))
            p += texts[bit].length
    if p == first:
        return put(p, b"[]")
    first[0] = c'['                     # in the place of the first comma
    p[0] = c']'
    return p + 1
