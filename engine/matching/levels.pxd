# The price levels of one side: a tree that takes six bits of the price per floor, grown only as high as its highest price needs.
#
# Near the touch a level is found through the lowest node last used; far away in as many steps as there are floors (three up
# to 262,143 ticks, five at most), however wide the prices lie apart. The best level is kept at hand.

from libc.stdint cimport uint32_t, uint64_t
from engine._core.codes cimport NONE
from engine.matching.market cimport Market
from engine.matching.records cimport BookSide

cdef uint32_t level_find(Market* market, BookSide* side, uint32_t price) noexcept nogil     # or NONE
# The level of the price, made when there is none; `descending` says that the best is the highest.
cdef uint32_t level_require(Market* market, BookSide* side, uint32_t price, bint descending) noexcept nogil
cdef void level_remove(Market* market, BookSide* side, uint32_t slot, bint descending) noexcept nogil   # an empty one
# The next level from `price` on, itself included, upwards or downwards; NONE at the end.
cdef uint32_t level_from(Market* market, BookSide* side, uint64_t price, bint descending) noexcept nogil
