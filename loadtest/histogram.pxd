# Latencies in log-linear buckets, as HdrHistogram has them: three significant digits (an error below 1 in 1,024) from a nanosecond
# to more than a minute, in 220 kB; recording is one increment.

from libc.stdint cimport uint32_t, uint64_t

cdef enum:
    SUB_BITS = 10               # 1,024 buckets per power of two
    VALUE_BITS = 37             # values up to 2^37 ns = 137 s; higher ones count as that
    BUCKETS = 28672             # (VALUE_BITS - SUB_BITS + 1) << SUB_BITS

cdef struct Histogram:
    uint64_t total              # values recorded
    uint64_t sum                # of them, in nanoseconds
    uint64_t most               # the highest, exactly
    uint64_t counts[BUCKETS]

cdef extern from *:
    """
    static inline int loadtest_top_bit(unsigned long long value) { return 63 - __builtin_clzll(value | 1); }
    """
    int top_bit "loadtest_top_bit"(unsigned long long value) noexcept nogil

cdef inline uint32_t bucket_of(uint64_t value) noexcept nogil:
    """Values below 2^SUB_BITS have a bucket each; above, each power of two is divided into 2^SUB_BITS buckets."""
    cdef int top
    if value >> VALUE_BITS:
        value = (<uint64_t>1 << VALUE_BITS) - 1
    top = top_bit(value)
    if top < SUB_BITS:
        return <uint32_t>value
    return (<uint32_t>(top - SUB_BITS) << SUB_BITS) + <uint32_t>(value >> (top - SUB_BITS))

cdef inline void histogram_record(Histogram* histogram, uint64_t value) noexcept nogil:
    histogram.counts[bucket_of(value)] += 1
    histogram.total += 1
    histogram.sum += value
    if value > histogram.most:
        histogram.most = value

cdef void histogram_clear(Histogram* histogram) noexcept nogil
cdef void histogram_add(Histogram* into, const Histogram* histogram) noexcept nogil
# The value that `part` (0 … 1) of all values do not exceed: the upper end of its bucket, never more than the highest
# value; 0 when there is none.
cdef uint64_t histogram_percentile(const Histogram* histogram, double part) noexcept nogil
cdef dict summary_us(const Histogram* histogram)     # mean, percentiles and highest, in microseconds
cdef list histogram_counts(const Histogram* histogram)      # (highest value of the bucket in nanoseconds, count), where there are any
