# JSON text into a growing scratch buffer, for replies and for the requests of clients.
#
# `room` first, then any number of put_* within it, then `done`.

from libc.stddef cimport size_t
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy, strlen

from server.wire.text cimport write, write_uuid

cdef struct Out:
    uint8_t* data
    size_t length
    size_t capacity

cdef struct FlagText:
    uint32_t length
    uint8_t text[40]                    # `,"name"`

cdef FlagText account_flag_texts[16]
cdef FlagText transfer_flag_texts[16]

cdef uint8_t* room(Out* out, size_t more) noexcept nogil        # the end of what is written; NULL: memory is out
cdef bytes take(Out* out)                                       # what was written since the last call
cdef void reset(Out* out) noexcept                              # forgets it, and gives back memory that is too much
cdef uint8_t* put_flags(uint8_t* p, const FlagText* texts, uint16_t flags) noexcept nogil


cdef inline void done(Out* out, const uint8_t* p) noexcept nogil:
    out.length = p - out.data


cdef inline uint8_t* put(uint8_t* p, const char* text) noexcept nogil:
    cdef size_t length = strlen(text)   # of a literal: known when compiled
    memcpy(p, text, length)
    return p + length


cdef inline uint8_t* put64(uint8_t* p, uint64_t value, bint quoted) noexcept nogil:
    """A 64-bit value, as a string if the session asked for strings."""
    if not quoted:
        return write(p, value)
    p[0] = c'"'
    p = write(p + 1, value)
    p[0] = c'"'
    return p + 1


cdef inline uint8_t* put_uuid(uint8_t* p, uint64_t hi, uint64_t lo) noexcept nogil:
    p[0] = c'"'
    write_uuid(p + 1, hi, lo)
    p[37] = c'"'
    return p + 38
