# `params` into the command structs of a batch: the shapes of all items, and one reader for them.
#
# A reader returns the place behind what it took, or NULL. What it appended before a NULL stays in the batch: the
# caller takes the counts back. With `exact` unset the text is unchecked, and a NULL only means "not by the short
# way"; with `exact` set the text is known to be JSON, escapes are resolved, and the reason of a NULL is told.

from libc.stdint cimport int32_t, uint8_t, uint32_t, uint64_t
from engine._core.batch cimport Batch

cdef enum Reason:
    REASON_NONE = 0
    REASON_NOT_ARRAY = 1                # params is no array
    REASON_NOT_OBJECT = 2               # params or an item is no object
    REASON_TOO_MANY = 3                 # more than items_max items
    REASON_UNKNOWN = 4                  # a member that the shape does not have, at `at`
    REASON_TWICE = 5                    # a member given twice
    REASON_MISSING = 6                  # a member that may not be left out
    REASON_VALUE = 7                    # a value of the wrong type or out of range, at `at`
    REASON_FLAG = 8                     # an element of `flags` that is no flag of the shape, at `at`
    REASON_FLAG_TWICE = 9
    REASON_TIMES = 10                   # timestamp_min > timestamp_max
    REASON_SIDES = 11                   # debits and credits are both false
    REASON_MEMORY = 12
    REASON_SYNTAX = 13                  # only when `exact` is unset: the text is not JSON

cdef struct Reading:
    bint exact
    uint32_t items_max
    uint32_t query_limit_max
    int reason
    int32_t item                        # index in params, or -1: params is the object itself
    int32_t field                       # index in the shape's fields, or -1
    int32_t element                     # index in flags, or -1
    const uint8_t* at                   # the text complained about

# Reads the params of a method (a MethodNumber from METHOD_CREATE_ACCOUNTS on) and appends them to the batch.
# `first` and `count` are what its Request says; `weight` is how many answers it may bring.
cdef const uint8_t* read_params(
    int method, const uint8_t* p, Batch batch, Reading* reading, uint32_t* first, uint32_t* count, uint64_t* weight
) noexcept nogil

cdef object explain(int method, Reading* reading)   # the message of -32602
