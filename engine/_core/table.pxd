# Identifier to slot: open addressing over cache-line buckets of ten (16-bit tag, 32-bit slot).
#
# The table stores no identifiers. A tag match is only a candidate, and the caller compares the identifier in its
# own store, where it is going to look anyway. So an id costs about 13 bytes, and a miss touches one line.
#
# Growing never stops the world: a table of twice the size is put beside the old one, new ids go to the new one, and
# every insertion moves a few old ids over. A search looks into both meanwhile. The owner says which ids to move,
# since only its store knows them (`Table.moving`).

from libc.stdint cimport uint16_t, uint32_t, uint64_t
from engine._core.native cimport Bucket, bucket_matches, prefetch

cdef struct Table:
    Bucket* buckets
    uint64_t mask           # number of buckets - 1; a power of two - 1
    Bucket* old             # NULL unless growing
    uint64_t old_mask
    uint64_t count          # ids in both
    uint64_t count_max      # grow when reached
    size_t size             # bytes of `buckets`
    size_t old_size
    Bucket* next            # of twice the size, made ahead of time; NULL: not yet
    void* retired           # a table whose ids have all moved; given back in slices
    size_t retired_size
    size_t retired_done
    uint64_t key[4]         # secret words of the hash

cdef int table_create(Table* table, const uint64_t* key, uint64_t count) noexcept nogil    # 0, or -1: out of memory
cdef void table_destroy(Table* table) noexcept nogil
cdef void table_make_next(Table* table) noexcept nogil          # unless memory is out: then growing fails or not
cdef int table_grow(Table* table) noexcept nogil                # 0, or -1: out of memory (nothing has changed)
cdef void table_grown(Table* table) noexcept nogil              # all old ids have moved
cdef void table_retire(Table* table) noexcept nogil             # gives back one slice of a retired table
cdef void table_remove(Table* table, uint64_t hashed, uint32_t slot) noexcept nogil     # which must be in it

cdef inline void table_insert(Table* table, uint64_t hashed, uint32_t slot) noexcept nogil:
    """The id of `slot`, which must not be in the table. The caller has seen to it that there is room."""
    cdef uint64_t index = hashed & table.mask
    cdef Bucket* bucket = &table.buckets[index]
    while bucket.used == 10:
        bucket.overflowed = 1
        index = (index + 1) & table.mask
        bucket = &table.buckets[index]
    bucket.tags[bucket.used] = <uint16_t>(hashed >> 48)
    bucket.slots[bucket.used] = slot
    bucket.used += 1

cdef inline void table_prefetch(Table* table, uint64_t hashed) noexcept nogil:
    prefetch(&table.buckets[hashed & table.mask])
    if table.old is not NULL:
        prefetch(&table.old[hashed & table.old_mask])
