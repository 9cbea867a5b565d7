# The shapes of everything that `params` may hold: names, types, ranges and places of their members.
#
# One table, from which the readers (`items`) and the messages of errors both work.

from libc.stddef cimport size_t
from libc.stdint cimport uint32_t, uint64_t
from server.wire.text cimport Names

cdef enum FieldKind:
    KIND_INTEGER = 0
    KIND_UUID = 1
    KIND_FLAGS = 2
    KIND_BOOLEAN = 3
    KIND_LIMIT = 4                      # an integer whose maximum is reading.query_limit_max
    KIND_SYMBOL = 5                     # 1 to 24 characters A-Z 0-9 . _ - in three words
    KIND_TEXT = 6                       # printable ASCII of 1 to 24 characters, or an integer, in three words
    KIND_NAME = 7                       # one of `names`: its index + minimum
    KIND_BIT = 8                        # one of two `names`: the second sets the bit `maximum`
    KIND_LINKS = 9                      # {"156":1001}: links of the batch; first and count of them
    KIND_PRICES = 10                    # {"CF701":1402500}: days of the batch
    KIND_PROFILE = 11                   # a name in reading.profiles: its index into seen.profile
    KIND_VALUE = 12                     # a limit, from here on; `offset` is its number. An integer, or null
    KIND_SWITCH = 13                    # … true, false or null
    KIND_CHOICE = 14                    # … one of `names`, or null

cdef struct Field:
    int kind
    int width                           # bytes of an integer
    size_t offset                       # in the command struct
    uint64_t minimum
    uint64_t maximum
    const Names* names                  # of KIND_NAME, KIND_BIT, KIND_CHOICE

cdef struct Shape:
    Names names                         # of the fields, by index
    Names* flags                        # index = number of the flag's bit
    uint32_t required                   # bits of the fields that must be given
    Field fields[32]

cdef enum:                              # indices in the fields of the shapes, as far as the code names them
    TRANSFER_ID = 0
    TRANSFER_DEBIT = 1
    TRANSFER_CREDIT = 2
    TRANSFER_AMOUNT = 3
    TRANSFER_LEDGER = 4
    TRANSFER_CODE = 5
    TRANSFER_TEMPLATE = 0x3F            # these six
    UPDATE_LIMIT_FIELD = 1
    UPDATE_FROZEN_FIELD = 2
    FILTER_MIN = 0
    FILTER_MAX = 1
    FILTER_LIMIT = 2
    FILTER_REVERSED_FIELD = 3
    FILTER_UD128 = 4
    FILTER_UD64 = 5
    FILTER_UD32 = 6
    FILTER_CODE = 7
    FILTER_DEBITS_FIELD = 9             # get_account_* only
    FILTER_CREDITS_FIELD = 10

cdef Names account_flags
cdef Names transfer_flags
cdef Shape account_shape
cdef Shape transfer_shape
cdef Shape update_shape
cdef Shape account_filter_shape
cdef Shape query_filter_shape

cdef list account_fields                # of the same shapes, for messages: (name, kind, offset, width, minimum,
cdef list transfer_fields               # maximum, required) in the order of Shape.fields
cdef list update_fields
cdef list account_filter_fields
cdef list query_filter_fields

cdef dict choices                       # the names of KIND_NAME and KIND_BIT, by the field's name
cdef size_t offset(const void* model, const void* member) noexcept
cdef list build(Shape* shape, Names* flags, list fields)    # gives the fields back
cdef void build_names(Names* names, list texts) except *    # at most 63 names of at most 31 bytes
