# The memory layout of everything about limits that parts of the house share: commands, what a check sees, what it says.
#
# Whatever a check sees is int64 and nothing else: Numba would make a float of an int64 and a uint64. Money is in minor units
# of the risk currency (the quote ledger's, times the instrument's exposure_rate), quantities are base units, times nanoseconds.

from libc.stdint cimport int64_t, uint16_t, uint32_t, uint64_t

cdef extern from *:
    """
    #define TB_UNLIMITED 0x7FFFFFFFFFFFFFFFLL
    """
    const long long UNLIMITED "TB_UNLIMITED"

cdef enum LimitScope:               # whose limits they are
    SCOPE_ACCOUNT = 0               # a trading account
    SCOPE_DESK = 1
    SCOPE_CLIENT = 2                # owner of trading accounts
    SCOPE_INSTRUMENT = 3
    SCOPE_DEFAULT = 4               # of all trading accounts, where they have none of their own
    SCOPE_APPROVAL = 5              # values above which a raise needs a second person
    SCOPE_COUNT = 6

cdef enum LimitName:                # number of a limit: its place in Limits
    LIMIT_MAX_QUANTITY = 0
    LIMIT_MAX_NOTIONAL = 1
    LIMIT_PRICE_COLLAR = 2
    LIMIT_OPEN_ORDERS = 3
    LIMIT_OPEN_NOTIONAL = 4
    LIMIT_POSITION_LONG = 5
    LIMIT_POSITION_SHORT = 6
    LIMIT_GROSS_EXPOSURE = 7
    LIMIT_NET_EXPOSURE = 8
    LIMIT_CREDIT_LIMIT = 9
    LIMIT_DAILY_LOSS = 10
    LIMIT_ORDER_RATE = 11
    LIMIT_ORDER_BURST = 12
    LIMIT_ORDER_TO_TRADE = 13
    LIMIT_ORDER_TO_TRADE_FREE = 14
    LIMIT_DUPLICATE_ORDER = 15
    LIMIT_SHORT_SALE = 16
    LIMIT_SUITABILITY = 17
    LIMIT_SUITABILITY_CONFIRMED = 18
    LIMIT_PROGRAMME_RATE = 19
    LIMIT_PROGRAMME_DAY = 20
    LIMIT_RESTRICTED = 21
    LIMIT_KILL_SWITCH = 22
    LIMIT_EXPOSURE_RATE = 23
    LIMIT_COUNT = 24

cdef struct Limits:                 # 192 bytes; in the order of LimitName. UNLIMITED where nothing else is said
    int64_t max_quantity            # of one order
    int64_t max_notional            # of one order
    int64_t price_collar            # millionths that a price may be away from the last trade's (without one: the reference)
    int64_t open_orders
    int64_t open_notional
    int64_t position_long           # of one account in one instrument, open buys included
    int64_t position_short
    int64_t gross_exposure          # long and short positions at their marks, and open orders
    int64_t net_exposure            # of them the difference, whichever side the order adds to
    int64_t credit_limit            # traded today, and open orders
    int64_t daily_loss              # realised and unrealised, since the day began
    int64_t order_rate              # orders and replaces a second
    int64_t order_burst             # … that may come at once; 0: as many as order_rate
    int64_t order_to_trade          # orders, replaces and cancels of the day per trade …
    int64_t order_to_trade_free     # … beyond so many; none: 0
    int64_t duplicate_order         # nanoseconds in which the same order may not come twice; none: 0
    int64_t short_sale              # 0 allowed, 1 not below the last price, 2 forbidden
    int64_t suitability             # instrument: its level; account, client: theirs; none: 0
    int64_t suitability_confirmed   # level up to which the client has confirmed the risk warning; none: 0
    int64_t programme_rate          # messages a second from which an account is flagged
    int64_t programme_day           # … a day
    int64_t restricted              # 1: no new orders; none: 0
    int64_t kill_switch             # 1: no new orders; none: 0
    int64_t exposure_rate           # instrument: risk currency per minor unit of its quote ledger, in millionths; none: 1,000,000

cdef struct Exposure:               # 128 bytes; what the limits of an account, desk, client or instrument are held against
    int64_t open_orders
    int64_t open_buy                # value of open orders at their prices
    int64_t open_sell
    int64_t long_value              # of positions at their marks; not negative
    int64_t short_value             # … not negative either
    int64_t realised                # profit and loss of the day, after fees
    int64_t unrealised              # … of what is held, since the day began
    int64_t traded                  # value of the day's fills, both sides
    int64_t messages                # orders, replaces and cancels of the day
    int64_t trades                  # fills of the day
    int64_t rate_due                # when the bucket of order_rate is full again, nanoseconds
    int64_t second                  # account: the last second (of the log's time) in which there was a message …
    int64_t second_messages         # … and how many
    int64_t programme               # 1: programme_rate was reached today, 2: programme_day; bits
    int64_t reserved                # 0
    int64_t reserved_2              # 0

cdef struct RiskOrder:              # 256 bytes; an order as checks see it, and the book and position that it meets
    int64_t time
    int64_t account_id              # trading account
    int64_t instrument              # its number, from 0
    int64_t side                    # Side
    int64_t type                    # OrderType
    int64_t time_in_force           # TimeInForce
    int64_t post_only
    int64_t replaces                # 1: a replace; the three below are of the order as it was, else 0
    int64_t old_quantity            # leaves
    int64_t old_value
    int64_t price                   # the limit; of market orders and stops their protection price
    int64_t stop_price              # 0: none
    int64_t quantity                # leaves
    int64_t value                   # quantity at price, in risk currency
    int64_t last_price              # 0: none yet, so for all prices below
    int64_t reference_price
    int64_t mark_price              # last price, else reference price
    int64_t best_bid
    int64_t best_ask
    int64_t position                # quantity; negative: short
    int64_t open_buy_quantity       # of this account in this instrument, the order as it was included
    int64_t open_sell_quantity
    int64_t short_quantity          # spot: how much of a sell is more than what the account holds beside its open sells
    int64_t futures                 # 1: futures, 0: spot
    int64_t duplicate_age           # nanoseconds since the same order was accepted; -1: it was not
    int64_t position_long           # limits of this account in this instrument by itself; UNLIMITED: none
    int64_t position_short
    int64_t restricted              # 1 + LimitScope of who is restricted in this instrument by itself; 0: nobody
    int64_t killed                  # 1: the kill switch of everything is on
    int64_t reserved                # 0
    int64_t reserved_2              # 0
    int64_t reserved_3              # 0

cdef struct Finding:                # 40 bytes; what a check says about a refusal
    int64_t scope                   # LimitScope
    int64_t limit
    int64_t used                    # before the order
    int64_t asked                   # by the order; it is refused because used + asked > limit, or as docs/RISK.md says
    int64_t check                   # number of the institution's own check; 0: ours

cdef struct Verdict:                # 48 bytes; a refusal by a limit, as it stands in the log
    int64_t limit
    int64_t used
    int64_t asked
    uint32_t item                   # in the batch's orders, or amends
    uint32_t check
    uint16_t amend                  # 1: of a replace
    uint16_t reason                 # Reason
    uint16_t scope                  # LimitScope
    uint16_t reserved               # 0
    uint64_t reserved_2             # 0

cdef struct LimitsCommand:          # 88 bytes; set_limits
    uint64_t id_0                   # number of an account; or the text of a desk, client or instrument, as a symbol
    uint64_t id_1
    uint64_t id_2
    uint64_t symbol_0               # with an account, desk or client: in this instrument only (restricted, position_*)
    uint64_t symbol_1
    uint64_t symbol_2
    uint64_t actor_0                # who says so, as a symbol
    uint64_t actor_1
    uint64_t actor_2
    uint32_t value_first            # in the batch's limit values
    uint32_t value_count
    uint16_t scope                  # LimitScope
    uint16_t reserved               # 0
    uint32_t reserved_2             # 0

cdef struct LimitValue:             # 16 bytes
    int64_t value
    uint16_t name                   # LimitName
    uint16_t unset                  # 1: there is no such limit any more
    uint32_t reserved               # 0

cdef struct KillCommand:            # 56 bytes; kill_switch
    uint64_t id_0
    uint64_t id_1
    uint64_t id_2
    uint64_t actor_0
    uint64_t actor_1
    uint64_t actor_2
    uint16_t scope                  # LimitScope
    uint16_t on
    uint32_t reserved               # 0

cdef struct ApprovalCommand:        # 40 bytes; approve_limits
    uint64_t proposal_id
    uint64_t actor_0
    uint64_t actor_1
    uint64_t actor_2
    uint32_t approve                # 0: reject
    uint32_t reserved               # 0

cdef struct LimitsFilter:           # 40 bytes; get_limits: one scope and id, or all of a scope, or all
    uint64_t id_0
    uint64_t id_1
    uint64_t id_2
    uint32_t scope                  # LimitScope, or SCOPE_COUNT: all
    uint32_t limit
    uint64_t after                  # number of the last one of the page before

cdef struct LimitsView:             # 416 bytes
    uint64_t number                 # for paging, from 1
    uint64_t id_0
    uint64_t id_1
    uint64_t id_2
    uint64_t symbol_0               # of limits in one instrument by itself
    uint64_t symbol_1
    uint64_t symbol_2
    uint64_t updated                # timestamp of the last set_limits, or 0
    Limits limits                   # in force
    Exposure exposure
    uint32_t own                    # bits by LimitName: set here, not by default
    uint16_t scope
    uint16_t reserved               # 0
    uint64_t reserved_2             # 0
    uint64_t reserved_3             # 0
    uint64_t reserved_4             # 0

cdef struct Proposal:               # 336 bytes; a raise that waits for a second person
    uint64_t proposal_id            # from 1
    uint64_t id_0
    uint64_t id_1
    uint64_t id_2
    uint64_t symbol_0
    uint64_t symbol_1
    uint64_t symbol_2
    uint64_t actor_0                # who proposed it
    uint64_t actor_1
    uint64_t actor_2
    uint64_t decided_by_0
    uint64_t decided_by_1
    uint64_t decided_by_2
    uint64_t timestamp
    uint64_t decided_at             # 0: open
    Limits values
    uint32_t set                    # bits by LimitName
    uint32_t unset
    uint16_t scope                  # LimitScope
    uint16_t state                  # ProposalState
    uint32_t reserved               # 0
    uint64_t reserved_2             # 0

cdef enum ProposalState:
    PROPOSAL_OPEN = 0
    PROPOSAL_APPROVED = 1
    PROPOSAL_DECLINED = 2
