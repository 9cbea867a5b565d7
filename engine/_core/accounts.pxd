# Accounts: creating, updating, and the scopes that say which channel may touch which.

from libc.stdint cimport uint32_t, uint64_t
from engine._core.batch cimport Request
from engine._core.records cimport AccountCommand, Result, ScopeRange, UpdateCommand
from engine._core.store cimport Ledger

# One request each; item i has the time `time` + i. The caller has seen to capacity.
cdef void create_accounts(
    Ledger* ledger, const Request* request, const AccountCommand* commands, Result* results, uint64_t time) noexcept nogil
cdef void update_accounts(
    Ledger* ledger, const Request* request, const UpdateCommand* commands, Result* results, uint64_t time) noexcept nogil
# Replaces the ranges of a scope; they are sorted and disjoint (scope_ranges_valid).
cdef void define_scope(
    Ledger* ledger, const Request* request, const ScopeRange* ranges, Result* result, uint64_t time) noexcept nogil
# One account of the engine's own or a client's; its status.
cdef uint32_t create_account(
    Ledger* ledger, const AccountCommand* command, uint32_t scope, uint64_t now, Result* result) noexcept nogil
cdef bint scope_ranges_valid(const ScopeRange* ranges, uint32_t count) noexcept nogil
