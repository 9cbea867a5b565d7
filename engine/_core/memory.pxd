# Address space for arrays that never move: reserved for the configured capacity, taken from the system page by
# page when first touched. So a store grows without copying, and a pointer into it stays valid.

cdef void* memory_reserve(size_t size) noexcept nogil              # zeroed; NULL when refused
cdef void memory_release(void* base, size_t size) noexcept nogil   # `size` as reserved; NULL is allowed
cdef void memory_forget(void* base, size_t size) noexcept nogil    # gives pages back, contents become zero
cdef void memory_populate(void* base, size_t size) noexcept nogil  # has the system clear the pages now rather than at their first touch
