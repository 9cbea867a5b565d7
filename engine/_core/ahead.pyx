"""See `ahead.pxd`. Shared with the thread are the spans, under a lock that is held for a few instructions."""

from libc.stdint cimport uint64_t
from libc.stdlib cimport calloc, free
from posix.mman cimport madvise
from posix.signal cimport SIG_SETMASK, sigfillset, sigset_t

from engine._core.records cimport Account, AccountDetail, Balance, Id128, Transfer
from engine._core.store cimport Expiry
from engine._core.table cimport Table, table_make_next

cdef extern from "<pthread.h>" nogil:
    ctypedef struct pthread_t:
        pass
    ctypedef struct pthread_mutex_t:
        pass
    ctypedef struct pthread_cond_t:
        pass
    int pthread_create(pthread_t* thread, const void* attributes, void* (*routine)(void*) noexcept nogil, void* argument)
    int pthread_join(pthread_t thread, void** result)
    int pthread_mutex_init(pthread_mutex_t* mutex, const void* attributes)
    int pthread_mutex_destroy(pthread_mutex_t* mutex)
    int pthread_mutex_lock(pthread_mutex_t* mutex)
    int pthread_mutex_unlock(pthread_mutex_t* mutex)
    int pthread_cond_init(pthread_cond_t* condition, const void* attributes)
    int pthread_cond_destroy(pthread_cond_t* condition)
    int pthread_cond_signal(pthread_cond_t* condition)
    int pthread_cond_wait(pthread_cond_t* condition, pthread_mutex_t* mutex)
    int pthread_sigmask(int how, const sigset_t* set, sigset_t* old)

cdef extern from *:
    """
    #ifndef MADV_POPULATE_WRITE
    #define MADV_POPULATE_WRITE 23      /* Linux 5.14; older kernels say EINVAL */
    #endif
    """
    const int MADV_POPULATE_WRITE

cdef enum:
    SPANS = 17                          # seven stores, the successors of two tables, and eight of others
    OTHERS = 9
    ACCOUNT_IDS = 7
    TRANSFER_IDS = 8

cdef size_t PIECE = 2 * 1024 * 1024     # populated at a time; a fork waits for one of them at most
cdef size_t DISTANCE = 16 * 1024 * 1024 # ahead of what is used: 100 ms at the highest rate there is

cdef struct Span:
    char* base
    size_t wanted                       # bytes from `base` that are to be resident
    size_t done

cdef struct Ahead:
    Span spans[SPANS]
    pthread_mutex_t lock
    pthread_cond_t more
    pthread_t thread
    bint working                        # on a piece, without the lock
    bint stopping


cdef Span* unfinished(Ahead* ahead) noexcept nogil:
    cdef int index
    for index in range(SPANS):
        if ahead.spans[index].done < ahead.spans[index].wanted:
            return &ahead.spans[index]
    return NULL


cdef void* populate(void* argument) noexcept nogil:
    cdef Ahead* ahead = <Ahead*>argument
    cdef Span* span
    cdef char* base
    cdef size_t size
    pthread_mutex_lock(&ahead.lock)
    while not ahead.stopping:
        span = unfinished(ahead)
        if span is NULL:
            pthread_cond_wait(&ahead.more, &ahead.lock)
            continue
        base = span.base + span.done
        size = span.wanted - span.done
        if size > PIECE:
            size = PIECE
        span.done += size
        ahead.working = True
        pthread_mutex_unlock(&ahead.lock)
        madvise(base, size, MADV_POPULATE_WRITE)    # without memory to give it fails, and the first touch will
        pthread_mutex_lock(&ahead.lock)
        ahead.working = False
    pthread_mutex_unlock(&ahead.lock)
    return NULL


cdef Ahead* ahead_start() noexcept nogil:
    cdef Ahead* ahead = <Ahead*>calloc(1, sizeof(Ahead))
    cdef sigset_t all_signals, before
    cdef int outcome
    if ahead is NULL:
        return NULL
    pthread_mutex_init(&ahead.lock, NULL)
    pthread_cond_init(&ahead.more, NULL)
    sigfillset(&all_signals)
    pthread_sigmask(SIG_SETMASK, &all_signals, &before)     # signals are for Python's threads
    outcome = pthread_create(&ahead.thread, NULL, populate, ahead)
    pthread_sigmask(SIG_SETMASK, &before, NULL)
    if outcome != 0:
        pthread_mutex_destroy(&ahead.lock)
        pthread_cond_destroy(&ahead.more)
        free(ahead)
        return NULL
    return ahead


cdef void ahead_stop(Ahead* ahead) noexcept nogil:
    if ahead is NULL:
        return
    pthread_mutex_lock(&ahead.lock)
    ahead.stopping = True
    pthread_cond_signal(&ahead.more)
    pthread_mutex_unlock(&ahead.lock)
    pthread_join(ahead.thread, NULL)
    pthread_mutex_destroy(&ahead.lock)
    pthread_cond_destroy(&ahead.more)
    free(ahead)


cdef bint ahead_finished(Ahead* ahead) noexcept nogil:
    cdef bint finished
    pthread_mutex_lock(&ahead.lock)
    finished = not ahead.working and unfinished(ahead) is NULL
    pthread_mutex_unlock(&ahead.lock)
    return finished


cdef bint want_store(Span* span, void* base, uint64_t used, uint64_t capacity, size_t record) noexcept nogil:
    """Whether there is something to populate. A store that nobody uses stays as it is."""
    cdef size_t wanted = used * record + DISTANCE
    if not used:
        return False
    if wanted > capacity * record:
        wanted = capacity * record
    # In pieces that start where a page does, and not for every few bytes.
    if wanted < span.wanted + PIECE:
        return False
    span.base = <char*>base
    span.wanted = wanted // PIECE * PIECE
    return True


cdef bint want_table(Span* span, Table* table, uint64_t most) noexcept nogil:
    """The successor is made when three quarters are full, and nobody's any more once it is the table."""
    if table.next is NULL and table.old is NULL and table.count > table.count_max // 4 * 3 and table.count_max < most:
        table_make_next(table)
    if <char*>table.next == span.base:
        return False
    span.base = <char*>table.next
    span.done = 0
    span.wanted = 2 * table.size if table.next is not NULL else 0
    return table.next is not NULL


cdef void ahead_look(Ahead* ahead, Ledger* ledger) noexcept nogil:
    cdef Span* spans = ahead.spans
    cdef uint64_t transfers = <uint64_t>ledger.capacity.transfers + ledger.capacity.burnt
    cdef bint more = False
    pthread_mutex_lock(&ahead.lock)
    more |= want_store(&spans[0], ledger.accounts, ledger.account_count, ledger.capacity.accounts, sizeof(Account))
    more |= want_store(&spans[1], ledger.details, ledger.account_count, ledger.capacity.accounts, sizeof(AccountDetail))
    more |= want_store(&spans[2], ledger.transfers, ledger.transfer_count, ledger.capacity.transfers, sizeof(Transfer))
    more |= want_store(&spans[3], ledger.burnt, ledger.burnt_count, ledger.capacity.burnt, sizeof(Id128))
    more |= want_store(&spans[4], ledger.balances, ledger.balance_count, ledger.capacity.balances, sizeof(Balance))
    more |= want_store(&spans[5], ledger.index, ledger.index_count, ledger.index_capacity, 4)
    more |= want_store(&spans[6], ledger.expiries, ledger.expiry_count, ledger.capacity.transfers, sizeof(Expiry))
    more |= want_table(&spans[ACCOUNT_IDS], &ledger.account_ids, ledger.capacity.accounts)
    more |= want_table(&spans[TRANSFER_IDS], &ledger.transfer_ids, transfers)
    if more:
        pthread_cond_signal(&ahead.more)
    pthread_mutex_unlock(&ahead.lock)


cdef void ahead_store(void* opaque, int number, void* base, uint64_t used, uint64_t capacity, size_t record) noexcept nogil:
    cdef Ahead* ahead = <Ahead*>opaque
    pthread_mutex_lock(&ahead.lock)
    if want_store(&ahead.spans[OTHERS + number], base, used, capacity, record):
        pthread_cond_signal(&ahead.more)
    pthread_mutex_unlock(&ahead.lock)


cdef void ahead_table(void* opaque, int number, Table* table, uint64_t most) noexcept nogil:
    cdef Ahead* ahead = <Ahead*>opaque
    pthread_mutex_lock(&ahead.lock)
    if want_table(&ahead.spans[OTHERS + number], table, most):
        pthread_cond_signal(&ahead.more)
    pthread_mutex_unlock(&ahead.lock)
