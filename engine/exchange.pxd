# Books, settlement and pre-trade risk together: what the commands about orders work on.

from libc.stdint cimport uint32_t
from engine._core.store cimport Ledger
from engine.matching.book cimport Venue
from engine.matching.market cimport Market
from engine.risk.store cimport Risk
from engine.settlement.store cimport Clearing

cdef struct Exchange:
    Market market
    Clearing clearing
    Risk risk
    Venue venue                     # of `market`, with the exchange as its context
    Ledger* ledger
    uint32_t* scratch               # slots gathered for mass cancels and the end of the day: room for all open orders
