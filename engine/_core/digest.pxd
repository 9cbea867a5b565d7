# The rolling digest: two chains of wide multiplications over everything that was ever applied, a few nanoseconds an
# item. Followers compare it with the leader's; it tells that two ledgers have diverged, and is no proof against an attacker
# (the log's SHA-256 chain is).

from libc.stdint cimport uint64_t
from engine._core.native cimport fold
from engine._core.store cimport Ledger

cdef extern from *:
    """
    #define TB_DIGEST_LO 0x9E3779B97F4A7C15ULL
    #define TB_DIGEST_HI 0xC2B2AE3D27D4EB4FULL
    """
    const uint64_t DIGEST_LO "TB_DIGEST_LO"     # odd constants without structure: 2^64 over the golden ratio,
    const uint64_t DIGEST_HI "TB_DIGEST_HI"     # and a large prime

cdef inline void digest_mix(Ledger* ledger, uint64_t a, uint64_t b) noexcept nogil:
    ledger.digest_lo = fold(ledger.digest_lo ^ a, DIGEST_LO ^ b)
    ledger.digest_hi = fold(ledger.digest_hi ^ b, DIGEST_HI ^ a)
