"""See `buffer.pxd`."""

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.memoryview cimport PyMemoryView_FromMemory
from libc.stdlib cimport free, realloc
from libc.string cimport memcpy, memmove, memset

from server.wire.text cimport PAD

cdef enum:
    READ_MIN = 65536                    # room offered to one read
    KEEP_MAX = 262144                   # an empty buffer larger than this is given back


cdef inline const uint8_t* last_line_end(const uint8_t* first, const uint8_t* end) noexcept nogil:
    """The last LF in [first, end), or NULL."""
    while end > first:
        end -= 1
        if end[0] == c'\n':
            return end
    return NULL


cdef class LineBuffer:
    """Bytes as they come, until they are whole lines. Owns its memory."""

    def __cinit__(self) -> None:
        self.line_max = 2 * 2**20

    def __dealloc__(self) -> None:
        free(self.buffer)

    @property
    def buffered(self) -> int:
        """Bytes that wait to be parsed."""
        return self.end - self.start

    cdef int reserve(self, size_t room) except -1:
        """At least `room` bytes of room behind `end`."""
        cdef size_t capacity
        cdef void* moved
        if self.start == self.end:
            self.start = self.end = self.complete = 0
            if self.capacity > KEEP_MAX:
                free(self.buffer)
                self.buffer = NULL
                self.capacity = 0
        if self.capacity - self.end >= room and self.buffer is not NULL:
            return 0
        if self.start:
            memmove(self.buffer, self.buffer + self.start, self.end - self.start)
            self.end -= self.start
            self.complete = self.complete - self.start if self.complete > self.start else 0
            self.start = 0
        if self.capacity - self.end < room or self.buffer is NULL:
            capacity = max(self.end + room, min(2 * self.capacity, self.line_max + READ_MIN))
            moved = realloc(self.buffer, capacity + PAD)
            if moved is NULL:
                raise MemoryError
            self.buffer = <uint8_t*>moved
            self.capacity = capacity
        memset(self.buffer + self.end, 0, PAD)
        return 0

    def get_buffer(self, size_hint: int) -> memoryview:
        """Free room at the end of the buffer, valid until the next call (asyncio.BufferedProtocol)."""
        self.reserve(min(max(size_hint, READ_MIN), self.line_max + READ_MIN))
        return PyMemoryView_FromMemory(<char*>self.buffer + self.end, self.capacity - self.end, 0x200)

    def buffer_updated(self, count: int) -> None:
        """Takes `count` bytes that were written into the room offered last."""
        cdef const uint8_t* line_end
        cdef size_t more
        if count < 0 or <size_t>count > self.capacity - self.end:
            raise ValueError(f"count: {count} is more than the room that was offered")
        more = count
        if self.closed:                 # nothing after a fatal error is read
            self.start = self.end = self.complete = 0
            return
        memset(self.buffer + self.end + more, 0, PAD)
        line_end = last_line_end(self.buffer + self.end, self.buffer + self.end + more)
        if line_end is not NULL:
            self.complete = line_end + 1 - self.buffer
        self.end += more

    def feed(self, data: bytes) -> None:
        """Takes bytes: get_buffer and buffer_updated in one."""
        cdef Py_buffer view
        PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
        try:
            self.reserve(<size_t>view.len)
            memcpy(self.buffer + self.end, view.buf, view.len)
            self.buffer_updated(view.len)
        finally:
            PyBuffer_Release(&view)
