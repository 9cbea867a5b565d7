# The only rounding there is, half to even, in 128 bits; results that do not fit say so.

from libc.stdint cimport int64_t, uint32_t, uint64_t
from engine.matching.records cimport Instrument

cdef extern from *:
    """
    #include <stdint.h>
    #define TB_TOO_LARGE UINT64_MAX
    static inline uint64_t tb_divide(unsigned __int128 value, uint64_t by) {
        unsigned __int128 quotient;
        uint64_t rest;
        if (by == 1) {
            quotient = value;
            rest = 0;
        } else if ((uint64_t)(value >> 64) == 0) {
            quotient = (uint64_t)value / by;
            rest = (uint64_t)value % by;
        } else {
            quotient = value / by;
            rest = (uint64_t)(value % by);
        }
        if (rest > by - rest || (rest == by - rest && (quotient & 1)))
            quotient += 1;
        return quotient > INT64_MAX ? TB_TOO_LARGE : (uint64_t)quotient;
    }
    static inline uint64_t tb_notional(uint64_t price, uint64_t quantity, uint64_t size, uint64_t scale) {
        unsigned __int128 value = (unsigned __int128)price * quantity;
        if (size != 1) {
            if (value > ((unsigned __int128)-1) / size)
                return TB_TOO_LARGE;
            value *= size;
        }
        return tb_divide(value, scale);
    }
    static inline uint64_t tb_part(uint64_t value, uint64_t times, uint64_t by) {
        return tb_divide((unsigned __int128)value * times, by);
    }
    """
    const uint64_t TOO_LARGE "TB_TOO_LARGE"
    uint64_t notional_units "tb_notional"(uint64_t price, uint64_t quantity, uint64_t size, uint64_t scale) noexcept nogil
    uint64_t part_of "tb_part"(uint64_t value, uint64_t times, uint64_t by) noexcept nogil  # value * times / by

cdef inline uint64_t notional(const Instrument* instrument, uint32_t ticks, uint64_t quantity) noexcept nogil:
    """What so much is worth, in minor units of the quote ledger; TOO_LARGE from 2^63 on."""
    return notional_units(
        ticks * instrument.tick_size, quantity, instrument.contract_size, instrument.price_scale)

cdef inline uint64_t ppm_of(uint64_t amount, uint32_t ppm) noexcept nogil:
    """Millionths of an amount below 2^63."""
    return part_of(amount, ppm, 1000000) if ppm else 0
