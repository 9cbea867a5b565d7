"""The loop of the load generator: one thread, epoll, no Python object per request.

Closed: each connection keeps `depth` requests in flight; a reply makes room for the next. Open: request g of all is due
at start + g / rate whatever the server does, and its latency counts from then, so a stalled server cannot hide
the requests that would have come meanwhile (no coordinated omission).

Requests are dealt to the connections in turn, in blocks of those that belong together. A connection that has read from
its socket writes once, so that the generator behaves like as many pipelining clients.
"""

from libc.errno cimport EAGAIN, EINTR, errno
from libc.stddef cimport size_t
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memchr, memmove, memset
from posix.time cimport CLOCK_MONOTONIC, CLOCK_THREAD_CPUTIME_ID, clock_gettime, itimerspec, timespec

from loadtest.histogram cimport (
    Histogram, histogram_add, histogram_clear, histogram_counts, histogram_percentile, histogram_record, summary_us,
)
from loadtest.replies cimport STATUSES, Tally, reply_check, reply_judge, tally_allow, tally_counts
from loadtest.requests cimport KINDS_MAX, Plan, Requests, plan_items, plan_kind, plan_line, plan_room

cdef extern from "<sys/epoll.h>" nogil:
    ctypedef union epoll_data_t:
        uint32_t u32
    cdef struct epoll_event:
        uint32_t events
        epoll_data_t data
    const uint32_t EPOLLIN, EPOLLOUT, EPOLLERR, EPOLLHUP
    const int EPOLL_CTL_ADD, EPOLL_CTL_MOD
    int epoll_create1(int flags)
    int epoll_ctl(int poll, int operation, int fd, epoll_event* event)
    int epoll_wait(int poll, epoll_event* events, int count, int timeout)

cdef extern from "<sys/timerfd.h>" nogil:
    const int TFD_NONBLOCK
    int timerfd_create(int clock, int flags)
    int timerfd_settime(int fd, int flags, const itimerspec* new, itimerspec* old)

cdef extern from "<sys/socket.h>" nogil:
    const int MSG_NOSIGNAL
    ssize_t recv(int fd, void* buffer, size_t size, int flags)
    ssize_t send(int fd, const void* buffer, size_t size, int flags)

cdef extern from "<unistd.h>" nogil:
    int close(int fd)
    ssize_t read(int fd, void* buffer, size_t size)

cdef enum:
    EVENTS = 256
    BUFFER_MIN = 262144             # bytes, each way and connection
    PADDING = 64                    # behind what is read, for the checker
    WAIT_MS = 50                    # how long to sleep at most
    TIMER = 0xFFFFFFFF              # in place of a connection number
    SECOND = 1000000000

cdef struct Connection:
    int fd
    bint blocked                    # the socket takes no more: wait for EPOLLOUT
    uint8_t* out                    # bytes out_first … out_last are to be sent
    size_t out_first, out_last, out_capacity
    uint8_t* into                   # into_last bytes of an unfinished line
    size_t into_last, into_capacity
    uint64_t written                # requests put into `out`; the next one's JSON id
    uint64_t answered
    uint64_t due                    # requests that may be written (open: as scheduled; closed: as in-flight room allows)
    uint64_t* written_at            # ring of `depth` times (closed only)
    uint64_t timestamp              # newest of its results

cdef struct Second:                 # one entry of the time line
    uint64_t requests
    uint64_t p50
    uint64_t p99
    uint64_t p99_9
    uint64_t most
    uint64_t failed                 # requests refused or answered otherwise than expected, until its end

cdef struct Load:
    const Plan* plan
    Connection* connections
    uint32_t connection_count
    uint32_t depth                  # closed: in flight per connection
    double interval                 # open: nanoseconds between two requests; 0 = closed
    uint32_t block                  # requests that follow each other on one connection
    uint64_t first                  # number of the first request in the workload
    uint64_t count                  # requests in all
    uint64_t dealt                  # requests that have become due
    uint64_t answered
    uint64_t start                  # times in nanoseconds of the monotonic clock
    uint64_t measure                # from here on replies are measured
    uint64_t stop                   # no new requests from here on
    uint64_t stalled_after          # nanoseconds without any reply, with requests in flight
    uint64_t newest                 # when the newest reply came
    uint64_t measured_requests
    uint64_t measured_items
    uint64_t measured_until
    uint64_t second_end
    uint64_t second_requests
    Second* seconds
    uint32_t second_count, second_capacity
    Histogram* second               # latencies of the second that runs
    Histogram* total                # … of all seconds before
    Histogram* kinds[KINDS_MAX]     # … of all seconds, by kind of request; NULL when there is one kind only
    Histogram* lag                  # open: how late requests were written
    Tally tally
    int poll
    int timer
    int broken                      # errno of a connection that broke; -1: closed by the server; -2: wrong reply; -3: stalled

cdef inline uint64_t now_ns() noexcept nogil:
    cdef timespec time
    clock_gettime(CLOCK_MONOTONIC, &time)
    return <uint64_t>time.tv_sec * SECOND + <uint64_t>time.tv_nsec


cdef inline uint64_t cpu_ns() noexcept nogil:
    cdef timespec time
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
    return <uint64_t>time.tv_sec * SECOND + <uint64_t>time.tv_nsec


# --- numbers and times of requests ----------------------------------------------------------------

cdef inline uint64_t number_of(const Load* load, uint32_t connection, uint64_t index) noexcept nogil:
    """Which request of all is the connection's request number `index`."""
    cdef uint64_t block = index // load.block
    return (block * load.connection_count + connection) * load.block + index % load.block


cdef inline uint64_t due_at(const Load* load, uint64_t number) noexcept nogil:
    return load.start + <uint64_t>(<double>number * load.interval)


cdef inline uint32_t connection_of(const Load* load, uint64_t number) noexcept nogil:
    return <uint32_t>(number // load.block % load.connection_count)


# --- sending --------------------------------------------------------------------------------------

cdef void watch(Load* load, uint32_t number, bint out) noexcept nogil:
    cdef epoll_event event
    event.events = EPOLLIN | (EPOLLOUT if out else 0)
    event.data.u32 = number
    epoll_ctl(load.poll, EPOLL_CTL_MOD, load.connections[number].fd, &event)


cdef void write_due(Load* load, uint32_t number, uint64_t now) noexcept nogil:
    """Puts what is due into the buffer, as long as there is room."""
    cdef Connection* connection = &load.connections[number]
    cdef size_t room = plan_room(load.plan)
    cdef uint64_t request
    while connection.written < connection.due and connection.out_capacity - connection.out_last >= room:
        request = number_of(load, number, connection.written)
        connection.out_last = plan_line(
            load.plan, load.first + request, connection.written, connection.out + connection.out_last) - connection.out
        if load.interval == 0:
            connection.written_at[connection.written % load.depth] = now
        elif due_at(load, request) >= load.measure:
            histogram_record(load.lag, now - due_at(load, request))
        connection.written += 1


cdef void flush(Load* load, uint32_t number, uint64_t now) noexcept nogil:
    """Writes what is due and sends it, until the socket takes no more."""
    cdef Connection* connection = &load.connections[number]
    cdef ssize_t sent
    cdef size_t length
    while True:
        write_due(load, number, now)
        length = connection.out_last - connection.out_first
        if length == 0:
            break
        sent = send(connection.fd, connection.out + connection.out_first, length, MSG_NOSIGNAL)
        if sent < 0:
            if errno == EINTR:
                continue
            if errno != EAGAIN:
                load.broken = errno
            elif not connection.blocked:
                connection.blocked = True
                watch(load, number, True)
            return
        connection.out_first += sent
        if connection.out_first == connection.out_last:
            connection.out_first = connection.out_last = 0
    if connection.blocked:
        connection.blocked = False
        watch(load, number, False)


cdef void deal(Load* load, uint64_t now) noexcept nogil:
    """Open loop: lets requests become due, and writes them, one write per connection."""
    cdef uint64_t number
    cdef uint32_t index
    cdef Connection* connection
    if now >= load.stop and load.count > load.dealt:
        load.count = load.dealt
    while load.dealt < load.count and due_at(load, load.dealt) <= now:
        load.connections[connection_of(load, load.dealt)].due += 1
        load.dealt += 1
    for index in range(load.connection_count):
        connection = &load.connections[index]
        if connection.written < connection.due and not connection.blocked:
            flush(load, index, now)


cdef uint64_t share_of(const Load* load, uint32_t connection) noexcept nogil:
    """How many of the `count` requests are the connection's."""
    cdef uint64_t cycle = <uint64_t>load.block * load.connection_count
    cdef uint64_t rest = load.count % cycle
    cdef uint64_t before = <uint64_t>connection * load.block
    cdef uint64_t share = load.count // cycle * load.block
    if rest > before:
        share += rest - before if rest - before < load.block else load.block
    return share


cdef inline void allow_more(Load* load, uint32_t number, uint64_t now) noexcept nogil:
    """Closed loop: as many may be in flight as `depth`."""
    cdef Connection* connection = &load.connections[number]
    cdef uint64_t share
    if now >= load.stop:
        return
    share = share_of(load, number)
    connection.due = connection.answered + load.depth
    if connection.due > share:
        connection.due = share


# --- receiving ------------------------------------------------------------------------------------

cdef void end_second(Load* load) noexcept nogil:
    cdef Second* second
    if load.second_count < load.second_capacity:
        second = &load.seconds[load.second_count]
        second.requests = load.second_requests
        second.p50 = histogram_percentile(load.second, 0.5)
        second.p99 = histogram_percentile(load.second, 0.99)
        second.p99_9 = histogram_percentile(load.second, 0.999)
        second.failed = load.tally.errors + load.tally.unexpected
        second.most = load.second.most
        load.second_count += 1
    histogram_add(load.total, load.second)
    histogram_clear(load.second)
    load.second_requests = 0
    load.second_end += SECOND


cdef void measure(Load* load, Connection* connection, uint32_t number, uint64_t now) noexcept nogil:
    """The reply to the connection's oldest request has come."""
    cdef uint64_t request = number_of(load, number, connection.answered)
    cdef uint64_t since
    if load.interval == 0:
        since = connection.written_at[connection.answered % load.depth]
        if now < load.measure or now >= load.stop:
            return
    else:
        since = due_at(load, request)
        if since < load.measure:    # however late it comes, it counts
            return
    histogram_record(load.second, now - since)
    if load.kinds[0] is not NULL:
        histogram_record(load.kinds[plan_kind(load.plan, load.first + request)], now - since)
    load.second_requests += 1
    load.measured_requests += 1
    load.measured_items += plan_items(load.plan, load.first + request)
    load.measured_until = now


cdef inline bint answers(
    Load* load, Connection* connection, uint32_t number, const uint8_t* line, const uint8_t* end
) noexcept nogil:
    """Whether the line is the reply to the connection's oldest request, well or badly."""
    cdef uint32_t items = plan_items(load.plan, load.first + number_of(load, number, connection.answered))
    if load.plan.script is not NULL:
        return reply_judge(&load.tally, line, end, connection.answered, items)
    return reply_check(&load.tally, line, end, connection.answered, items, &connection.timestamp)


cdef void receive(Load* load, uint32_t number) noexcept nogil:
    """Reads once and checks the complete lines."""
    cdef Connection* connection = &load.connections[number]
    cdef ssize_t got
    cdef uint64_t now
    cdef uint8_t* line = connection.into
    cdef uint8_t* end
    cdef uint8_t* last
    got = recv(connection.fd, connection.into + connection.into_last, connection.into_capacity - connection.into_last, 0)
    if got <= 0:
        if got == 0:
            load.broken = -1
        elif errno != EAGAIN and errno != EINTR:
            load.broken = errno
        return
    now = now_ns()
    last = connection.into + connection.into_last + got
    end = connection.into + connection.into_last
    while True:
        end = <uint8_t*>memchr(end, c'\n', last - end)
        if end is NULL:
            break
        if connection.answered == connection.written or not answers(load, connection, number, line, end):
            load.broken = -2
            return
        measure(load, connection, number, now)
        connection.answered += 1
        load.answered += 1
        end += 1
        line = end
    connection.into_last = last - line
    if line != connection.into:
        memmove(connection.into, line, connection.into_last)
    load.newest = now
    if connection.into_last == connection.into_capacity:
        load.broken = -2            # a line longer than any reply to our requests
    if load.interval == 0:
        allow_more(load, number, now)
        if not connection.blocked:
            flush(load, number, now)


cdef bint finished(const Load* load, uint64_t now) noexcept nogil:
    cdef uint32_t index
    cdef uint64_t written = 0
    if load.interval == 0:
        if now < load.stop and load.answered < load.count:
            return False
        for index in range(load.connection_count):
            written += load.connections[index].due
        return load.answered == written
    return load.answered == load.count


cdef bint run_until(Load* load, uint64_t until) noexcept nogil:
    """Goes on until that time; True when all is done or something broke."""
    cdef epoll_event events[EVENTS]
    cdef int count, index
    cdef uint32_t number
    cdef uint64_t ticks
    cdef uint64_t now = now_ns()
    while not load.broken and not finished(load, now) and now < until:
        count = epoll_wait(load.poll, events, EVENTS, WAIT_MS)
        for index in range(count):
            number = events[index].data.u32
            if number == TIMER:
                # Only reading sets it going again: the kernel counts a periodic timer's ticks when it is asked for them.
                read(load.timer, &ticks, sizeof(ticks))
                continue
            if events[index].events & (EPOLLIN | EPOLLERR | EPOLLHUP):
                receive(load, number)
            if events[index].events & EPOLLOUT and not load.broken:
                flush(load, number, now_ns())
            if load.broken:
                break
        now = now_ns()
        if load.interval != 0 and not load.broken:
            deal(load, now)
        while load.second_end <= now and load.second_end <= load.stop:
            end_second(load)
        if load.interval != 0 and load.answered == load.dealt:
            load.newest = now
        elif now - load.newest > load.stalled_after:
            load.broken = -3
    return load.broken != 0 or finished(load, now)


# --- the door -------------------------------------------------------------------------------------

class LoadError(Exception):
    """The server broke the connection, stalled, or answered something that is no reply to what was asked."""


cdef class Loop:
    """One run. `sockets` are connected and logged on; the loop makes them non-blocking and leaves closing to the caller.

    With `rate` (requests a second over all connections) the loop is open, otherwise closed with `depth` in flight per
    connection. It ends after `count` requests or `seconds`, of which the first `warm_up` are not measured, and waits for the
    replies that are still to come. `first` is the number of the first request in the workload.
    """

    cdef Load load
    cdef readonly Requests requests
    cdef list sockets
    cdef double rate
    cdef uint64_t cpu           # nanoseconds that the loop has used
    cdef double tick

    def __cinit__(self, *_, **__) -> None:
        self.load.poll = self.load.timer = -1

    def __init__(
        self, Requests requests not None, sockets, *, int depth=1, double rate=0, double seconds=10, double warm_up=0,
        count=None, uint64_t first=0, double stalled_after=30, double tick=0.0001, allowed=(0,), words=()) -> None:
        cdef uint32_t index
        if not sockets:
            raise ValueError("sockets: none")
        if depth < 1 or rate < 0 or seconds <= warm_up or warm_up < 0:
            raise ValueError("depth, rate, seconds and warm_up: depth from 1, rate from 0, warm_up less than seconds")
        self.requests = requests
        self.sockets = list(sockets)
        self.rate = rate
        self.tick = tick
        self.load.plan = &requests.plan
        self.load.connection_count = <uint32_t>len(self.sockets)
        self.load.depth = depth
        self.load.interval = 1e9 / rate if rate else 0
        self.load.block = requests.block
        self.load.first = first
        self.load.count = 2**62 if count is None else count
        self.load.stalled_after = <uint64_t>(stalled_after * 1e9)
        for status in allowed:
            self.load.tally.allowed[<int>status] = 1
        for word in words:
            tally_allow(&self.load.tally, word)
        self.load.second_capacity = <uint32_t>(seconds + 2)
        self.allocate()
        self.load.start = now_ns()
        self.load.newest = self.load.start
        self.load.measure = self.load.start + <uint64_t>(warm_up * 1e9)
        self.load.second_end = self.load.measure + SECOND
        self.load.stop = self.load.start + <uint64_t>(seconds * 1e9)
        self.cpu = 0
        self.open()

    def __dealloc__(self) -> None:
        cdef uint32_t index
        if self.load.connections is not NULL:
            for index in range(self.load.connection_count):
                free(self.load.connections[index].out)
                free(self.load.connections[index].into)
                free(self.load.connections[index].written_at)
        free(self.load.connections)
        free(self.load.seconds)
        free(self.load.second)
        free(self.load.total)
        free(self.load.lag)
        for index in range(KINDS_MAX):
            free(self.load.kinds[index])
        if self.load.poll >= 0:
            close(self.load.poll)
        if self.load.timer >= 0:
            close(self.load.timer)

    cdef allocate(self):
        cdef Connection* connection
        cdef uint32_t index
        cdef size_t out = 4 * plan_room(self.load.plan)
        cdef size_t into = 4 * self.requests.reply_bytes
        self.load.connections = <Connection*>calloc(self.load.connection_count, sizeof(Connection))
        self.load.seconds = <Second*>calloc(self.load.second_capacity, sizeof(Second))
        self.load.second = <Histogram*>calloc(1, sizeof(Histogram))
        self.load.total = <Histogram*>calloc(1, sizeof(Histogram))
        self.load.lag = <Histogram*>calloc(1, sizeof(Histogram))
        if (self.load.connections is NULL or self.load.seconds is NULL or self.load.second is NULL
                or self.load.total is NULL or self.load.lag is NULL):
            raise MemoryError
        for index in range(len(self.requests.kinds) if len(self.requests.kinds) > 1 else 0):
            self.load.kinds[index] = <Histogram*>calloc(1, sizeof(Histogram))
            if self.load.kinds[index] is NULL:
                raise MemoryError
        for index in range(self.load.connection_count):
            connection = &self.load.connections[index]
            connection.fd = -1
            connection.out_capacity = out if out > BUFFER_MIN else BUFFER_MIN
            connection.into_capacity = into if into > BUFFER_MIN else BUFFER_MIN
            connection.out = <uint8_t*>malloc(connection.out_capacity)
            connection.into = <uint8_t*>calloc(1, connection.into_capacity + PADDING)
            connection.written_at = <uint64_t*>calloc(self.load.depth, sizeof(uint64_t))
            if connection.out is NULL or connection.into is NULL or connection.written_at is NULL:
                raise MemoryError

    cdef open(self):
        cdef epoll_event event
        cdef uint32_t index
        self.load.poll = epoll_create1(0)
        if self.load.poll < 0:
            raise OSError(errno, "epoll")
        for index in range(self.load.connection_count):
            self.sockets[index].setblocking(False)
            self.load.connections[index].fd = self.sockets[index].fileno()
            event.events = EPOLLIN
            event.data.u32 = index
            if epoll_ctl(self.load.poll, EPOLL_CTL_ADD, self.load.connections[index].fd, &event) != 0:
                raise OSError(errno, "epoll")
        if self.load.interval != 0:
            self.open_timer()

    cdef open_timer(self):
        """Wakes the loop every `tick` seconds."""
        cdef itimerspec every
        cdef epoll_event event
        self.load.timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK)
        if self.load.timer < 0:
            raise OSError(errno, "timer")
        memset(&every, 0, sizeof(every))
        every.it_value.tv_nsec = every.it_interval.tv_nsec = <long>(self.tick * 1e9)
        event.events = EPOLLIN
        event.data.u32 = TIMER
        if (timerfd_settime(self.load.timer, 0, &every, NULL) != 0
                or epoll_ctl(self.load.poll, EPOLL_CTL_ADD, self.load.timer, &event) != 0):
            raise OSError(errno, "timer")

    def run(self, double seconds) -> bool:
        """Runs for so long; True once all is done. Raises LoadError. Call it again and again: Python can look in between."""
        cdef uint64_t cpu = cpu_ns()
        cdef uint32_t index
        cdef bint done
        cdef uint64_t now
        with nogil:
            now = now_ns()
            if load_is_fresh(&self.load):
                for index in range(self.load.connection_count):
                    if self.load.interval == 0:
                        allow_more(&self.load, index, now)
                        flush(&self.load, index, now)
            done = run_until(&self.load, now + <uint64_t>(seconds * 1e9))
        self.cpu += cpu_ns() - cpu
        if self.load.broken:
            raise LoadError(self.reason())
        if done:
            self.finish()
        return done

    def stop(self) -> None:
        """Sends nothing new from now on; `run` goes on until what is in flight has been answered. To be called between two runs."""
        self.load.stop = min(self.load.stop, now_ns())

    cdef finish(self):
        """What is left of the last second; called once all is answered."""
        if self.load.second.total:
            end_second(&self.load)
        if self.load.interval != 0 and self.load.measured_until < self.load.stop and self.load.count == 2**62:
            self.load.measured_until = self.load.stop

    cdef str reason(self):
        kept = "; ".join(tally_counts(&self.load.tally)["kept"])
        flying = sum([self.load.connections[i].written for i in range(self.load.connection_count)]) - self.load.answered
        after = f"after {self.load.answered} replies, with {flying} in flight"
        if self.load.broken == -1:
            return f"the server closed a connection {after}: {kept}"
        if self.load.broken == -2:
            return f"not the reply that was due, {after}: {kept}"
        if self.load.broken == -3:
            return f"no reply for {self.load.stalled_after / 1e9:.0f} seconds {after}: {kept}"
        return f"errno {self.load.broken} {after}: {kept}"

    @property
    def preparing(self) -> bool:
        """Whether the requests create accounts."""
        return self.load.plan.creates_accounts != 0

    @property
    def answered(self) -> int:
        """Replies so far, the warm-up's too."""
        return self.load.answered

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return (now_ns() - self.load.start) / 1e9

    def latencies(self) -> dict:
        """By kind of request, and of all under "": (highest value of a bucket in nanoseconds, count), in order."""
        kinds = {"": histogram_counts(self.load.total)}
        if self.load.kinds[0] is not NULL:
            for place, name in enumerate(self.requests.kinds):
                kinds[name] = histogram_counts(self.load.kinds[<int>place])
        return kinds

    def result(self) -> dict:
        """What was measured; latencies in microseconds."""
        cdef double measured = (self.load.measured_until - self.load.measure) / 1e9
        cdef Second* second
        cdef uint32_t index
        if self.load.measured_requests == 0:
            measured = 0
        kinds = {}
        if self.load.kinds[0] is not NULL:
            for place, name in enumerate(self.requests.kinds):
                kinds[name] = summary_us(self.load.kinds[<int>place])
        line = []
        failed = 0
        for index in range(self.load.second_count):
            second = &self.load.seconds[index]
            line.append({
                "requests": second.requests, "p50": second.p50 / 1e3, "p99": second.p99 / 1e3,
                "p99_9": second.p99_9 / 1e3, "max": second.most / 1e3, "failed": second.failed - failed,
            })
            failed = second.failed
        return {
            "requests": self.load.measured_requests,
            "transfers": self.load.measured_items,
            "seconds": measured,
            "requests_per_second": self.load.measured_requests / measured if measured else 0.0,
            "transfers_per_second": self.load.measured_items / measured if measured else 0.0,
            "latency_us": summary_us(self.load.total),
            "kinds_us": kinds,
            "send_lag_us": summary_us(self.load.lag),
            "generator_ns_per_request": <double>self.cpu / self.load.answered if self.load.answered else 0.0,
            "requests_all": self.load.answered,
            **tally_counts(&self.load.tally),
            "time_line": line,
        }


cdef bint load_is_fresh(const Load* load) noexcept nogil:
    cdef uint32_t index
    for index in range(load.connection_count):
        if load.connections[index].written:
            return False
    return True
