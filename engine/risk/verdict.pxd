# The limits step of an order or replace: what the checks see, whom they are asked, and what is counted.

from libc.stdint cimport int64_t, uint16_t, uint32_t, uint64_t
from engine._core.batch cimport Batch
from engine._core.order_records cimport OrderResult
from engine.risk.store cimport Risk

cdef struct Before:                 # a replace: the order as it was
    uint64_t leaves                 # 0: it is a new order
    uint32_t price

# REASON_NONE, or why not; a refusal by a limit stands in the batch's verdicts and in the result. -1: memory is out.
cdef int risk_check(
    Risk* risk, Batch batch, uint32_t slot, uint32_t item, const Before* before, uint64_t now, OrderResult* result) noexcept nogil
cdef void risk_accepted(Risk* risk, uint32_t position, uint64_t now) noexcept nogil         # it takes a token
cdef void risk_message(Risk* risk, uint32_t position, uint64_t now) noexcept nogil          # an order, replace or cancel
