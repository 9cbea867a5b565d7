"""See `shapes.pxd`."""

from libc.stdint cimport uint8_t
from libc.string cimport memset

from engine._core.records cimport AccountCommand, Filter, TransferCommand, UpdateCommand
from server.wire.text cimport names_build

from engine.results import AccountFlag, TransferFlag

cdef TransferCommand transfer_model
cdef AccountCommand account_model
cdef UpdateCommand update_model
cdef Filter filter_model


cdef void build_names(Names* names, list texts) except *:
    cdef const uint8_t* pointers[64]
    cdef unsigned int lengths[64]
    cdef list padded = [text.encode() + bytes(32) for text in texts]
    cdef bytes name
    cdef int index
    for index in range(len(texts)):
        name = padded[index]
        pointers[index] = <const uint8_t*><const char*>name
        lengths[index] = <unsigned int>len(texts[index])
    if len(texts) > 63 or not names_build(names, pointers, lengths, <int>len(texts)):
        raise ImportError(f"server.wire.shapes: no perfect hash for {texts}")


cdef size_t offset(const void* model, const void* member) noexcept:
    return <size_t>(<const char*>member - <const char*>model)


choices = {
    "side": ["buy", "sell"],
    "type": ["limit", "market", "stop", "stop_limit"],
    "time_in_force": ["day", "gtc", "gtd", "ioc", "fok"],
    "self_trade_prevention": ["none", "cancel_newest", "cancel_oldest", "cancel_both", "decrement"],
    "offset": ["auto", "open", "close", "close_today"],
    "state": ["closed", "pre_open", "auction", "continuous", "halted"],
    "session": ["closed", "pre_open", "auction", "continuous", "halted"],
    "settlement": ["T+0", "T+1"],
    "kind": ["spot", "futures"],
    "pricing": ["maker", "median"],
    "scope": ["account", "desk", "client", "instrument", "default", "approval"],
    "short_sale": ["allowed", "not_below_last", "forbidden"],
}
LIMIT_NAMES = {name: choices[name] for name in ("scope", "short_sale")}
cdef Names[16] choice_tables
for place, texts in enumerate(choices.values()):
    build_names(&choice_tables[place], texts)


cdef const Names* choice_names(str name) except NULL:
    return &choice_tables[list(choices).index(name)]


cdef list build(Shape* shape, Names* flags, list fields):
    """Fields are (name, kind, offset, width, minimum, maximum, required)."""
    memset(shape, 0, sizeof(Shape))
    if len(fields) > 32:
        raise ImportError("server.wire.shapes: a shape has too many fields")
    shape.flags = flags
    build_names(&shape.names, [field[0] for field in fields])
    for index, (_, kind, place, width, minimum, maximum, required) in enumerate(fields):
        shape.fields[index].kind = kind
        shape.fields[index].offset = place
        shape.fields[index].width = width
        shape.fields[index].minimum = minimum
        shape.fields[index].maximum = maximum
        shape.fields[index].names = NULL
        if kind == KIND_NAME or kind == KIND_BIT or kind == KIND_CHOICE:
            shape.fields[index].names = choice_names(fields[index][0])
        if required:
            shape.required |= 1 << index
    return fields


def integer(name: str, place: int, width: int, maximum: int, *, required: bool = False, minimum: int = 0) -> tuple:
    return name, KIND_INTEGER, place, width, minimum, maximum, required


def uuid(name: str, place: int, *, required: bool = False) -> tuple:
    return name, KIND_UUID, place, 16, 0, 0, required


def flag_array(place: int) -> tuple:
    return "flags", KIND_FLAGS, place, 2, 0, 0, False


def boolean(name: str) -> tuple:
    return name, KIND_BOOLEAN, 0, 0, 0, 0, False


ACCOUNT_FLAGS = [flag.name.lower() for flag in AccountFlag]
TRANSFER_FLAGS = [flag.name.lower() for flag in TransferFlag]
INT63, INT64, INT32, INT16 = 2**63 - 1, 2**64 - 1, 2**32 - 1, 2**16 - 1

build_names(&account_flags, ACCOUNT_FLAGS)
build_names(&transfer_flags, TRANSFER_FLAGS)

account_fields = build(&account_shape, &account_flags, [
    integer("id", offset(&account_model, &account_model.id), 8, INT63, required=True),
    integer("ledger", offset(&account_model, &account_model.ledger), 4, INT32, required=True),
    integer("code", offset(&account_model, &account_model.code), 2, INT16, required=True),
    flag_array(offset(&account_model, &account_model.flags)),
    integer("overdraft_limit", offset(&account_model, &account_model.overdraft_limit), 8, INT63),
    uuid("user_data_128", offset(&account_model, &account_model.user_data_128_lo)),
    integer("user_data_64", offset(&account_model, &account_model.user_data_64), 8, INT64),
    integer("user_data_32", offset(&account_model, &account_model.user_data_32), 4, INT32),
    integer("timestamp", offset(&account_model, &account_model.timestamp), 8, INT63),
])

# The first six are the template's, in its order. All but `id` may be left out by a post or a void.
transfer_fields = build(&transfer_shape, &transfer_flags, [
    uuid("id", offset(&transfer_model, &transfer_model.id_lo), required=True),
    integer("debit_account_id", offset(&transfer_model, &transfer_model.debit_account_id), 8, INT63, required=True),
    integer("credit_account_id", offset(&transfer_model, &transfer_model.credit_account_id), 8, INT63, required=True),
    integer("amount", offset(&transfer_model, &transfer_model.amount), 8, INT63, required=True),
    integer("ledger", offset(&transfer_model, &transfer_model.ledger), 4, INT32, required=True),
    integer("code", offset(&transfer_model, &transfer_model.code), 2, INT16, required=True),
    flag_array(offset(&transfer_model, &transfer_model.flags)),
    uuid("pending_id", offset(&transfer_model, &transfer_model.pending_id_lo)),
    integer("timeout", offset(&transfer_model, &transfer_model.timeout), 4, INT32),
    uuid("user_data_128", offset(&transfer_model, &transfer_model.user_data_128_lo)),
    integer("user_data_64", offset(&transfer_model, &transfer_model.user_data_64), 8, INT64),
    integer("user_data_32", offset(&transfer_model, &transfer_model.user_data_32), 4, INT32),
    integer("timestamp", offset(&transfer_model, &transfer_model.timestamp), 8, INT63),
])

update_fields = build(&update_shape, NULL, [
    integer("id", offset(&update_model, &update_model.id), 8, INT63, required=True),
    integer("overdraft_limit", offset(&update_model, &update_model.overdraft_limit), 8, INT63),
    boolean("frozen"),
])

cdef list FILTER_FIELDS = [
    integer("timestamp_min", offset(&filter_model, &filter_model.timestamp_min), 8, INT63),
    integer("timestamp_max", offset(&filter_model, &filter_model.timestamp_max), 8, INT63),
    ("limit", KIND_LIMIT, offset(&filter_model, &filter_model.limit), 4, 1, INT32, False),
    boolean("reversed"),
    uuid("user_data_128", offset(&filter_model, &filter_model.user_data_128_lo)),
    integer("user_data_64", offset(&filter_model, &filter_model.user_data_64), 8, INT64),
    integer("user_data_32", offset(&filter_model, &filter_model.user_data_32), 4, INT32),
    integer("code", offset(&filter_model, &filter_model.code), 2, INT16, minimum=1),
]
query_filter_fields = build(&query_filter_shape, NULL, [
    *FILTER_FIELDS,
    integer("ledger", offset(&filter_model, &filter_model.ledger), 4, INT32, minimum=1),
])
account_filter_fields = build(&account_filter_shape, NULL, [
    *FILTER_FIELDS,
    integer("account_id", offset(&filter_model, &filter_model.account_id), 8, INT63, required=True, minimum=1),
    boolean("debits"),
    boolean("credits"),
])
