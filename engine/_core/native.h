/* The few things that C says better than Cython: keyed hashing by wide multiplication, matching ten tags at once,
   and prefetching. Everything is inline; there is no state here. */
#ifndef TONGBAO_NATIVE_H
#define TONGBAO_NATIVE_H

#include <stdint.h>
#if defined(__SSE2__) && !defined(TONGBAO_PORTABLE)
#include <emmintrin.h>
#endif

#if !defined(TONGBAO_CHECKED)
#define TONGBAO_CHECKED 0
#endif

/* 64 bits out of a 64 x 64 -> 128 bit product: the high half folded onto the low one. */
static inline uint64_t tb_fold(uint64_t a, uint64_t b) {
    __uint128_t product = (__uint128_t)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

/* Keyed by four secret words, so that nobody outside can prepare ids that collide. */
static inline uint64_t tb_hash_128(const uint64_t *key, uint64_t lo, uint64_t hi) {
    return tb_fold(tb_fold(lo ^ key[0], hi ^ key[1]) ^ key[2], key[3]);
}

static inline uint64_t tb_hash_64(const uint64_t *key, uint64_t id) {
    return tb_fold(tb_fold(id ^ key[0], key[1]) ^ key[2], key[3]);
}

#define TB_BUCKET_SLOTS 10

/* One cache line of ten entries. `used` entries stand at the front; `overflowed` is set once an entry that
   belongs here had to go to the next bucket, and stays set. */
typedef struct __attribute__((aligned(64))) {
    uint16_t tags[TB_BUCKET_SLOTS];
    uint16_t used;
    uint16_t overflowed;
    uint32_t slots[TB_BUCKET_SLOTS];
} tb_bucket;

_Static_assert(sizeof(tb_bucket) == 64, "a bucket is one cache line");

/* Bit i is set when entry i is used and carries `tag`. */
static inline uint32_t tb_bucket_matches(const tb_bucket *bucket, uint16_t tag) {
    uint32_t matches;
#if defined(__SSE2__) && !defined(TONGBAO_PORTABLE)
    __m128i wanted = _mm_set1_epi16((short)tag);
    __m128i first = _mm_cmpeq_epi16(_mm_load_si128((const __m128i *)bucket->tags), wanted);
    matches = (uint32_t)_mm_movemask_epi8(_mm_packs_epi16(first, _mm_setzero_si128()));
    matches |= (uint32_t)(bucket->tags[8] == tag) << 8 | (uint32_t)(bucket->tags[9] == tag) << 9;
#else
    matches = 0;
    for (uint32_t i = 0; i < TB_BUCKET_SLOTS; i++)
        matches |= (uint32_t)(bucket->tags[i] == tag) << i;
#endif
    return matches & ((1u << bucket->used) - 1u);
}

#define tb_prefetch(address) __builtin_prefetch((address), 0, 3)
#define tb_prefetch_write(address) __builtin_prefetch((address), 1, 3)
#define tb_lowest_bit(bits) ((uint32_t)__builtin_ctz(bits))
#define tb_lowest_bit_64(bits) ((uint32_t)__builtin_ctzll(bits))
#define tb_highest_bit_64(bits) (63u - (uint32_t)__builtin_clzll(bits))
#define tb_likely(condition) __builtin_expect(!!(condition), 1)
#define tb_unlikely(condition) __builtin_expect(!!(condition), 0)

#endif
