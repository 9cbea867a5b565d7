# A receive buffer that hands out whole lines, padded so that the text primitives may read past the end.

from libc.stddef cimport size_t
from libc.stdint cimport uint8_t

cdef class LineBuffer:
    cdef uint8_t* buffer                # [0, start) done, [start, end) waits, then PAD zeros; NULL before the first byte
    cdef size_t capacity                # room for text, without the padding
    cdef size_t start
    cdef size_t end
    cdef size_t complete                # behind the last LF; `start` or less when there is none
    cdef size_t line_max                # bytes of a line without its LF; the owner refuses longer ones
    cdef bint closed                    # what comes is thrown away

    cdef int reserve(self, size_t room) except -1       # room behind `end`; moves the buffer
