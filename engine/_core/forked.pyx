"""Writes memory to a file from a forked child, which sees it as it was at the fork.

The child runs no Python: it closes every inherited descriptor but its file (else it would hold the server's port and
its clients' sockets open), writes, syncs and leaves.
"""

from libc.errno cimport EINTR, errno
from libc.stdlib cimport free, malloc
from libc.string cimport memset
from posix.signal cimport SIG_SETMASK, sigfillset, sigprocmask, sigset_t
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

cdef enum:
    PART = 16 * 1024 * 1024     # bytes per write
    SIGKILL = 9

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


cdef int write_all(int descriptor, const char* base, size_t size) noexcept nogil:
    cdef ssize_t written
    while size:
        written = write(descriptor, base, size if size < PART else PART)
        if written < 0:
            if errno == EINTR:
                continue
            return -1
        base += written
        size -= <size_t>written
    return 0


cdef int fork_and_write(int descriptor, const Part* parts, size_t count) noexcept nogil:
    cdef sigset_t all_signals, before
    cdef size_t index
    cdef int process
    # No handler of the parent may run in the child.
    sigfillset(&all_signals)
    sigprocmask(SIG_SETMASK, &all_signals, &before)
    process = fork()
    if process != 0:
        sigprocmask(SIG_SETMASK, &before, NULL)
        return process
    prctl(PR_SET_PDEATHSIG, SIGKILL)
    close_others(descriptor)
    for index in range(count):
        if write_all(descriptor, parts[index].base, parts[index].size) != 0:
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
