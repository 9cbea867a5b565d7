"""Writes memory to a file from a forked child, which sees it as it was at the fork.

The child runs no Python: it closes every inherited descriptor but its file (else it would hold the server's port and
its clients' sockets open), writes, syncs and leaves.

It is in nobody's way. The log is on the same disk as a rule, and a commit that finds a hundred megabytes of ours in
the disk's queue waits for them; so each megabyte is on disk before the next is written, and the disk then has as long
for others as it took. The processor is for others, too (nice).
"""

from libc.errno cimport EINTR, errno
from libc.stdlib cimport free, malloc
from libc.string cimport memset
from posix.signal cimport SIG_SETMASK, sigfillset, sigprocmask, sigset_t
from posix.time cimport CLOCK_MONOTONIC, clock_gettime, nanosleep, timespec
from posix.unistd cimport _exit, close, fork, fsync, write

cdef extern from "<sys/syscall.h>" nogil:
    const long SYS_close_range

cdef extern from "<unistd.h>" nogil:
    long syscall(long number, ...)
    long sysconf(int name)
    const int _SC_OPEN_MAX

cdef extern from "<sys/prctl.h>" nogil:
    int prctl(int option, unsigned long value)
    const int PR_SET_PDEATHSIG

cdef extern from "<sys/resource.h>" nogil:
    int setpriority(int which, unsigned int who, int priority)
    const int PRIO_PROCESS

cdef extern from "<fcntl.h>" nogil:
    int sync_file_range(int descriptor, long offset, long size, unsigned int flags)
    const unsigned int SYNC_FILE_RANGE_WAIT_BEFORE, SYNC_FILE_RANGE_WRITE, SYNC_FILE_RANGE_WAIT_AFTER

cdef enum:
    PART = 1024 * 1024          # bytes per write
    SIGKILL = 9
    NICE = 10
    PAUSE_MAX_NS = 50_000_000

cdef struct Part:
    const char* base
    size_t size


cdef void close_others(int keep) noexcept nogil:
    cdef long most, descriptor
    if keep > 0 and syscall(SYS_close_range, 0u, <unsigned int>(keep - 1), 0u) == 0:
        if syscall(SYS_close_range, <unsigned int>(keep + 1), ~0u, 0u) == 0:
            return
    most = sysconf(_SC_OPEN_MAX)
    for descriptor in range(most):
        if descriptor != keep:
            close(<int>descriptor)


cdef int write_all(int descriptor, const char* base, size_t size, long* offset) noexcept nogil:
    cdef ssize_t written
    while size:
        written = write(descriptor, base, size if size < PART else PART)
        if written < 0:
            if errno == EINTR:
                continue
            return -1
        base += written
        size -= <size_t>written
        offset[0] += written
        give_way(descriptor, offset[0] - written, written)
    return 0


cdef void give_way(int descriptor, long offset, long size) noexcept nogil:
    """Wait until a part is on disk (a failure shows in the fsync at the end), then as long again."""
    cdef timespec begun, ended, pause
    cdef long took
    clock_gettime(CLOCK_MONOTONIC, &begun)
    sync_file_range(descriptor, offset, size,
                    SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER)
    clock_gettime(CLOCK_MONOTONIC, &ended)
    took = (ended.tv_sec - begun.tv_sec) * 1_000_000_000 + ended.tv_nsec - begun.tv_nsec
    pause.tv_sec = 0
    pause.tv_nsec = took if took < PAUSE_MAX_NS else PAUSE_MAX_NS
    nanosleep(&pause, NULL)


cdef int fork_and_write(int descriptor, const Part* parts, size_t count) noexcept nogil:
    cdef sigset_t all_signals, before
    cdef size_t index
    cdef long offset = 0
    cdef int process
    # No handler of the parent may run in the child.
    sigfillset(&all_signals)
    sigprocmask(SIG_SETMASK, &all_signals, &before)
    process = fork()
    if process != 0:
        sigprocmask(SIG_SETMASK, &before, NULL)
        return process
    prctl(PR_SET_PDEATHSIG, SIGKILL)
    setpriority(PRIO_PROCESS, 0, NICE)
    close_others(descriptor)
    for index in range(count):
        if write_all(descriptor, parts[index].base, parts[index].size, &offset) != 0:
            _exit(1)
    if fsync(descriptor) != 0:
        _exit(2)
    _exit(0)
    return 0


def write_forked(int descriptor, list buffers) -> int:
    """Forks; the child writes `buffers` to `descriptor` one behind the other. Returns its process id; it ends with 0 if all is on disk."""
    cdef size_t count = len(buffers)
    cdef Part* parts = <Part*>malloc((count + 1) * sizeof(Part))
    cdef const unsigned char[::1] view
    cdef size_t index
    cdef int process
    if parts is NULL:
        raise MemoryError("snapshot")
    try:
        memset(parts, 0, (count + 1) * sizeof(Part))
        for index in range(count):
            view = buffers[index]
            if view.shape[0]:
                parts[index].base = <const char*>&view[0]
                parts[index].size = <size_t>view.shape[0]
        with nogil:
            process = fork_and_write(descriptor, parts, count)
        if process < 0:
            raise OSError(errno, "fork")
        return process
    finally:
        free(parts)
