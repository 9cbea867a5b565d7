# What `native.h` offers.

from libc.stdint cimport uint16_t, uint32_t, uint64_t

cdef extern from "native.h" nogil:
    const bint CHECKED "TONGBAO_CHECKED"    # the debug twin: invariants after every batch
    const unsigned int BUCKET_SLOTS "TB_BUCKET_SLOTS"

    ctypedef struct Bucket "tb_bucket":
        uint16_t tags[10]
        uint16_t used
        uint16_t overflowed
        uint32_t slots[10]

    uint64_t fold "tb_fold"(uint64_t a, uint64_t b) noexcept
    uint64_t hash_128 "tb_hash_128"(const uint64_t* key, uint64_t lo, uint64_t hi) noexcept
    uint64_t hash_64 "tb_hash_64"(const uint64_t* key, uint64_t id) noexcept
    uint32_t bucket_matches "tb_bucket_matches"(const Bucket* bucket, uint16_t tag) noexcept
    uint32_t lowest_bit "tb_lowest_bit"(uint32_t bits) noexcept
    uint32_t lowest_bit_64 "tb_lowest_bit_64"(uint64_t bits) noexcept      # of bits that are not all 0
    uint32_t highest_bit_64 "tb_highest_bit_64"(uint64_t bits) noexcept
    void prefetch "tb_prefetch"(const void* address) noexcept
    void prefetch_write "tb_prefetch_write"(const void* address) noexcept
    bint likely "tb_likely"(bint condition) noexcept
    bint unlikely "tb_unlikely"(bint condition) noexcept
