# The call auction: one price for all, that of greatest volume.

from libc.stdint cimport uint32_t, uint64_t
from engine.matching.book cimport Venue
from engine.matching.market cimport Market

# The price in ticks at which the book would uncross now, and how much; 0 and 0 when nothing crosses.
cdef void auction_price(Market* market, uint32_t instrument, uint32_t* price, uint64_t* quantity) noexcept nogil
# Trades everything that crosses at that price; how much was traded.
cdef uint64_t auction_uncross(Market* market, uint32_t instrument, uint32_t price, const Venue* venue) noexcept nogil
