# One value and one object of `params` after their shapes, for all readers of items.
#
# A reader returns the place behind what it took, or NULL. With `exact` unset the text is unchecked, and a NULL only
# means "not by the short way"; with `exact` set the text is known to be JSON, escapes are resolved, and the reason of
# a NULL is told.

from libc.stdint cimport int32_t, uint8_t, uint16_t, uint32_t, uint64_t
from engine._core.batch cimport Batch
from engine._core.order_records cimport InstrumentCommand
from server.wire.shapes cimport Shape
from server.wire.text cimport Names

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
    REASON_BOTH = 14                    # order_id and client_order_id are both given
    REASON_NO_ID = 15                   # the zero or the all-ones UUID as an id
    REASON_NOT_FOR_TYPE = 16            # stop_price without a stop
    REASON_NOT_FOR_TIME = 17            # expire_time without gtd
    REASON_KEY = 18                     # a key of an object that is a table, at `at`
    REASON_KEY_TWICE = 19
    REASON_DATE = 20                    # not a day of the calendar
    REASON_ID_NUMBER = 21               # the id of an account is no number, at `at`
    REASON_ID_SYMBOL = 22               # the id of an instrument is no symbol, at `at`
    REASON_NOT_FOR_SCOPE = 23           # a member that the scope does not have
    REASON_NO_LIMIT = 24                # set_limits without a limit

cdef enum:
    PROFILES_MAX = 63

cdef struct ProfileTable:               # what `profile` of create_instruments may name
    Names names
    InstrumentCommand values[PROFILES_MAX]
    uint32_t given[PROFILES_MAX]        # bits of the fields of the instrument's shape that a profile decides

cdef struct Reading:
    bint exact
    uint32_t items_max
    uint32_t query_limit_max
    int reason
    int32_t item                        # index in params, or -1: params is the object itself
    int32_t field                       # index in the shape's fields, or -1
    int32_t element                     # index in flags, or -1
    uint64_t session                    # given to orders: who cancels them on disconnect; 0: nobody
    uint64_t actor[3]                   # given to commands about limits: who says so, as a symbol
    const ProfileTable* profiles        # NULL: there are none
    const uint8_t* at                   # the text complained about
    bint keyed                          # the value of a key in a table is meant
    uint64_t key                        # … this one, of `accounts`
    uint8_t key_text[24]                # … or this one, of `settlement_prices`

cdef struct Seen:
    uint32_t given                      # bits of the fields that were given
    uint32_t true                       # bits of the boolean fields that were given as true
    int profile                         # index in reading.profiles, if `profile` was given
    const uint8_t* text                 # where the value of the last KIND_TEXT stands

cdef const uint8_t* refuse(Reading* reading, int reason, int field, const uint8_t* at) noexcept nogil
cdef const uint8_t* read_integer(const uint8_t* p, bint exact, uint64_t* value) noexcept nogil
cdef const uint8_t* read_uuid(const uint8_t* p, bint exact, uint64_t* halves) noexcept nogil
cdef const uint8_t* read_symbol(const uint8_t* p, bint exact, uint64_t* words) noexcept nogil
# The object at `p` into the struct at `out`, which must not stand in an array of the batch that its fields append to.
# With fields already given: the rest of it, from behind a value.
cdef const uint8_t* read_object(
    const Shape* shape, const uint8_t* p, uint8_t* out, Seen* seen, Reading* reading, Batch batch
) noexcept nogil
cdef const uint8_t* check_required(
    const uint8_t* p, uint32_t required, uint32_t given, Reading* reading) noexcept nogil

# The message of -32602 after the fields of a shape; `noun` is what an item is called.
cdef object explain_fields(list fields, str noun, Reading* reading)
cdef str excerpt(const uint8_t* at)
cdef str expected(str name, int kind, const uint8_t* at, object minimum, object maximum)
