# Trades undone: a bust reverses every leg, a correction settles anew at another price.

from libc.stdint cimport uint32_t, uint64_t
from engine.settlement.store cimport Clearing

# Why the trade cannot be busted (price 0) or corrected, or REASON_NONE; the new trade's slot (the old one's of a bust).
cdef uint32_t undo_trade(Clearing* clearing, uint64_t trade_id, uint64_t price, uint32_t* trade) noexcept nogil
