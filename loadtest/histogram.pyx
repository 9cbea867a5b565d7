"""See `histogram.pxd`."""

from libc.math cimport ceil
from libc.stdlib cimport calloc, free
from libc.string cimport memset


cdef void histogram_clear(Histogram* histogram) noexcept nogil:
    memset(histogram, 0, sizeof(Histogram))


cdef void histogram_add(Histogram* into, const Histogram* histogram) noexcept nogil:
    cdef uint32_t bucket
    for bucket in range(BUCKETS):
        into.counts[bucket] += histogram.counts[bucket]
    into.total += histogram.total
    into.sum += histogram.sum
    if histogram.most > into.most:
        into.most = histogram.most


cdef uint64_t bucket_upper(uint32_t bucket) noexcept nogil:
    """The highest value of a bucket."""
    cdef uint32_t power = bucket >> SUB_BITS
    if power < 2:
        return bucket
    # bucket = (power - 1) * 2^SUB_BITS + a value of SUB_BITS + 1 bits, whose first is set
    return (<uint64_t>(bucket - ((power - 1) << SUB_BITS) + 1) << (power - 1)) - 1


cdef uint64_t histogram_percentile(const Histogram* histogram, double part) noexcept nogil:
    cdef uint64_t wanted = <uint64_t>ceil(part * <double>histogram.total)
    cdef uint64_t seen = 0
    cdef uint64_t upper
    cdef uint32_t bucket
    if histogram.total == 0:
        return 0
    if wanted == 0:
        wanted = 1
    for bucket in range(BUCKETS):
        seen += histogram.counts[bucket]
        if seen >= wanted:
            upper = bucket_upper(bucket)
            return upper if upper < histogram.most else histogram.most
    return histogram.most


cdef class Latencies:
    """The histogram from Python, for benchmarks that time single calls, and for its own tests."""

    cdef Histogram* histogram

    def __cinit__(self) -> None:
        self.histogram = <Histogram*>calloc(1, sizeof(Histogram))
        if self.histogram is NULL:
            raise MemoryError

    def __dealloc__(self) -> None:
        free(self.histogram)

    def record(self, uint64_t nanoseconds) -> None:
        """Counts one latency."""
        histogram_record(self.histogram, nanoseconds)

    def summary(self) -> dict:
        """See `summary_us`."""
        return summary_us(self.histogram)

    def counts(self) -> list:
        """(highest value of a bucket in nanoseconds, count) of all buckets that hold something, in order."""
        return histogram_counts(self.histogram)


cdef list histogram_counts(const Histogram* histogram):
    cdef uint32_t bucket
    return [
        (min(bucket_upper(bucket), histogram.most), histogram.counts[bucket])
        for bucket in range(BUCKETS) if histogram.counts[bucket]
    ]


cdef dict summary_us(const Histogram* histogram):
    """Mean, p50, p90, p99, p99.9 and highest, in microseconds, and how many there were."""
    if histogram.total == 0:
        return {"count": 0}
    return {
        "count": histogram.total,
        "mean": round(histogram.sum / histogram.total / 1e3, 1),
        "p50": histogram_percentile(histogram, 0.5) / 1e3,
        "p90": histogram_percentile(histogram, 0.9) / 1e3,
        "p99": histogram_percentile(histogram, 0.99) / 1e3,
        "p99_9": histogram_percentile(histogram, 0.999) / 1e3,
        "max": histogram.most / 1e3,
    }
