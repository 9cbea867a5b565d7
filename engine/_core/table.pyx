"""See `table.pxd` for the theory; searching is with the owners, which know the identifiers."""

from libc.string cimport memset

from engine._core.memory cimport memory_forget, memory_release, memory_reserve

cdef uint64_t BUCKETS_MIN = 1024
cdef uint64_t LOAD_MAX = 7          # ids per bucket of ten, on average, before the table grows: one in ten overflows
cdef size_t RETIRE_SLICE = 4 * 1024 * 1024


cdef int table_create(Table* table, const uint64_t* key, uint64_t count) noexcept nogil:
    """An empty table with room for `count` ids before it grows."""
    cdef uint64_t buckets = BUCKETS_MIN
    cdef int index
    memset(table, 0, sizeof(Table))
    while buckets * LOAD_MAX <= count:
        buckets *= 2
    for index in range(4):
        table.key[index] = key[index]
    table.size = buckets * sizeof(Bucket)
    table.buckets = <Bucket*>memory_reserve(table.size)
    if table.buckets is NULL:
        return -1
    table.mask = buckets - 1
    table.count_max = buckets * LOAD_MAX
    return 0


cdef void table_destroy(Table* table) noexcept nogil:
    memory_release(table.buckets, table.size)
    memory_release(table.old, table.old_size)
    memory_release(table.next, 2 * table.size)
    memory_release(table.retired, table.retired_size)
    memset(table, 0, sizeof(Table))


cdef void table_make_next(Table* table) noexcept nogil:
    table.next = <Bucket*>memory_reserve(2 * table.size)


cdef int table_grow(Table* table) noexcept nogil:
    cdef size_t size = 2 * table.size
    cdef Bucket* buckets = table.next
    if buckets is NULL:
        buckets = <Bucket*>memory_reserve(size)
    if buckets is NULL:
        return -1
    table.next = NULL
    table.old = table.buckets
    table.old_mask = table.mask
    table.old_size = table.size
    table.buckets = buckets
    table.size = size
    table.mask = 2 * table.mask + 1
    table.count_max *= 2
    return 0


cdef void table_grown(Table* table) noexcept nogil:
    # Unmapping a gigabyte takes tens of milliseconds, so it is given back in slices.
    memory_release(table.retired, table.retired_size)
    table.retired = table.old
    table.retired_size = table.old_size
    table.retired_done = 0
    table.old = NULL
    table.old_mask = 0
    table.old_size = 0


cdef void table_retire(Table* table) noexcept nogil:
    cdef size_t slice_size
    if table.retired is NULL:
        return
    slice_size = table.retired_size - table.retired_done
    if slice_size > RETIRE_SLICE:
        memory_forget(<char*>table.retired + table.retired_done, RETIRE_SLICE)
        table.retired_done += RETIRE_SLICE
        return
    memory_release(table.retired, table.retired_size)
    table.retired = NULL


cdef bint remove_from(Bucket* buckets, uint64_t mask, uint64_t hashed, uint32_t slot) noexcept nogil:
    cdef uint64_t index = hashed & mask
    cdef Bucket* bucket
    cdef uint16_t entry, last
    while True:
        bucket = &buckets[index]
        for entry in range(bucket.used):
            if bucket.slots[entry] == slot:
                last = bucket.used - 1
                bucket.tags[entry] = bucket.tags[last]
                bucket.slots[entry] = bucket.slots[last]
                bucket.used = last
                return True
        if not bucket.overflowed:
            return False
        index = (index + 1) & mask


cdef void table_remove(Table* table, uint64_t hashed, uint32_t slot) noexcept nogil:
    """Takes out the id of `slot`, from both tables when it has been moved already."""
    remove_from(table.buckets, table.mask, hashed, slot)
    if table.old is not NULL:
        remove_from(table.old, table.old_mask, hashed, slot)
