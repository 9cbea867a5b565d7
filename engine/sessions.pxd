# The trading day: sessions, uncrossings, the end of the day.

from libc.stdint cimport uint32_t
from engine._core.order_records cimport DayCommand, OrderResult, SessionCommand
from engine.exchange cimport Exchange

cdef void set_session(Exchange* exchange, const SessionCommand* command, OrderResult* result) noexcept nogil
# `commands` has the date first, then settlement prices.
cdef void end_of_day(Exchange* exchange, const DayCommand* commands, uint32_t count, OrderResult* result) noexcept nogil
