/* Text primitives of the wire: digits, hex, UUIDs, fixed templates.
 *
 * They work on a buffer that goes on for at least TB_PAD readable bytes behind any position they are given. They
 * may read there and never believe what they find: LF and NUL are neither digit nor hex nor part of a template, so
 * nothing is ever accepted across the end of a line. SSE2 is the baseline of x86-64; everything has a portable form.
 */
#ifndef TONGBAO_WIRE_TEXT_H
#define TONGBAO_WIRE_TEXT_H

#include <stdint.h>
#include <string.h>

#if defined(__SSE2__) && !defined(TONGBAO_PORTABLE)
#include <emmintrin.h>
#define TB_SSE2 1
#else
#define TB_SSE2 0
#endif

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the wire reads words of text as little-endian numbers"
#endif

#define TB_PAD 64

#define TB_LIKELY(x) __builtin_expect(!!(x), 1)
#define TB_COLD __attribute__((noinline, cold))
#define TB_IS(p, literal) (memcmp((p), (literal), sizeof(literal) - 1) == 0)

static inline uint64_t tb_load64(const uint8_t* p) { uint64_t x; memcpy(&x, p, 8); return x; }
static inline uint32_t tb_load32(const uint8_t* p) { uint32_t x; memcpy(&x, p, 4); return x; }
static inline void tb_store64(uint8_t* p, uint64_t x) { memcpy(p, &x, 8); }

/* --- reading numbers ---------------------------------------------------------------------------- */

static const uint64_t tb_powers_of_ten[20] = {
    1ULL, 10ULL, 100ULL, 1000ULL, 10000ULL, 100000ULL, 1000000ULL, 10000000ULL, 100000000ULL, 1000000000ULL,
    10000000000ULL, 100000000000ULL, 1000000000000ULL, 10000000000000ULL, 100000000000000ULL,
    1000000000000000ULL, 10000000000000000ULL, 100000000000000000ULL, 1000000000000000000ULL,
    10000000000000000000ULL};

/* How many of the eight bytes in `x` (less '0' each) are digits from the front on. A carry out of a byte that is
 * not a digit spoils only the bytes behind it. */
static inline unsigned tb_digit_count(uint64_t x) {
    uint64_t other = ((x + 0x7676767676767676ULL) | x) & 0x8080808080808080ULL;
    return other ? (unsigned)__builtin_ctzll(other) >> 3 : 8;
}

/* Eight digits, less '0' each, the first in the lowest byte. */
static inline uint64_t tb_eight_digits(uint64_t x) {
    x = (x * 10) + (x >> 8);
    return ((((x & 0x000000FF000000FFULL) * 0x000F424000000064ULL)
             + (((x >> 16) & 0x000000FF000000FFULL) * 0x0000271000000001ULL)) >> 32);
}

/* The digits at `p` as a number; returns how many there are. 0: none, a superfluous leading zero, or a value above
 * 2^64 - 1. */
static inline unsigned tb_digits(const uint8_t* p, uint64_t* value) {
    uint64_t x = tb_load64(p) ^ 0x3030303030303030ULL;
    unsigned count = tb_digit_count(x), more;
    uint64_t total, low;
    *value = 0;
    if (count < 8) {
        if (count == 0)
            return 0;
        *value = tb_eight_digits(x << (64 - 8 * count));
        return (p[0] == '0') & (count > 1) ? 0 : count;
    }
    total = tb_eight_digits(x);
    x = tb_load64(p + 8) ^ 0x3030303030303030ULL;
    more = tb_digit_count(x);
    if (p[0] == '0')
        return 0;
    if (more < 8) {
        if (more)
            total = total * tb_powers_of_ten[more] + tb_eight_digits(x << (64 - 8 * more));
        *value = total;
        return 8 + more;
    }
    total = total * 100000000ULL + tb_eight_digits(x);
    x = tb_load64(p + 16) ^ 0x3030303030303030ULL;
    more = tb_digit_count(x);
    if (more == 0) {
        *value = total;
        return 16;
    }
    if (more > 4)
        return 0;
    low = tb_eight_digits(x << (64 - 8 * more));
    if (__builtin_mul_overflow(total, tb_powers_of_ten[more], &total) || __builtin_add_overflow(total, low, &total))
        return 0;
    *value = total;
    return 16 + more;
}

/* --- reading UUIDs ------------------------------------------------------------------------------ */

/* 32 hex digits given as four words of eight characters; 0 if one is not hex. */
static inline int tb_hex128(uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t* hi, uint64_t* lo) {
#if TB_SSE2
    const __m128i nine = _mm_set1_epi8(9), five = _mm_set1_epi8(5), ten = _mm_set1_epi8(10);
    __m128i text[2], bytes[2], valid = _mm_set1_epi8(-1);
    uint64_t words[2];
    int half;
    text[0] = _mm_set_epi64x((long long)b, (long long)a);
    text[1] = _mm_set_epi64x((long long)d, (long long)c);
    for (half = 0; half < 2; half++) {
        __m128i digit = _mm_sub_epi8(text[half], _mm_set1_epi8('0'));
        __m128i letter = _mm_sub_epi8(_mm_or_si128(text[half], _mm_set1_epi8(0x20)), _mm_set1_epi8('a'));
        __m128i is_digit = _mm_cmpeq_epi8(_mm_min_epu8(digit, nine), digit);
        __m128i is_letter = _mm_cmpeq_epi8(_mm_min_epu8(letter, five), letter);
        __m128i nibble = _mm_or_si128(_mm_and_si128(is_digit, digit),
                                      _mm_andnot_si128(is_digit, _mm_add_epi8(letter, ten)));
        valid = _mm_and_si128(valid, _mm_or_si128(is_digit, is_letter));
        /* a pair of nibbles is a 16-bit lane, the high nibble first in memory */
        bytes[half] = _mm_and_si128(_mm_or_si128(_mm_slli_epi16(nibble, 4), _mm_srli_epi16(nibble, 8)),
                                    _mm_set1_epi16(0x00FF));
    }
    _mm_storeu_si128((__m128i*)words, _mm_packus_epi16(bytes[0], bytes[1]));
    *hi = __builtin_bswap64(words[0]);
    *lo = __builtin_bswap64(words[1]);
    return _mm_movemask_epi8(valid) == 0xFFFF;
#else
    uint64_t words[4] = {a, b, c, d}, out[2] = {0, 0};
    int word, index;
    for (word = 0; word < 4; word++)
        for (index = 0; index < 8; index++) {
            uint8_t text = (uint8_t)(words[word] >> (8 * index)), digit = (uint8_t)(text - '0');
            uint8_t letter = (uint8_t)((text | 0x20) - 'a');
            if (digit > 9 && letter > 5)
                return 0;
            out[word >> 1] = out[word >> 1] << 4 | (digit <= 9 ? digit : (uint64_t)letter + 10);
        }
    *hi = out[0];
    *lo = out[1];
    return 1;
#endif
}

/* 36 characters with hyphens at 8, 13, 18 and 23. */
static inline int tb_uuid36(const uint8_t* p, uint64_t* hi, uint64_t* lo) {
    int hyphens = (p[8] == '-') & (p[13] == '-') & (p[18] == '-') & (p[23] == '-');
    return tb_hex128(tb_load64(p), (uint64_t)tb_load32(p + 9) | (uint64_t)tb_load32(p + 14) << 32,
                     (uint64_t)tb_load32(p + 19) | (uint64_t)tb_load32(p + 24) << 32, tb_load64(p + 28), hi, lo)
        & hyphens;
}

/* 32 characters without hyphens. */
static inline int tb_uuid32(const uint8_t* p, uint64_t* hi, uint64_t* lo) {
    return tb_hex128(tb_load64(p), tb_load64(p + 8), tb_load64(p + 16), tb_load64(p + 24), hi, lo);
}

/* --- names -------------------------------------------------------------------------------------- */

/* Where the next quotation mark stands, 0 … 31; 32 if there is none among the next 32 bytes. */
static inline unsigned tb_quote(const uint8_t* p) {
#if TB_SSE2
    const __m128i quote = _mm_set1_epi8('"');
    unsigned first = (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(_mm_loadu_si128((const __m128i*)p), quote));
    unsigned second = (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(_mm_loadu_si128((const __m128i*)(p + 16)), quote));
    uint64_t found = (uint64_t)first | (uint64_t)second << 16 | 1ULL << 32;
    return (unsigned)__builtin_ctzll(found);
#else
    unsigned index = 0;
    while (index < 32 && p[index] != '"')
        index++;
    return index;
#endif
}

/* How many of the next bytes are plain text: ASCII from space to '~', neither quotation mark nor backslash. Counts
 * no further than 16. */
static inline unsigned tb_plain(const uint8_t* p) {
#if TB_SSE2
    __m128i text = _mm_loadu_si128((const __m128i*)p);
    __m128i special = _mm_or_si128(_mm_cmpeq_epi8(text, _mm_set1_epi8('"')), _mm_cmpeq_epi8(text, _mm_set1_epi8('\\')));
    special = _mm_or_si128(special, _mm_cmplt_epi8(text, _mm_set1_epi8(0x20))); /* signed: also 0x80 … 0xFF */
    special = _mm_or_si128(special, _mm_cmpeq_epi8(text, _mm_set1_epi8(0x7F)));
    return (unsigned)__builtin_ctz((unsigned)_mm_movemask_epi8(special) | 1U << 16);
#else
    unsigned index = 0;
    while (index < 16 && p[index] >= 0x20 && p[index] < 0x7F && p[index] != '"' && p[index] != '\\')
        index++;
    return index;
#endif
}

/* A fixed set of at most 63 names of 1 … 31 bytes: one multiplication finds the only candidate, four words confirm it. */
#define TB_NAME_SLOTS 128 /* and the 7 bits of tb_name_hash */

typedef struct {
    uint64_t words[4];
    uint32_t length; /* 0: no name here */
    uint32_t index;
} tb_name;

typedef struct {
    uint64_t multiplier;
    tb_name names[TB_NAME_SLOTS];
} tb_names;

static const uint64_t tb_masks[40 + 1] = {
    /* word w of a name of `length` bytes keeps the bytes of tb_masks[clamp(length - 8 w, 0, 8)] */
    0ULL, 0xFFULL, 0xFFFFULL, 0xFFFFFFULL, 0xFFFFFFFFULL, 0xFFFFFFFFFFULL, 0xFFFFFFFFFFFFULL, 0xFFFFFFFFFFFFFFULL,
    ~0ULL, ~0ULL, ~0ULL, ~0ULL, ~0ULL, ~0ULL, ~0ULL, ~0ULL, ~0ULL, ~0ULL, ~0ULL, ~0ULL, ~0ULL, ~0ULL, ~0ULL, ~0ULL,
    ~0ULL, ~0ULL, ~0ULL, ~0ULL, ~0ULL, ~0ULL, ~0ULL, ~0ULL, ~0ULL, ~0ULL, ~0ULL, ~0ULL, ~0ULL, ~0ULL, ~0ULL, ~0ULL,
    ~0ULL};

static inline uint64_t tb_mask(int bytes) { return tb_masks[bytes < 0 ? 0 : bytes]; }

static inline unsigned tb_name_hash(uint64_t multiplier, uint64_t first, uint64_t second) {
    return (unsigned)(((first ^ (second << 3 | second >> 61)) * multiplier) >> 57);
}

/* The index of the name of `length` (0 … 32) bytes at `p`, or -1. */
static inline int tb_find(const tb_names* names, const uint8_t* p, unsigned length) {
    int n = (int)length;
    uint64_t a = tb_load64(p) & tb_mask(n), b = tb_load64(p + 8) & tb_mask(n - 8);
    uint64_t c = tb_load64(p + 16) & tb_mask(n - 16), d = tb_load64(p + 24) & tb_mask(n - 24);
    const tb_name* name = &names->names[tb_name_hash(names->multiplier, a, b)];
    uint64_t differs = (a ^ name->words[0]) | (b ^ name->words[1]) | (c ^ name->words[2]) | (d ^ name->words[3])
        | (uint64_t)(length ^ name->length);
    return differs ? -1 : (int)name->index;
}

/* Fills `names`; every text is followed by at least 32 readable bytes. Returns 0 when no multiplier separates them. */
static TB_COLD int tb_names_build(tb_names* names, const uint8_t* const* texts, const unsigned* lengths, int count) {
    uint64_t multiplier = 0x9E3779B97F4A7C15ULL;
    int attempt, index;
    for (attempt = 0; attempt < 1000000; attempt++) {
        memset(names, 0, sizeof(*names));
        for (index = 0; index < TB_NAME_SLOTS; index++)
            names->names[index].index = UINT32_MAX; /* so that the empty name is not found in an empty place */
        names->multiplier = multiplier;
        for (index = 0; index < count; index++) {
            int n = (int)lengths[index], word;
            uint64_t words[4];
            tb_name* name;
            for (word = 0; word < 4; word++)
                words[word] = tb_load64(texts[index] + 8 * word) & tb_mask(n - 8 * word);
            name = &names->names[tb_name_hash(multiplier, words[0], words[1])];
            if (name->length)
                break;
            memcpy(name->words, words, sizeof(words));
            name->length = lengths[index];
            name->index = (uint32_t)index;
        }
        if (index == count)
            return 1;
        multiplier = multiplier * 6364136223846793005ULL + 1442695040888963407ULL;
    }
    return 0;
}

/* --- symbols ------------------------------------------------------------------------------------ */

/* How many of the next 24 bytes are of A-Z 0-9 . _ -, and these in three words, the first in the lowest byte. */
static inline unsigned tb_symbol(const uint8_t* p, uint64_t* words) {
    unsigned length;
#if TB_SSE2
    uint64_t good = 0;
    int half;
    for (half = 0; half < 2; half++) {
        __m128i text = _mm_loadu_si128((const __m128i*)(p + 16 * half));
        __m128i letter = _mm_sub_epi8(text, _mm_set1_epi8('A')), digit = _mm_sub_epi8(text, _mm_set1_epi8('0'));
        __m128i valid = _mm_cmpeq_epi8(_mm_min_epu8(letter, _mm_set1_epi8(25)), letter);
        valid = _mm_or_si128(valid, _mm_cmpeq_epi8(_mm_min_epu8(digit, _mm_set1_epi8(9)), digit));
        valid = _mm_or_si128(valid, _mm_cmpeq_epi8(text, _mm_set1_epi8('.')));
        valid = _mm_or_si128(valid, _mm_cmpeq_epi8(text, _mm_set1_epi8('_')));
        valid = _mm_or_si128(valid, _mm_cmpeq_epi8(text, _mm_set1_epi8('-')));
        good |= (uint64_t)(unsigned)_mm_movemask_epi8(valid) << (16 * half);
    }
    length = (unsigned)__builtin_ctzll(~good | 1ULL << 24);
#else
    for (length = 0; length < 24; length++) {
        uint8_t c = p[length];
        if (!((c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-'))
            break;
    }
#endif
    words[0] = tb_load64(p) & tb_mask((int)length);
    words[1] = tb_load64(p + 8) & tb_mask((int)length - 8);
    words[2] = tb_load64(p + 16) & tb_mask((int)length - 16);
    return length;
}

/* --- writing ------------------------------------------------------------------------------------ */

/* The eight digits of a number below 10^8, less '0' each, the first in the lowest byte. */
static inline uint64_t tb_eight_text(uint32_t value) {
    uint64_t x = (uint64_t)(value / 10000) | (uint64_t)(value % 10000) << 32, high;
    high = ((x * 10486) >> 20) & 0x0000007F0000007FULL;
    x = high | (x - 100 * high) << 16;
    high = ((x * 103) >> 10) & 0x000F000F000F000FULL;
    return high | (x - 10 * high) << 8;
}

/* A number below 10^8 without leading zeros. */
static inline uint8_t* tb_write_short(uint8_t* p, uint32_t value) {
    uint64_t x = tb_eight_text(value);
    unsigned zeros = (unsigned)__builtin_ctzll(x | 1ULL << 56) >> 3;
    tb_store64(p, (x | 0x3030303030303030ULL) >> (8 * zeros));
    return p + 8 - zeros;
}

/* A number in decimal; returns the place behind it. Writes up to 24 bytes, of which the last may be rubbish. */
static inline uint8_t* tb_write(uint8_t* p, uint64_t value) {
    uint64_t high;
    if (value < 100000000ULL)
        return tb_write_short(p, (uint32_t)value);
    high = value / 100000000ULL;
    if (high < 100000000ULL) {
        p = tb_write_short(p, (uint32_t)high);
    } else {
        p = tb_write_short(p, (uint32_t)(high / 100000000ULL));
        tb_store64(p, tb_eight_text((uint32_t)(high % 100000000ULL)) | 0x3030303030303030ULL);
        p += 8;
    }
    tb_store64(p, tb_eight_text((uint32_t)(value % 100000000ULL)) | 0x3030303030303030ULL);
    return p + 8;
}

/* 36 characters of UUID text. */
static inline void tb_write_uuid(uint8_t* p, uint64_t hi, uint64_t lo) {
    uint8_t text[32];
#if TB_SSE2
    __m128i bytes = _mm_set_epi64x((long long)__builtin_bswap64(lo), (long long)__builtin_bswap64(hi));
    __m128i low = _mm_and_si128(bytes, _mm_set1_epi8(0x0F));
    __m128i high = _mm_and_si128(_mm_srli_epi16(bytes, 4), _mm_set1_epi8(0x0F));
    __m128i nibbles[2] = {_mm_unpacklo_epi8(high, low), _mm_unpackhi_epi8(high, low)};
    int half;
    for (half = 0; half < 2; half++) {
        __m128i letters = _mm_and_si128(_mm_cmpgt_epi8(nibbles[half], _mm_set1_epi8(9)), _mm_set1_epi8('a' - '0' - 10));
        _mm_storeu_si128((__m128i*)(text + 16 * half),
                         _mm_add_epi8(_mm_add_epi8(nibbles[half], _mm_set1_epi8('0')), letters));
    }
#else
    int index;
    for (index = 0; index < 32; index++)
        text[index] = (uint8_t)"0123456789abcdef"[(index < 16 ? hi >> (60 - 4 * index) : lo >> (124 - 4 * index)) & 15];
#endif
    memcpy(p, text, 8);
    p[8] = '-';
    memcpy(p + 9, text + 8, 4);
    p[13] = '-';
    memcpy(p + 14, text + 12, 4);
    p[18] = '-';
    memcpy(p + 19, text + 16, 4);
    p[23] = '-';
    memcpy(p + 24, text + 20, 12);
}

/* --- templates ----------------------------------------------------------------------------------- */

/* `,"method":"create_transfers","params":` behind the id. The place of the params, or NULL. */
static inline const uint8_t* tb_create_transfers_template(const uint8_t* p) {
    return TB_IS(p, ",\"method\":\"create_transfers\",\"params\":") ? p + 38 : NULL;
}

typedef struct {
    uint64_t id_hi, id_lo, debit, credit, amount, ledger, code;
} tb_transfer;

/* `{"id":"…","debit_account_id":…,"credit_account_id":…,"amount":…,"ledger":…,"code":…` in this order, without
 * blanks and with a hyphenated id. Returns the place behind the code's digits, or NULL: then the general reader
 * decides. */
static inline const uint8_t* tb_transfer_template(const uint8_t* p, tb_transfer* out) {
    unsigned length, good;
    if (!TB_IS(p, "{\"id\":\""))
        return NULL;
    good = (unsigned)tb_uuid36(p + 7, &out->id_hi, &out->id_lo);
    if (!TB_IS(p + 43, "\",\"debit_account_id\":"))
        return NULL;
    p += 64;
    length = tb_digits(p, &out->debit);
    p += length;
    good &= length != 0;
    if (!TB_IS(p, ",\"credit_account_id\":"))
        return NULL;
    p += 21;
    length = tb_digits(p, &out->credit);
    p += length;
    good &= length != 0;
    if (!TB_IS(p, ",\"amount\":"))
        return NULL;
    p += 10;
    length = tb_digits(p, &out->amount);
    p += length;
    good &= length != 0;
    if (!TB_IS(p, ",\"ledger\":"))
        return NULL;
    p += 10;
    length = tb_digits(p, &out->ledger);
    p += length;
    good &= length != 0;
    if (!TB_IS(p, ",\"code\":"))
        return NULL;
    p += 8;
    length = tb_digits(p, &out->code);
    p += length;
    good &= length != 0;
    if (!good)
        return NULL;
    if (p[0] != '}' && p[0] != ',') /* the digits may go on as a fraction */
        return NULL;
    if (((out->debit | out->credit | out->amount) >> 63) | (out->ledger >> 32) | (out->code >> 16))
        return NULL;
    return p;
}

/* `,"method":"submit_orders","params":` behind the id. */
static inline const uint8_t* tb_submit_orders_template(const uint8_t* p) {
    return TB_IS(p, ",\"method\":\"submit_orders\",\"params\":") ? p + 35 : NULL;
}

typedef struct {
    uint64_t client_hi, client_lo, account, symbol[3], quantity, price;
    unsigned side, type, priced;
} tb_order;

/* `{"client_order_id":"…","account_id":…,"instrument":"…","side":"…","type":"…","quantity":…` and perhaps
 * `,"price":…`, in this order, without blanks and with a hyphenated id. Returns the place behind the last digits,
 * or NULL: then the general reader decides. */
static inline const uint8_t* tb_order_template(const uint8_t* p, tb_order* out) {
    unsigned length, good;
    if (!TB_IS(p, "{\"client_order_id\":\""))
        return NULL;
    p += 20;
    good = (unsigned)tb_uuid36(p, &out->client_hi, &out->client_lo);
    if (!TB_IS(p + 36, "\",\"account_id\":"))
        return NULL;
    p += 51;
    length = tb_digits(p, &out->account);
    p += length;
    good &= length != 0;
    if (!TB_IS(p, ",\"instrument\":\""))
        return NULL;
    p += 15;
    length = tb_symbol(p, out->symbol);
    p += length;
    good &= length != 0;
    if (!TB_IS(p, "\",\"side\":\""))
        return NULL;
    p += 10;
    if (TB_IS(p, "buy\"")) {
        out->side = 0;
        p += 4;
    } else if (TB_IS(p, "sell\"")) {
        out->side = 1;
        p += 5;
    } else
        return NULL;
    if (!TB_IS(p, ",\"type\":\""))
        return NULL;
    p += 9;
    if (TB_IS(p, "limit\"")) {
        out->type = 0;
        p += 6;
    } else if (TB_IS(p, "market\"")) {
        out->type = 1;
        p += 7;
    } else
        return NULL; /* stops are rare */
    if (!TB_IS(p, ",\"quantity\":"))
        return NULL;
    p += 12;
    length = tb_digits(p, &out->quantity);
    p += length;
    good &= length != 0;
    out->priced = TB_IS(p, ",\"price\":");
    out->price = 0;
    if (out->priced) {
        p += 9;
        length = tb_digits(p, &out->price);
        p += length;
        good &= length != 0;
    }
    if (!good)
        return NULL;
    if (p[0] != '}' && p[0] != ',') /* the digits may go on as a fraction */
        return NULL;
    if ((out->account | out->quantity | out->price) >> 63)
        return NULL;
    return p;
}

#endif
