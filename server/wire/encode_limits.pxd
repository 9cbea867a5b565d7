# Replies about limits, and what is told of a limit that refused an order.

from libc.stdint cimport uint8_t
from engine._core.batch cimport Batch, Request
from engine._core.order_records cimport OrderResult
from server.wire.output cimport Out

cdef enum:
    VERDICT_ROOM = 768                  # bytes that `put_verdict` may touch

# The result of a request, whole; -1 when memory is out.
cdef int put_limits_answer(Out* out, Batch batch, const Request* request, bint quoted) noexcept nogil
# `,"limit":{…}` of a result whose `reserved` says that there is a verdict, within VERDICT_ROOM.
cdef uint8_t* put_verdict(
    uint8_t* p, Batch batch, const Request* request, const OrderResult* result, bint quoted) noexcept nogil
