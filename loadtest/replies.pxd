# Checks reply lines: every one, whole. What is not exactly as expected is counted by name, and the first few are kept.

from libc.stddef cimport size_t
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

cdef enum:
    STATUSES = 128              # room for the numbers of engine.results.Status
    NAME_ROOM = 64
    ERRORS_MAX = 16             # different error codes that are told apart
    KEPT_MAX = 8                # lines that are kept for the report
    KEPT_ROOM = 300
    WORDS_MAX = 48              # different words that results of other requests begin with

cdef struct StatusName:
    uint32_t length
    uint8_t text[NAME_ROOM]

cdef struct Tally:
    uint64_t statuses[STATUSES] # results by status number; the last one: a name that is none
    uint64_t expected           # requests whose every item had a status that `allowed` has
    uint64_t unexpected         # requests with any other status
    uint64_t errors             # requests answered with an error
    uint64_t wrong              # lines that are no reply, or not to the request in turn, or out of order in time
    int64_t error_codes[ERRORS_MAX]
    uint64_t error_counts[ERRORS_MAX]
    uint32_t error_code_count
    uint32_t kept_count
    uint32_t kept_length[KEPT_MAX]
    uint8_t kept[KEPT_MAX][KEPT_ROOM]
    uint8_t allowed[STATUSES]   # statuses that are no failure
    # Words of results that `reply_judge` reads: the status, or why something was rejected. The allowed ones stand first.
    StatusName words[WORDS_MAX]
    uint64_t word_counts[WORDS_MAX]
    uint32_t word_count, words_allowed

# The line `p` … `end` (without its LF) as the reply to request `id` of `items` items. `timestamp`: the newest of this
# connection, which results with the status `created` must exceed, in order. 32 bytes behind the end must be readable.
# True when the line answers the request in turn, well or badly; False: the connection makes no sense any more.
cdef bint reply_check(
    Tally* tally, const uint8_t* p, const uint8_t* end, uint64_t id, uint32_t items, uint64_t* timestamp) noexcept nogil
cdef dict tally_counts(const Tally* tally)

# The same for requests of a script. `items` results are expected (0: any number); those that begin with a status are counted by it,
# or by their reason when it is `rejected`; a `null` among them is a failure. Nothing is said about times.
cdef bint reply_judge(Tally* tally, const uint8_t* p, const uint8_t* end, uint64_t id, uint32_t items) noexcept nogil
cdef int tally_allow(Tally* tally, word) except -1
