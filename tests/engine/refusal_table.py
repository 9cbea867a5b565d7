"""The refusal table: every status of an item, in order of precedence, and a request that reaches it.

Each row starts from the same small bank and from one request that would succeed, and says what is different:
what happened before (`given`, requests of their own), what stands before and after the item in its request, and
which members of the item have another value. The rows of one list stand in the order in which the rules are
looked at, so two rows put together must give the status of the upper one.

The bank (ledger 156, 人民币; all by default without flags):

    1  cash        plain, keeps a history
    2  customer    debits must not exceed credits; has 1,000
    3  merchant    plain
    4  loan        credits must not exceed debits; 1,000 are owed
    5  usd         plain, in ledger 840
    7, 8           closed
    9              frozen
    10             frozen, credits must not exceed debits
    11, 12         source and sink, plain
"""

from typing import Any, NamedTuple

from engine.results import ENGINE_ID_LO, INT63_MAX, AccountFlag, Status, TransferFlag
from tests.engine.subjects import Subject
from tests.models.records import Account, Transfer, Update

CASH, CUSTOMER, MERCHANT, LOAN, USD, CLOSED_1, CLOSED_2, FROZEN, FROZEN_LOAN, SOURCE, SINK = (
    *(1, 2, 3, 4, 5, 7, 8, 9, 10, 11, 12),
)
NEW_1, NEW_2 = 20, 21
"""Accounts that are opened at a known later time, for imported transfers."""
DEPOSIT, ADVANCE = 700, 701
HOLD = 800
HOLD_EXPIRED, HOLD_POSTED, HOLD_VOIDED, HOLD_FOR_LOAN = 810, 811, 812, 813
ITEM = 900

SECOND = 1_000_000_000
START = 1_790_000_000 * SECOND
AT = START + 3_600 * SECOND
"""The time of the request in question."""
LATE = START + 1_000 * SECOND
"""The time at which NEW_1 and NEW_2 are opened; after every transfer of the bank."""

Step = tuple[int, list[Account] | list[Transfer] | list[Update]]


class Row(NamedTuple):
    """One rule: its status, in words, and what reaches it."""

    status: Status
    words: str
    item: dict[str, int] = {}  # noqa: RUF012 - nobody writes to it
    given: tuple[Step, ...] = ()
    before: tuple[Transfer | Account, ...] = ()
    after: tuple[Transfer | Account, ...] = ()
    scoped: bool = False
    time: int = AT
    without: int = 0
    """Flags that the item must not have, else the rule does not apply."""


def bank(ledger: Subject) -> None:
    """Open the bank."""
    f = AccountFlag
    accounts = [
        Account(CASH, 156, 10, flags=f.HISTORY),
        Account(CUSTOMER, 156, 10, flags=f.DEBITS_MUST_NOT_EXCEED_CREDITS),
        Account(MERCHANT, 156, 10),
        Account(LOAN, 156, 10, flags=f.CREDITS_MUST_NOT_EXCEED_DEBITS),
        Account(USD, 840, 10),
        Account(CLOSED_1, 156, 10, flags=f.CLOSED),
        Account(CLOSED_2, 156, 10, flags=f.CLOSED),
        Account(FROZEN, 156, 10, flags=f.FROZEN),
        Account(FROZEN_LOAN, 156, 10, flags=f.FROZEN | f.CREDITS_MUST_NOT_EXCEED_DEBITS),
        Account(SOURCE, 156, 10),
        Account(SINK, 156, 10),
    ]
    assert all(r.status == Status.CREATED for r in ledger.create_accounts(accounts, START))
    moves = [
        Transfer(DEPOSIT, SINK, CUSTOMER, 1_000, 156, 10),
        Transfer(ADVANCE, LOAN, SOURCE, 1_000, 156, 10),
    ]
    assert all(r.status == Status.CREATED for r in ledger.create_transfers(moves, START + SECOND))
    ledger.define_scope(1, [(5_000, 5_999)], START + 2 * SECOND)


def hold(id: int, debit: int, credit: int, amount: int, *, flags: int = 0, timeout: int = 0) -> Step:  # noqa: A002
    return 0, [Transfer(id, debit, credit, amount, 156, 10, TransferFlag.PENDING | flags, timeout=timeout)]


def move(id: int, debit: int, credit: int, amount: int) -> Step:  # noqa: A002
    return 0, [Transfer(id, debit, credit, amount, 156, 10)]


def resolve(id: int, pending: int, flag: TransferFlag) -> Step:  # noqa: A002
    amount = 2**64 - 1
    return 0, [Transfer(id, flags=flag, pending_id=pending, amount=amount)]


def freeze(account: int) -> Step:
    return 0, [Update(account, frozen=True)]


def opened(id: int) -> Step:  # noqa: A002
    return LATE + id, [Account(id, 156, 10)]


# --- create_accounts -------------------------------------------------------------------------------

ACCOUNT = Account(50, 156, 10)
A = AccountFlag
ACCOUNT_GIVEN: tuple[Step, ...] = ()
account_opened: Step = (0, [ACCOUNT])

ACCOUNTS = [
    Row(Status.LINKED_EVENT_CHAIN_OPEN, "linked, and nothing follows", {"flags": A.LINKED}),
    Row(
        Status.LINKED_EVENT_FAILED,
        "another item of its chain is refused",
        {},
        before=(Account(0, flags=A.LINKED),),
    ),
    Row(
        Status.IMPORTED_EVENT_EXPECTED,
        "the first item is imported, this one is not",
        before=(Account(0, flags=A.IMPORTED, timestamp=1),),
        without=A.IMPORTED,
    ),
    Row(
        Status.IMPORTED_EVENT_NOT_EXPECTED,
        "the first item is not imported, this one is",
        {"flags": A.IMPORTED},
        before=(Account(0),),
    ),
    Row(Status.TIMESTAMP_MUST_BE_ZERO, "a time without imported", {"timestamp": 5}, without=A.IMPORTED),
    Row(
        Status.IMPORTED_EVENT_TIMESTAMP_OUT_OF_RANGE,
        "imported without a time",
        {"flags": A.IMPORTED, "timestamp": 0},
    ),
    Row(
        Status.IMPORTED_EVENT_TIMESTAMP_MUST_NOT_ADVANCE,
        "imported from the future",
        {"flags": A.IMPORTED, "timestamp": AT + SECOND},
    ),
    Row(Status.ID_MUST_NOT_BE_ZERO, "id 0", {"id": 0}),
    Row(Status.ID_MUST_NOT_BE_INT_MAX, "id of all ones", {"id": 2**64 - 1}),
    Row(Status.EXISTS_WITH_DIFFERENT_FLAGS, "same id, other flags", {"flags": A.HISTORY}, (account_opened,)),
    Row(Status.EXISTS_WITH_DIFFERENT_USER_DATA_128, "same id", {"user_data_128": 2**64}, (account_opened,)),
    Row(Status.EXISTS_WITH_DIFFERENT_USER_DATA_64, "same id", {"user_data_64": 1}, (account_opened,)),
    Row(Status.EXISTS_WITH_DIFFERENT_USER_DATA_32, "same id", {"user_data_32": 1}, (account_opened,)),
    Row(Status.EXISTS_WITH_DIFFERENT_LEDGER, "same id", {"ledger": 0}, (account_opened,)),
    Row(Status.EXISTS_WITH_DIFFERENT_CODE, "same id", {"code": 0}, (account_opened,)),
    Row(Status.EXISTS, "the same again", {}, (account_opened,)),
    Row(
        Status.FLAGS_ARE_MUTUALLY_EXCLUSIVE,
        "limited on both sides",
        {"flags": A.DEBITS_MUST_NOT_EXCEED_CREDITS | A.CREDITS_MUST_NOT_EXCEED_DEBITS},
    ),
    Row(
        Status.OVERDRAFT_LIMIT_NEEDS_FLAG,
        "an overdraft where nothing limits debits",
        {"overdraft_limit": 1},
        without=A.DEBITS_MUST_NOT_EXCEED_CREDITS,
    ),
    Row(Status.LEDGER_MUST_NOT_BE_ZERO, "ledger 0", {"ledger": 0}),
    Row(Status.CODE_MUST_NOT_BE_ZERO, "code 0", {"code": 0}),
    Row(Status.NOT_PERMITTED, "outside the scope of the channel", scoped=True),
    Row(
        Status.IMPORTED_EVENT_TIMESTAMP_MUST_NOT_REGRESS,
        "imported from before the newest account",
        {"flags": A.IMPORTED, "timestamp": START - 1},
    ),
    Row(Status.CREATED, "nothing is wrong"),
]

# --- create_transfers: at once or pending ------------------------------------------------------------

TRANSFER = Transfer(ITEM, CUSTOMER, MERCHANT, 100, 156, 10)
T = TransferFlag
moved: Step = (0, [TRANSFER])
burnt: Step = (0, [TRANSFER._replace(debit_account_id=998)])

OF_EVERY_TRANSFER = [
    Row(Status.LINKED_EVENT_CHAIN_OPEN, "linked, and nothing follows", {"flags": T.LINKED}),
    Row(
        Status.LINKED_EVENT_FAILED,
        "another item of its chain is refused",
        before=(Transfer(0, flags=T.LINKED),),
    ),
    Row(
        Status.IMPORTED_EVENT_EXPECTED,
        "the first item is imported, this one is not",
        before=(Transfer(0, flags=T.IMPORTED, timestamp=1),),
        without=T.IMPORTED,
    ),
    Row(
        Status.IMPORTED_EVENT_NOT_EXPECTED,
        "the first item is not imported, this one is",
        {"flags": T.IMPORTED},
        before=(Transfer(0),),
    ),
    Row(Status.TIMESTAMP_MUST_BE_ZERO, "a time without imported", {"timestamp": 5}, without=T.IMPORTED),
    Row(
        Status.IMPORTED_EVENT_TIMESTAMP_OUT_OF_RANGE,
        "imported without a time",
        {"flags": T.IMPORTED, "timestamp": 0},
    ),
    Row(
        Status.IMPORTED_EVENT_TIMESTAMP_MUST_NOT_ADVANCE,
        "imported from the future",
        {"flags": T.IMPORTED, "timestamp": AT + SECOND},
    ),
    Row(Status.ID_MUST_NOT_BE_ZERO, "id 0", {"id": 0}),
    Row(Status.ID_MUST_NOT_BE_INT_MAX, "id of all ones", {"id": 2**128 - 1}),
    Row(Status.ID_RESERVED, "an id as the engine gives them", {"id": 7 << 80 | ENGINE_ID_LO}),
]

TRANSFERS = [
    *OF_EVERY_TRANSFER,
    Row(Status.EXISTS_WITH_DIFFERENT_FLAGS, "same id", {"flags": T.PENDING}, (moved,)),
    Row(Status.EXISTS_WITH_DIFFERENT_PENDING_ID, "same id", {"pending_id": HOLD}, (moved,)),
    Row(Status.EXISTS_WITH_DIFFERENT_TIMEOUT, "same id", {"timeout": 1}, (moved,)),
    Row(Status.EXISTS_WITH_DIFFERENT_DEBIT_ACCOUNT_ID, "same id", {"debit_account_id": 998}, (moved,)),
    Row(Status.EXISTS_WITH_DIFFERENT_CREDIT_ACCOUNT_ID, "same id", {"credit_account_id": 999}, (moved,)),
    Row(Status.EXISTS_WITH_DIFFERENT_AMOUNT, "same id", {"amount": 101}, (moved,)),
    Row(Status.EXISTS_WITH_DIFFERENT_USER_DATA_128, "same id", {"user_data_128": 2**64}, (moved,)),
    Row(Status.EXISTS_WITH_DIFFERENT_USER_DATA_64, "same id", {"user_data_64": 1}, (moved,)),
    Row(Status.EXISTS_WITH_DIFFERENT_USER_DATA_32, "same id", {"user_data_32": 1}, (moved,)),
    Row(Status.EXISTS_WITH_DIFFERENT_LEDGER, "same id", {"ledger": 840}, (moved,)),
    Row(Status.EXISTS_WITH_DIFFERENT_CODE, "same id", {"code": 0}, (moved,)),
    Row(Status.EXISTS, "the same again", {}, (moved,)),
    Row(Status.ID_ALREADY_FAILED, "the id failed before, for a reason of the moment", {}, (burnt,)),
    Row(Status.DEBIT_ACCOUNT_ID_MUST_NOT_BE_ZERO, "debit 0", {"debit_account_id": 0}),
    Row(Status.DEBIT_ACCOUNT_ID_MUST_NOT_BE_INT_MAX, "debit of all ones", {"debit_account_id": 2**64 - 1}),
    Row(Status.CREDIT_ACCOUNT_ID_MUST_NOT_BE_ZERO, "credit 0", {"credit_account_id": 0}),
    Row(Status.CREDIT_ACCOUNT_ID_MUST_NOT_BE_INT_MAX, "credit of all ones", {"credit_account_id": 2**64 - 1}),
    Row(
        Status.ACCOUNTS_MUST_BE_DIFFERENT,
        "from an account to itself",
        {"debit_account_id": CUSTOMER, "credit_account_id": CUSTOMER},
    ),
    Row(Status.PENDING_ID_MUST_BE_ZERO, "neither post nor void, yet a pending id", {"pending_id": HOLD}),
    Row(Status.TIMEOUT_RESERVED_FOR_PENDING_TRANSFER, "at once, yet a timeout", {"timeout": 1}, without=T.PENDING),
    Row(
        Status.CLOSING_TRANSFER_MUST_BE_PENDING,
        "closing for good",
        {"flags": T.CLOSING_DEBIT},
        without=T.PENDING,
    ),
    Row(Status.LEDGER_MUST_NOT_BE_ZERO, "ledger 0", {"ledger": 0}),
    Row(Status.CODE_MUST_NOT_BE_ZERO, "code 0", {"code": 0}),
    Row(Status.NOT_PERMITTED, "an account outside the scope of the channel", scoped=True),
    Row(Status.DEBIT_ACCOUNT_NOT_FOUND, "no such account", {"debit_account_id": 998}),
    Row(Status.CREDIT_ACCOUNT_NOT_FOUND, "no such account", {"credit_account_id": 999}),
    Row(Status.ACCOUNTS_MUST_HAVE_THE_SAME_LEDGER, "RMB to USD", {"credit_account_id": USD}),
    Row(Status.TRANSFER_MUST_HAVE_THE_SAME_LEDGER_AS_ACCOUNTS, "USD between RMB accounts", {"ledger": 840}),
    Row(
        Status.IMPORTED_EVENT_TIMESTAMP_MUST_NOT_REGRESS,
        "imported from before the newest transfer",
        {"flags": T.IMPORTED, "timestamp": START + SECOND},
    ),
    Row(
        Status.IMPORTED_EVENT_TIMESTAMP_MUST_POSTDATE_DEBIT_ACCOUNT,
        "imported from before the debit account was opened",
        {"flags": T.IMPORTED, "timestamp": LATE, "debit_account_id": NEW_1},
        (opened(NEW_1),),
    ),
    Row(
        Status.IMPORTED_EVENT_TIMESTAMP_MUST_POSTDATE_CREDIT_ACCOUNT,
        "imported from before the credit account was opened",
        {"flags": T.IMPORTED, "timestamp": LATE, "credit_account_id": NEW_2},
        (opened(NEW_2),),
    ),
    Row(
        Status.IMPORTED_EVENT_TIMEOUT_MUST_BE_ZERO,
        "an imported hold with a timeout",
        {"flags": T.IMPORTED | T.PENDING, "timestamp": LATE, "timeout": 1},
    ),
    Row(Status.DEBIT_ACCOUNT_ALREADY_CLOSED, "from a closed account", {"debit_account_id": CLOSED_1}),
    Row(Status.CREDIT_ACCOUNT_ALREADY_CLOSED, "to a closed account", {"credit_account_id": CLOSED_2}),
    Row(Status.DEBIT_ACCOUNT_FROZEN, "from a frozen account", {"debit_account_id": FROZEN}),
    Row(Status.CREDIT_ACCOUNT_FROZEN, "out of a frozen loan account", {"credit_account_id": FROZEN_LOAN}),
    Row(
        Status.OVERFLOWS_DEBITS_PENDING,
        "more held on the debit side than 2^63-1",
        {"flags": T.PENDING, "debit_account_id": CASH, "amount": INT63_MAX},
        (hold(1_001, CASH, SINK, 1),),
    ),
    Row(
        Status.OVERFLOWS_CREDITS_PENDING,
        "more held on the credit side than 2^63-1",
        {"flags": T.PENDING, "debit_account_id": CASH, "amount": INT63_MAX},
        (hold(1_002, SOURCE, MERCHANT, 1),),
    ),
    Row(
        Status.OVERFLOWS_DEBITS_POSTED,
        "more posted on the debit side than 2^63-1",
        {"debit_account_id": CASH, "amount": INT63_MAX},
        (move(1_003, CASH, SINK, 1),),
    ),
    Row(
        Status.OVERFLOWS_CREDITS_POSTED,
        "more posted on the credit side than 2^63-1",
        {"debit_account_id": CASH, "amount": INT63_MAX},
        (move(1_004, SOURCE, MERCHANT, 1),),
    ),
    Row(
        Status.OVERFLOWS_DEBITS,
        "more held and posted together on the debit side than 2^63-1",
        {"debit_account_id": CASH, "amount": INT63_MAX},
        (hold(1_005, CASH, SINK, 1),),
        without=T.PENDING,
    ),
    Row(
        Status.OVERFLOWS_CREDITS,
        "more held and posted together on the credit side than 2^63-1",
        {"debit_account_id": CASH, "amount": INT63_MAX},
        (hold(1_006, SOURCE, MERCHANT, 1),),
        without=T.PENDING,
    ),
    Row(
        Status.OVERFLOWS_TIMEOUT,
        "a hold until after the end of time (in the year 2262)",
        {"flags": T.PENDING, "timeout": 1},
        time=INT63_MAX - SECOND + 1,
    ),
    Row(Status.EXCEEDS_CREDITS, "more than the customer has", {"debit_account_id": CUSTOMER, "amount": 1_001}),
    Row(
        Status.EXCEEDS_DEBITS,
        "more than is owed",
        {"debit_account_id": CASH, "credit_account_id": LOAN, "amount": 1_001},
    ),
    Row(Status.CREATED, "nothing is wrong"),
]

# --- create_transfers: post or void -------------------------------------------------------------------

POST = Transfer(ITEM, flags=T.POST_PENDING_TRANSFER, pending_id=HOLD, amount=100)
POST_GIVEN = (
    hold(HOLD, CUSTOMER, MERCHANT, 100),
    hold(HOLD_EXPIRED, CUSTOMER, MERCHANT, 100, timeout=1),
    hold(HOLD_POSTED, CUSTOMER, MERCHANT, 100),
    hold(HOLD_VOIDED, CUSTOMER, MERCHANT, 100),
    hold(HOLD_FOR_LOAN, CUSTOMER, LOAN, 100),
    resolve(820, HOLD_POSTED, T.POST_PENDING_TRANSFER),
    resolve(821, HOLD_VOIDED, T.VOID_PENDING_TRANSFER),
)
posted: Step = (0, [POST])
burnt_post: Step = (0, [POST._replace(pending_id=799)])
AS_VOID = T.POST_PENDING_TRANSFER | T.VOID_PENDING_TRANSFER
"""In `item["flags"]` of this list: a void takes the place of the post."""

POSTS = [
    *OF_EVERY_TRANSFER,
    Row(Status.EXISTS_WITH_DIFFERENT_FLAGS, "same id", {"flags": T.BALANCING_DEBIT}, (posted,)),
    Row(Status.EXISTS_WITH_DIFFERENT_PENDING_ID, "same id", {"pending_id": HOLD_VOIDED}, (posted,)),
    Row(Status.EXISTS_WITH_DIFFERENT_TIMEOUT, "same id", {"timeout": 1}, (posted,)),
    Row(Status.EXISTS_WITH_DIFFERENT_DEBIT_ACCOUNT_ID, "same id", {"debit_account_id": CASH}, (posted,)),
    Row(Status.EXISTS_WITH_DIFFERENT_CREDIT_ACCOUNT_ID, "same id", {"credit_account_id": CASH}, (posted,)),
    Row(Status.EXISTS_WITH_DIFFERENT_AMOUNT, "same id", {"amount": 101}, (posted,)),
    Row(Status.EXISTS_WITH_DIFFERENT_USER_DATA_128, "same id", {"user_data_128": 2**64}, (posted,)),
    Row(Status.EXISTS_WITH_DIFFERENT_USER_DATA_64, "same id", {"user_data_64": 1}, (posted,)),
    Row(Status.EXISTS_WITH_DIFFERENT_USER_DATA_32, "same id", {"user_data_32": 1}, (posted,)),
    Row(Status.EXISTS_WITH_DIFFERENT_LEDGER, "same id", {"ledger": 840}, (posted,)),
    Row(Status.EXISTS_WITH_DIFFERENT_CODE, "same id", {"code": 11}, (posted,)),
    Row(Status.EXISTS, "the same again", {}, (posted,)),
    Row(Status.ID_ALREADY_FAILED, "the id failed before, for a reason of the moment", {}, (burnt_post,)),
    Row(Status.FLAGS_ARE_MUTUALLY_EXCLUSIVE, "a post that is pending itself", {"flags": T.PENDING}),
    Row(Status.PENDING_ID_MUST_NOT_BE_ZERO, "a post of nothing", {"pending_id": 0}),
    Row(Status.PENDING_ID_MUST_NOT_BE_INT_MAX, "pending id of all ones", {"pending_id": 2**128 - 1}),
    Row(Status.PENDING_ID_MUST_BE_DIFFERENT, "a post of itself", {"pending_id": ITEM}),
    Row(Status.TIMEOUT_RESERVED_FOR_PENDING_TRANSFER, "a post with a timeout", {"timeout": 1}),
    Row(Status.PENDING_TRANSFER_NOT_FOUND, "no such transfer", {"pending_id": 799}),
    Row(Status.PENDING_TRANSFER_NOT_PENDING, "a transfer that was never pending", {"pending_id": DEPOSIT}),
    Row(Status.NOT_PERMITTED, "accounts outside the scope of the channel", scoped=True),
    Row(Status.PENDING_TRANSFER_HAS_DIFFERENT_DEBIT_ACCOUNT_ID, "other account", {"debit_account_id": CASH}),
    Row(Status.PENDING_TRANSFER_HAS_DIFFERENT_CREDIT_ACCOUNT_ID, "other account", {"credit_account_id": CASH}),
    Row(Status.PENDING_TRANSFER_HAS_DIFFERENT_LEDGER, "other ledger", {"ledger": 840}),
    Row(Status.PENDING_TRANSFER_HAS_DIFFERENT_CODE, "other code", {"code": 11}),
    Row(Status.EXCEEDS_PENDING_TRANSFER_AMOUNT, "more than is held", {"amount": 101}),
    Row(
        Status.PENDING_TRANSFER_HAS_DIFFERENT_AMOUNT,
        "a void of a part",
        {"flags": AS_VOID, "amount": 99},
    ),
    Row(Status.PENDING_TRANSFER_ALREADY_POSTED, "posted before", {"pending_id": HOLD_POSTED}),
    Row(Status.PENDING_TRANSFER_ALREADY_VOIDED, "voided before", {"pending_id": HOLD_VOIDED}),
    Row(Status.PENDING_TRANSFER_EXPIRED, "expired before", {"pending_id": HOLD_EXPIRED}),
    Row(
        Status.IMPORTED_EVENT_TIMESTAMP_MUST_NOT_REGRESS,
        "imported from before the newest transfer",
        {"flags": T.IMPORTED, "timestamp": START + SECOND},
    ),
    Row(
        Status.DEBIT_ACCOUNT_ALREADY_CLOSED,
        "the customer's account has been closed since",
        {},
        (hold(1_007, CUSTOMER, SINK, 0, flags=T.CLOSING_DEBIT),),
    ),
    Row(
        Status.CREDIT_ACCOUNT_ALREADY_CLOSED,
        "the loan account has been closed since",
        {"pending_id": HOLD_FOR_LOAN},
        (hold(1_008, CASH, LOAN, 0, flags=T.CLOSING_CREDIT),),
    ),
    Row(Status.DEBIT_ACCOUNT_FROZEN, "the customer's account has been frozen since", {}, (freeze(CUSTOMER),)),
    Row(
        Status.CREDIT_ACCOUNT_FROZEN,
        "the loan account has been frozen since",
        {"pending_id": HOLD_FOR_LOAN},
        (freeze(LOAN),),
    ),
    Row(Status.CREATED, "nothing is wrong"),
]

# --- update_accounts ----------------------------------------------------------------------------------

UPDATE = Update(CUSTOMER, overdraft_limit=1, frozen=True)
UPDATES = [
    Row(Status.NOT_PERMITTED, "outside the scope of the channel", scoped=True),
    Row(Status.ACCOUNT_NOT_FOUND, "no such account", {"id": 998}),
    Row(Status.OVERDRAFT_LIMIT_NEEDS_FLAG, "an overdraft where nothing limits debits", {"id": MERCHANT}),
    Row(Status.UPDATED, "nothing is wrong"),
]

LISTS: dict[str, tuple[Any, tuple[Step, ...], list[Row]]] = {
    "create_accounts": (ACCOUNT, ACCOUNT_GIVEN, ACCOUNTS),
    "create_transfers": (TRANSFER, (), TRANSFERS),
    "create_transfers (post or void)": (POST, POST_GIVEN, POSTS),
    "update_accounts": (UPDATE, (), UPDATES),
}

# --- two rules broken at once -----------------------------------------------------------------------------

PAIRS = {
    (Status.LINKED_EVENT_FAILED, Status.IMPORTED_EVENT_EXPECTED): {
        "create_accounts": Row(
            Status.LINKED_EVENT_FAILED,
            "a broken chain of imported accounts ends in one that is not imported",
            before=(Account(0, flags=A.IMPORTED | A.LINKED, timestamp=1),),
        ),
        "create_transfers": Row(
            Status.LINKED_EVENT_FAILED,
            "a broken chain of imported transfers ends in one that is not imported",
            before=(Transfer(0, flags=T.IMPORTED | T.LINKED, timestamp=1),),
        ),
    },
    (Status.IMPORTED_EVENT_TIMESTAMP_OUT_OF_RANGE, Status.IMPORTED_EVENT_TIMESTAMP_MUST_NOT_ADVANCE): {
        "create_accounts": Row(
            Status.IMPORTED_EVENT_TIMESTAMP_OUT_OF_RANGE,
            "a time after the end of time",
            {"flags": A.IMPORTED, "timestamp": INT63_MAX + 1},
        ),
        "create_transfers": Row(
            Status.IMPORTED_EVENT_TIMESTAMP_OUT_OF_RANGE,
            "a time after the end of time",
            {"flags": T.IMPORTED, "timestamp": INT63_MAX + 1},
        ),
    },
    (
        Status.IMPORTED_EVENT_TIMESTAMP_MUST_NOT_REGRESS,
        Status.IMPORTED_EVENT_TIMESTAMP_MUST_POSTDATE_DEBIT_ACCOUNT,
    ): {
        "create_transfers": Row(
            Status.IMPORTED_EVENT_TIMESTAMP_MUST_NOT_REGRESS,
            "before the newest transfer, and before the account",
            {"flags": T.IMPORTED, "timestamp": START + SECOND, "debit_account_id": NEW_1},
            (opened(NEW_1),),
        ),
    },
    (Status.OVERFLOWS_CREDITS, Status.OVERFLOWS_TIMEOUT): {
        "create_transfers": Row(
            Status.OVERFLOWS_CREDITS,
            "a hold that fits neither the balance nor the calendar",
            {"flags": T.PENDING, "timeout": 1, "debit_account_id": CASH, "amount": INT63_MAX - 1},
            (hold(1_009, SOURCE, MERCHANT, 1), move(1_010, SOURCE, MERCHANT, 1)),
            time=INT63_MAX - SECOND + 1,
        ),
    },
    (Status.EXCEEDS_CREDITS, Status.EXCEEDS_DEBITS): {
        "create_transfers": Row(
            Status.EXCEEDS_CREDITS,
            "more than the customer has, and more than is owed",
            {"credit_account_id": LOAN, "amount": 1_001},
        ),
    },
}
"""Neighbours in a list that cannot simply be laid over each other: the request that breaks both."""

ONE_TIME = "an item has one time, with or without `imported`"
ONE_VALUE = "a member has one value"
NO_SUCH_RECORD = "no record can have that id"
DIFFERENT_IS_NOT_SAME = "a retry differs or it does not"
IS_THERE = "what is there has passed the rules about the command itself"
IMPOSSIBLE = {
    (Status.IMPORTED_EVENT_EXPECTED, Status.IMPORTED_EVENT_NOT_EXPECTED): "an item is imported or it is not",
    (Status.IMPORTED_EVENT_NOT_EXPECTED, Status.TIMESTAMP_MUST_BE_ZERO): ONE_TIME,
    (Status.TIMESTAMP_MUST_BE_ZERO, Status.IMPORTED_EVENT_TIMESTAMP_OUT_OF_RANGE): ONE_TIME,
    (Status.ID_MUST_NOT_BE_ZERO, Status.ID_MUST_NOT_BE_INT_MAX): ONE_VALUE,
    (Status.ID_MUST_NOT_BE_INT_MAX, Status.EXISTS_WITH_DIFFERENT_FLAGS): NO_SUCH_RECORD,
    (Status.ID_MUST_NOT_BE_INT_MAX, Status.ID_RESERVED): ONE_VALUE,
    (Status.ID_RESERVED, Status.EXISTS_WITH_DIFFERENT_FLAGS): NO_SUCH_RECORD,
    (Status.EXISTS_WITH_DIFFERENT_CODE, Status.EXISTS): DIFFERENT_IS_NOT_SAME,
    (Status.EXISTS, Status.FLAGS_ARE_MUTUALLY_EXCLUSIVE): IS_THERE,
    (Status.EXISTS, Status.ID_ALREADY_FAILED): "an id is taken or burnt",
    (Status.FLAGS_ARE_MUTUALLY_EXCLUSIVE, Status.OVERDRAFT_LIMIT_NEEDS_FLAG): "the flag is one of the two",
    (Status.DEBIT_ACCOUNT_ID_MUST_NOT_BE_ZERO, Status.DEBIT_ACCOUNT_ID_MUST_NOT_BE_INT_MAX): ONE_VALUE,
    (Status.CREDIT_ACCOUNT_ID_MUST_NOT_BE_ZERO, Status.CREDIT_ACCOUNT_ID_MUST_NOT_BE_INT_MAX): ONE_VALUE,
    (Status.CREDIT_ACCOUNT_ID_MUST_NOT_BE_INT_MAX, Status.ACCOUNTS_MUST_BE_DIFFERENT): (
        "both of all ones would already be refused for the debit account"
    ),
    (Status.CREDIT_ACCOUNT_NOT_FOUND, Status.ACCOUNTS_MUST_HAVE_THE_SAME_LEDGER): (
        "an account that is not there has no ledger"
    ),
    (Status.PENDING_ID_MUST_NOT_BE_ZERO, Status.PENDING_ID_MUST_NOT_BE_INT_MAX): ONE_VALUE,
    (Status.PENDING_ID_MUST_NOT_BE_INT_MAX, Status.PENDING_ID_MUST_BE_DIFFERENT): (
        "an id of all ones is refused before"
    ),
    (Status.PENDING_TRANSFER_NOT_FOUND, Status.PENDING_TRANSFER_NOT_PENDING): (
        "a transfer that is not there has no state"
    ),
    (Status.EXCEEDS_PENDING_TRANSFER_AMOUNT, Status.PENDING_TRANSFER_HAS_DIFFERENT_AMOUNT): "more or less, not both",
    (Status.PENDING_TRANSFER_ALREADY_POSTED, Status.PENDING_TRANSFER_ALREADY_VOIDED): "resolved once",
    (Status.PENDING_TRANSFER_ALREADY_VOIDED, Status.PENDING_TRANSFER_EXPIRED): "resolved once",
    (Status.ACCOUNT_NOT_FOUND, Status.OVERDRAFT_LIMIT_NEEDS_FLAG): "an account that is not there has no flags",
}
"""Neighbours that no request can break together, and why."""

NOT_OF_AN_ITEM = {
    Status.FOUND: "status of a read that was answered",
    Status.SCAN_LIMIT_REACHED: "status of a whole read, see test_queries.py",
    Status.NO_HISTORY: "status of a whole read, see test_queries.py",
    Status.DEFINED: "status of define_scope, which has no items",
    **dict.fromkeys(
        (status for status in Status if status > Status.ID_RESERVED),
        "of instruments and trading accounts, see test_listing.py",
    ),
}
"""Members of Status that no item of a write request can have."""
