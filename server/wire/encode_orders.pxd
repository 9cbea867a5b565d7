# Answers about orders as JSON text; `encode` puts the replies around them.

from engine._core.batch cimport Batch, Request
from server.wire.output cimport Out

# The result of an order request; -1 when memory is out.
cdef int put_order_answer(Out* out, Batch batch, const Request* request, bint quoted) noexcept nogil
