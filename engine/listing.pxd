# What is traded, and who trades: instruments and trading accounts.

from libc.stdint cimport uint32_t, uint64_t
from engine._core.batch cimport Batch
from engine._core.order_records cimport InstrumentCommand, TradingAccountCommand
from engine._core.records cimport Result
from engine.exchange cimport Exchange
from engine.matching.records cimport Instrument

# One item each; the status is in the result.
cdef void create_instrument(Exchange* exchange, const InstrumentCommand* command, Result* result) noexcept nogil
cdef void update_instrument(Exchange* exchange, const InstrumentCommand* command, Result* result) noexcept nogil
cdef void create_trading_account(
    Exchange* exchange, Batch batch, const TradingAccountCommand* command, uint32_t scope, Result* result) noexcept nogil
cdef void band_refresh(Instrument* instrument) noexcept nogil   # limits, after a change of reference price or band
# A price moved up or down by millionths, in ticks: to the nearest (a half up) for spot, towards the price for futures; at least 1.
cdef uint32_t band_limit(const Instrument* instrument, uint64_t reference, uint32_t ppm, bint up) noexcept nogil
