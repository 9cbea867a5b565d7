# set_limits, approve_limits, kill_switch and what reads them: see docs/RISK.md.

from libc.stdint cimport uint32_t
from engine._core.batch cimport Batch
from engine._core.order_records cimport OrderResult
from engine._core.records cimport Result
from engine._core.risk_records cimport ApprovalCommand, KillCommand, LimitsCommand
from engine.exchange cimport Exchange

cdef void set_limits(Exchange* exchange, Batch batch, const LimitsCommand* command, Result* result) noexcept nogil
cdef void approve_limits(Exchange* exchange, const ApprovalCommand* command, Result* result) noexcept nogil
cdef void kill_switch(Exchange* exchange, const KillCommand* command, OrderResult* result) noexcept nogil
cdef int read_limits(Exchange* exchange, Batch batch, uint32_t index) noexcept nogil    # -1: no memory for the answers
