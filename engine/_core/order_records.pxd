# The memory layout of everything about orders that parts of the house share: commands in, results and views out.
#
# As in `records.pxd`: widest fields first, no padding, sizes checked at import. A symbol is up to 24 ASCII characters in
# three words, the first character in the lowest byte, zeros behind. Prices are in the instrument's units (not in ticks),
# quantities in base units, 1 … 2^63-1; 0 means "not given". Order and trade ids count from 1 without gaps.

from libc.stdint cimport int64_t, uint16_t, uint32_t, uint64_t


# --- commands -------------------------------------------------------------------------------------

cdef struct InstrumentCommand:      # 136 bytes; create_instruments, update_instruments
    uint64_t symbol_0
    uint64_t symbol_1
    uint64_t symbol_2
    uint64_t tick_size
    uint64_t lot_size
    uint64_t price_scale            # notional = price * quantity * contract_size / price_scale
    uint64_t contract_size
    uint64_t minimum_fee
    uint64_t fee_account_id         # 0: none
    uint64_t reference_price        # 0: none
    uint32_t base_ledger
    uint32_t quote_ledger
    uint32_t maker_fee_ppm
    uint32_t taker_fee_ppm
    uint32_t transfer_fee_ppm
    uint32_t sell_duty_ppm
    uint32_t price_band_ppm         # 0: none; so for the next two
    uint32_t price_cage_ppm
    uint32_t circuit_breaker_ppm
    uint32_t market_protection_ppm
    uint32_t initial_margin_ppm
    uint32_t maintenance_margin_ppm
    uint32_t fields                 # update only: InstrumentField bits of the members that are meant
    uint16_t flags                  # InstrumentFlag
    uint16_t session                # Session to begin with

cdef struct TradingAccountCommand:  # 64 bytes
    uint64_t id                     # 1 … 2^63-1
    uint64_t owner_0                # text of up to 24 characters, as a symbol
    uint64_t owner_1
    uint64_t owner_2
    uint64_t desk_0
    uint64_t desk_1
    uint64_t desk_2
    uint32_t link_first             # in the batch's links
    uint32_t link_count

cdef struct LinkCommand:            # 16 bytes; which account a trading account uses in a ledger
    uint64_t account_id
    uint32_t ledger
    uint32_t reserved               # 0

cdef struct OrderCommand:           # 112 bytes
    uint64_t client_order_id_lo
    uint64_t client_order_id_hi
    uint64_t account_id             # trading account
    uint64_t symbol_0
    uint64_t symbol_1
    uint64_t symbol_2
    uint64_t price
    uint64_t stop_price
    uint64_t quantity
    uint64_t display_quantity
    uint64_t expire_time            # nanoseconds; GTD
    uint64_t session                # the server's session that cancels it on disconnect; 0: none
    uint16_t side                   # Side
    uint16_t type                   # OrderType
    uint16_t time_in_force          # TimeInForce
    uint16_t self_trade_prevention  # SelfTradePrevention
    uint16_t offset                 # Offset
    uint16_t flags                  # OrderFlag
    uint32_t reserved               # 0

cdef struct AmendCommand:           # 64 bytes; cancel_orders (no fields) and replace_orders
    uint64_t account_id
    uint64_t order_id               # or the client order id below
    uint64_t client_order_id_lo
    uint64_t client_order_id_hi
    uint64_t quantity
    uint64_t price
    uint64_t stop_price
    uint32_t fields                 # AmendField: which of the three above are meant
    uint32_t reserved               # 0

cdef struct MassCancelCommand:      # 48 bytes; each condition that is 0 is none
    uint64_t account_id
    uint64_t symbol_0
    uint64_t symbol_1
    uint64_t symbol_2
    uint64_t session                # or SESSION_ANY: all orders that belong to a session
    uint32_t sides                  # 0: both; 1: buys; 2: sells
    uint32_t reserved               # 0

cdef struct SessionCommand:         # 32 bytes; set_session
    uint64_t symbol_0
    uint64_t symbol_1
    uint64_t symbol_2
    uint16_t state                  # Session
    uint16_t flags                  # SESSION_NO_CANCEL
    uint32_t reserved               # 0

cdef struct DayCommand:             # 40 bytes; end_of_day: the first item is the date, the others settlement prices
    uint64_t symbol_0
    uint64_t symbol_1
    uint64_t symbol_2
    uint64_t price
    uint32_t business_date          # yyyymmdd, of the day that begins; first item only
    uint32_t reserved               # 0

cdef struct TradeCommand:           # 16 bytes; bust_trades (price 0), correct_trades
    uint64_t trade_id
    uint64_t price


# --- answers --------------------------------------------------------------------------------------

cdef struct OrderResult:            # 48 bytes; one per item of submit, cancel, replace, mass_cancel, bust, correct
    uint64_t order_id               # 0: none; of a bust or correction the (new) trade's id; of a mass cancel 0
    uint64_t cum_quantity           # of a mass cancel, how many orders were canceled
    uint64_t leaves_quantity
    uint64_t timestamp
    uint32_t fill_first             # in the batch's fills
    uint32_t fill_count
    uint16_t status                 # OrderStatus
    uint16_t reason                 # Reason
    uint16_t order_status           # of EXISTS: the status of that order
    uint16_t reserved               # 0

cdef struct Fill:                   # 40 bytes
    uint64_t exec_id
    uint64_t trade_id
    uint64_t price
    uint64_t quantity
    uint64_t fee                    # commission, transfer fee and duty of this side

cdef struct ExecutionView:          # 168 bytes; what happened to an order, as its owner is told
    uint64_t exec_id
    uint64_t order_id
    uint64_t client_order_id_lo
    uint64_t client_order_id_hi
    uint64_t account_id
    uint64_t symbol_0
    uint64_t symbol_1
    uint64_t symbol_2
    uint64_t price                  # of the order; 0: market
    uint64_t quantity               # of the order
    uint64_t last_px                # 0 unless a fill
    uint64_t last_qty
    uint64_t trade_id
    uint64_t fee
    uint64_t leaves_qty
    uint64_t cum_qty
    uint64_t timestamp
    uint64_t batch                  # number of the batch since the beginning of the log: its seq
    uint64_t session                # of the order
    uint16_t side
    uint16_t type
    uint16_t kind                   # ExecutionKind
    uint16_t status                 # OrderStatus after it
    uint16_t reason
    uint16_t reserved               # 0
    uint32_t reserved_2             # 0

cdef struct OrderView:              # 200 bytes; get_orders
    uint64_t order_id
    uint64_t client_order_id_lo
    uint64_t client_order_id_hi
    uint64_t account_id
    uint64_t symbol_0
    uint64_t symbol_1
    uint64_t symbol_2
    uint64_t price
    uint64_t stop_price
    uint64_t quantity
    uint64_t display_quantity
    uint64_t cum_quantity
    uint64_t leaves_quantity
    uint64_t visible_quantity
    uint64_t reserved_amount        # what it holds
    uint64_t turnover               # notional of its fills
    uint64_t fees                   # of its fills: commission, transfer fee, duty
    uint64_t expire_time
    uint64_t session
    uint64_t timestamp              # accepted
    uint64_t updated                # last execution
    uint16_t side
    uint16_t type
    uint16_t time_in_force
    uint16_t self_trade_prevention
    uint16_t offset
    uint16_t flags                  # OrderFlag
    uint16_t status
    uint16_t reason
    uint64_t reserved               # 0
    uint64_t reserved_2             # 0

cdef struct LevelView:              # 24 bytes; get_book: bids best first, then asks best first
    uint64_t price
    uint64_t quantity               # visible
    uint32_t orders
    uint32_t side

cdef struct BookView:               # 136 bytes; get_book's head, get_instruments' state
    uint64_t symbol_0
    uint64_t symbol_1
    uint64_t symbol_2
    uint64_t last_price             # 0: none yet; so for all prices
    uint64_t reference_price
    uint64_t limit_down
    uint64_t limit_up
    uint64_t indicative_price       # while pre_open or auction
    uint64_t indicative_quantity
    uint64_t open_price             # of the business day
    uint64_t high_price
    uint64_t low_price
    uint64_t volume
    uint64_t turnover
    uint64_t timestamp              # of the newest execution in it
    uint32_t number                 # of the instrument
    uint32_t bids                   # how many LevelViews follow of each side
    uint32_t asks
    uint16_t session
    uint16_t flags                  # SESSION_NO_CANCEL

cdef struct TradeView:              # 152 bytes; get_trades, and trades as they happen
    uint64_t trade_id
    uint64_t timestamp
    uint64_t symbol_0
    uint64_t symbol_1
    uint64_t symbol_2
    uint64_t price
    uint64_t quantity
    uint64_t notional
    uint64_t buy_order_id
    uint64_t sell_order_id
    uint64_t buy_account_id
    uint64_t sell_account_id
    uint64_t buy_fee
    uint64_t sell_fee               # with transfer fee, without duty
    uint64_t duty
    uint64_t corrects               # the trade that this one corrects, or 0
    uint64_t batch
    uint32_t business_date
    uint32_t instrument
    uint16_t taker_side             # Side; the later order's in an auction
    uint16_t state                  # TradeState
    uint32_t reserved               # 0

cdef struct PositionView:           # 144 bytes; get_positions, get_margin_calls
    uint64_t account_id
    uint64_t symbol_0
    uint64_t symbol_1
    uint64_t symbol_2
    uint64_t long_quantity          # futures; of spot: what the account holds in the base ledger
    uint64_t short_quantity
    uint64_t long_today
    uint64_t short_today
    uint64_t long_basis             # notional at which the open quantities stand in the books
    uint64_t short_basis
    uint64_t margin                 # held
    uint64_t margin_initial         # what it should be at the reference price
    uint64_t margin_maintenance
    uint64_t unsettled              # bought today and not yet sellable (T+1)
    uint64_t shortfall              # losses that could not be posted
    uint64_t open_buy               # leaves of open orders
    uint64_t open_sell
    uint64_t call                   # margin call: what is to be paid in

cdef struct OrderFilter:            # 96 bytes; get_orders, get_trades, get_positions, get_executions
    uint64_t account_id             # 0: any
    uint64_t symbol_0
    uint64_t symbol_1
    uint64_t symbol_2
    uint64_t timestamp_min
    uint64_t timestamp_max
    uint64_t after                  # ids greater than this; for paging and replay
    uint64_t batch_min              # executions and trades of batches from this on
    uint64_t order_id
    uint32_t limit                  # records, or for get_book levels per side
    uint32_t flags                  # OrderFilterFlag
    uint64_t reserved               # 0
    uint64_t reserved_2             # 0
