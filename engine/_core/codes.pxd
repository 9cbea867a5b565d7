# Numbers that stand in commands, results and the log. They never change meaning; new ones go to the end.
# `engine/results.py` mirrors them as strict enumerations, and a test holds the two equal.

cdef extern from *:
    """
    #define TB_AMOUNT_ALL 0xFFFFFFFFFFFFFFFFULL
    #define TB_INT63_MAX 0x7FFFFFFFFFFFFFFFULL
    #define TB_NONE 0xFFFFFFFFU
    #define TB_ENGINE_ID_LO 0x80746F6E6762616FULL   /* "tongbao" behind the variant of a UUID */
    """
    const unsigned long long AMOUNT_ALL "TB_AMOUNT_ALL"     # "the whole pending amount"
    const unsigned long long INT63_MAX "TB_INT63_MAX"       # largest amount, balance, account id, timestamp
    const unsigned int NONE "TB_NONE"                       # no slot
    const unsigned long long ENGINE_ID_LO "TB_ENGINE_ID_LO" # low half of the ids of transfers that the engine makes

cdef enum AccountFlag:
    ACCOUNT_LINKED = 1
    ACCOUNT_DEBITS_MUST_NOT_EXCEED_CREDITS = 2
    ACCOUNT_CREDITS_MUST_NOT_EXCEED_DEBITS = 4
    ACCOUNT_HISTORY = 8
    ACCOUNT_IMPORTED = 16
    ACCOUNT_CLOSED = 32
    ACCOUNT_FROZEN = 64
    ACCOUNT_FLAGS_PUBLIC = 127
    ACCOUNT_HAS_OVERDRAFT_LIMIT = 0x8000    # inside the ledger only: look at AccountDetail.overdraft_limit

cdef enum TransferFlag:
    TRANSFER_LINKED = 1
    TRANSFER_PENDING = 2
    TRANSFER_POST_PENDING_TRANSFER = 4
    TRANSFER_VOID_PENDING_TRANSFER = 8
    TRANSFER_BALANCING_DEBIT = 16
    TRANSFER_BALANCING_CREDIT = 32
    TRANSFER_CLOSING_DEBIT = 64
    TRANSFER_CLOSING_CREDIT = 128
    TRANSFER_IMPORTED = 256
    TRANSFER_FLAGS_PUBLIC = 511

cdef enum TransferState:
    STATE_POSTED = 0                # moved at once, or a post
    STATE_PENDING = 1
    STATE_PENDING_POSTED = 2        # was pending, has been posted
    STATE_VOIDED = 3                # was pending, has been voided; also the void itself
    STATE_EXPIRED = 4               # was pending, has expired

cdef enum UpdateField:
    UPDATE_OVERDRAFT_LIMIT = 1
    UPDATE_FROZEN = 2

cdef enum FilterFlag:
    FILTER_DEBITS = 1               # get_account_*: transfers that debit the account; none of the two set = both
    FILTER_CREDITS = 2
    FILTER_REVERSED = 4             # newest first
    FILTER_USER_DATA_128 = 8        # the condition on the field is meant, also when its value is 0
    FILTER_USER_DATA_64 = 16
    FILTER_USER_DATA_32 = 32

cdef enum Kind:                     # what a request is; below KIND_READ it changes the state and is logged
    KIND_CREATE_ACCOUNTS = 1
    KIND_CREATE_TRANSFERS = 2
    KIND_UPDATE_ACCOUNTS = 3
    KIND_DEFINE_SCOPE = 4
    KIND_CREATE_INSTRUMENTS = 5
    KIND_UPDATE_INSTRUMENTS = 6
    KIND_CREATE_TRADING_ACCOUNTS = 7
    KIND_SUBMIT_ORDERS = 8
    KIND_CANCEL_ORDERS = 9
    KIND_REPLACE_ORDERS = 10
    KIND_MASS_CANCEL = 11
    KIND_SET_SESSION = 12
    KIND_END_OF_DAY = 13
    KIND_BUST_TRADES = 14           # and correct_trades
    KIND_SET_LIMITS = 15
    KIND_KILL_SWITCH = 16
    KIND_APPROVE_LIMITS = 17
    KIND_READ = 64                  # not a kind: the border
    KIND_LOOKUP_ACCOUNTS = 65
    KIND_LOOKUP_TRANSFERS = 66
    KIND_GET_ACCOUNT_TRANSFERS = 67
    KIND_GET_ACCOUNT_BALANCES = 68
    KIND_QUERY_ACCOUNTS = 69
    KIND_QUERY_TRANSFERS = 70
    KIND_GET_ORDERS = 71
    KIND_GET_BOOK = 72
    KIND_GET_TRADES = 73
    KIND_GET_POSITIONS = 74         # and get_margin_calls
    KIND_GET_EXECUTIONS = 75
    KIND_GET_INSTRUMENTS = 76
    KIND_GET_LIMITS = 77
    KIND_GET_PROPOSALS = 78
    KIND_EDGE = 128                 # not a kind: the border; from here on the engine has no part in it
    KIND_REPLY = 129                # the whole reply line stands ready in `Batch.text`
    KIND_ANSWER = 130               # Python object `Batch.answers[item_first]` is the reply's bytes, filled later
    KIND_PING = 131                 # answered with the batch's time

cdef enum Status:
    CREATED = 0
    LINKED_EVENT_FAILED = 1
    LINKED_EVENT_CHAIN_OPEN = 2
    IMPORTED_EVENT_EXPECTED = 3
    IMPORTED_EVENT_NOT_EXPECTED = 4
    TIMESTAMP_MUST_BE_ZERO = 5
    IMPORTED_EVENT_TIMESTAMP_OUT_OF_RANGE = 6
    IMPORTED_EVENT_TIMESTAMP_MUST_NOT_ADVANCE = 7
    ID_MUST_NOT_BE_ZERO = 8
    ID_MUST_NOT_BE_INT_MAX = 9
    EXISTS_WITH_DIFFERENT_FLAGS = 10
    EXISTS_WITH_DIFFERENT_PENDING_ID = 11
    EXISTS_WITH_DIFFERENT_TIMEOUT = 12
    EXISTS_WITH_DIFFERENT_DEBIT_ACCOUNT_ID = 13
    EXISTS_WITH_DIFFERENT_CREDIT_ACCOUNT_ID = 14
    EXISTS_WITH_DIFFERENT_AMOUNT = 15
    EXISTS_WITH_DIFFERENT_USER_DATA_128 = 16
    EXISTS_WITH_DIFFERENT_USER_DATA_64 = 17
    EXISTS_WITH_DIFFERENT_USER_DATA_32 = 18
    EXISTS_WITH_DIFFERENT_LEDGER = 19
    EXISTS_WITH_DIFFERENT_CODE = 20
    EXISTS = 21
    ID_ALREADY_FAILED = 22
    FLAGS_ARE_MUTUALLY_EXCLUSIVE = 23
    DEBIT_ACCOUNT_ID_MUST_NOT_BE_ZERO = 24
    DEBIT_ACCOUNT_ID_MUST_NOT_BE_INT_MAX = 25
    CREDIT_ACCOUNT_ID_MUST_NOT_BE_ZERO = 26
    CREDIT_ACCOUNT_ID_MUST_NOT_BE_INT_MAX = 27
    ACCOUNTS_MUST_BE_DIFFERENT = 28
    PENDING_ID_MUST_BE_ZERO = 29
    PENDING_ID_MUST_NOT_BE_ZERO = 30
    PENDING_ID_MUST_NOT_BE_INT_MAX = 31
    PENDING_ID_MUST_BE_DIFFERENT = 32
    TIMEOUT_RESERVED_FOR_PENDING_TRANSFER = 33
    CLOSING_TRANSFER_MUST_BE_PENDING = 34
    LEDGER_MUST_NOT_BE_ZERO = 35
    CODE_MUST_NOT_BE_ZERO = 36
    DEBIT_ACCOUNT_NOT_FOUND = 37
    CREDIT_ACCOUNT_NOT_FOUND = 38
    ACCOUNTS_MUST_HAVE_THE_SAME_LEDGER = 39
    TRANSFER_MUST_HAVE_THE_SAME_LEDGER_AS_ACCOUNTS = 40
    PENDING_TRANSFER_NOT_FOUND = 41
    PENDING_TRANSFER_NOT_PENDING = 42
    PENDING_TRANSFER_HAS_DIFFERENT_DEBIT_ACCOUNT_ID = 43
    PENDING_TRANSFER_HAS_DIFFERENT_CREDIT_ACCOUNT_ID = 44
    PENDING_TRANSFER_HAS_DIFFERENT_LEDGER = 45
    PENDING_TRANSFER_HAS_DIFFERENT_CODE = 46
    EXCEEDS_PENDING_TRANSFER_AMOUNT = 47
    PENDING_TRANSFER_HAS_DIFFERENT_AMOUNT = 48
    PENDING_TRANSFER_ALREADY_POSTED = 49
    PENDING_TRANSFER_ALREADY_VOIDED = 50
    PENDING_TRANSFER_EXPIRED = 51
    IMPORTED_EVENT_TIMESTAMP_MUST_NOT_REGRESS = 52
    IMPORTED_EVENT_TIMESTAMP_MUST_POSTDATE_DEBIT_ACCOUNT = 53
    IMPORTED_EVENT_TIMESTAMP_MUST_POSTDATE_CREDIT_ACCOUNT = 54
    IMPORTED_EVENT_TIMEOUT_MUST_BE_ZERO = 55
    DEBIT_ACCOUNT_ALREADY_CLOSED = 56
    CREDIT_ACCOUNT_ALREADY_CLOSED = 57
    OVERFLOWS_DEBITS_PENDING = 58
    OVERFLOWS_CREDITS_PENDING = 59
    OVERFLOWS_DEBITS_POSTED = 60
    OVERFLOWS_CREDITS_POSTED = 61
    OVERFLOWS_DEBITS = 62
    OVERFLOWS_CREDITS = 63
    OVERFLOWS_TIMEOUT = 64
    EXCEEDS_CREDITS = 65
    EXCEEDS_DEBITS = 66
    # ours
    DEBIT_ACCOUNT_FROZEN = 67
    CREDIT_ACCOUNT_FROZEN = 68
    OVERDRAFT_LIMIT_NEEDS_FLAG = 69
    NOT_PERMITTED = 70
    UPDATED = 71
    ACCOUNT_NOT_FOUND = 72
    # whole reads
    FOUND = 73                      # a read that was answered
    SCAN_LIMIT_REACHED = 74         # a read that looked at too many records without finishing
    NO_HISTORY = 75                 # get_account_balances of an account without `history`
    DEFINED = 76                    # a scope was defined
    ID_RESERVED = 77                # ids of this form are the engine's own
    # instruments and trading accounts
    EXISTS_WITH_DIFFERENT_TERMS = 78
    EXISTS_WITH_DIFFERENT_OWNER = 79
    EXISTS_WITH_DIFFERENT_DESK = 80
    EXISTS_WITH_DIFFERENT_ACCOUNTS = 81
    TICK_SIZE_MUST_NOT_BE_ZERO = 82
    LOT_SIZE_MUST_NOT_BE_ZERO = 83
    PRICE_SCALE_MUST_NOT_BE_ZERO = 84
    CONTRACT_SIZE_MUST_NOT_BE_ZERO = 85
    LEDGERS_MUST_BE_DIFFERENT = 86
    FEE_ACCOUNT_NOT_FOUND = 87      # or none is given although there are fees
    FEE_ACCOUNT_HAS_DIFFERENT_LEDGER = 88
    CLEARING_ACCOUNT_TAKEN = 89     # its id is a client's account
    UNKNOWN_INSTRUMENT = 90
    ACCOUNT_HAS_DIFFERENT_LEDGER = 91
    LEDGER_GIVEN_TWICE = 92
    PPM_OUT_OF_RANGE = 93           # more than 1,000,000
    PRICE_NOT_ON_TICK = 94          # the reference price
    # limits
    LIMITS_SET = 95
    PROPOSED = 96                   # waits for a second person
    APPROVED = 97
    DECLINED = 98
    PROPOSAL_NOT_FOUND = 99
    PROPOSAL_CLOSED = 100
    ANOTHER_PERSON_NEEDED = 101     # who proposed it cannot approve it
    TRADING_ACCOUNT_NOT_FOUND = 102
    LIMIT_NOT_FOR_SCOPE = 103
    LIMIT_OUT_OF_RANGE = 104
