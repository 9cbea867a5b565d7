# What the requests of a batch about orders may ask of the engine's stores.

from libc.stdint cimport uint64_t
from engine._core.batch cimport Batch


cdef inline uint64_t order_items(Batch batch) noexcept nogil:
    """Items that are logged; each may lead to one fill beside those of resting orders and of icebergs' hidden parts."""
    return (<uint64_t>batch.instrument_count + batch.trading_account_count + batch.order_count + batch.amend_count
            + batch.mass_cancel_count + batch.session_count + batch.day_count + batch.trade_command_count)


cdef inline uint64_t limit_items(Batch batch) noexcept nogil:
    """Items about limits, which are logged, and never refused for want of room for orders."""
    return <uint64_t>batch.limit_count + batch.kill_count + batch.approval_count


cdef inline uint64_t listed(Batch batch) noexcept nogil:
    return <uint64_t>batch.instrument_count + batch.trading_account_count + batch.link_count
