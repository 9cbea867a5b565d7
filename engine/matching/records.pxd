# What books are made of. Everything is an index into a store, so that a snapshot is a copy of the stores.
#
# - Orders are append-only: order id = slot + 1, for ever. Levels and nodes come from pools and go back to them.
# - Inside, prices are ticks (1 … 2^30-1); outside, units of the instrument. `tick_*` convert without a division.
# - Two orders of one instrument have the same trading account exactly when their `position` is the same.

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

cdef enum Place:                    # where an order stands
    PLACE_NONE = 0
    PLACE_BOOK = 1
    PLACE_STOPS = 2

cdef enum Trait:                    # bits of Order.traits
    TRAIT_SELL = 1
    TRAIT_TYPE = 6                  # OrderType << 1
    TRAIT_TIF = 56                  # TimeInForce << 3
    TRAIT_STP = 448                 # SelfTradePrevention << 6
    TRAIT_OFFSET = 1536             # Offset << 9
    TRAIT_POST_ONLY = 2048
    TRAIT_ICEBERG = 4096
    TRAIT_GUARDED = 8192            # belongs to a session that cancels it on disconnect
    TRAIT_TYPE_SHIFT = 1
    TRAIT_TIF_SHIFT = 3
    TRAIT_STP_SHIFT = 6
    TRAIT_OFFSET_SHIFT = 9

cdef enum:                          # Fold: sides of an instrument's book, in Instrument.sides
    FOLD_BIDS = 0                   # as Side
    FOLD_ASKS = 1
    FOLD_STOP_BUYS = 2              # by stop price: the lowest triggers first
    FOLD_STOP_SELLS = 3             # … the highest

cdef struct Order:                  # 64 bytes, one cache line: all that matching touches
    uint64_t leaves                 # what may still trade, hidden part included
    uint64_t visible                # shown in its level
    uint64_t filled
    uint64_t held                   # settlement: what it holds of the paying account (spot) or as margin and fees
    uint32_t price                  # ticks; of a market order and a stop, the protection price
    uint32_t next                   # in its level, later
    uint32_t previous               # … earlier
    uint32_t level                  # NONE unless it stands somewhere
    uint32_t position               # settlement's record of (trading account, instrument)
    uint32_t instrument
    uint16_t traits                 # Trait
    uint8_t status                  # OrderStatus
    uint8_t place                   # Place
    uint32_t reserved               # 0

cdef struct OrderDetail:            # 128 bytes; same slot as its Order; what matching rarely needs
    uint64_t client_order_id_lo
    uint64_t client_order_id_hi
    uint64_t quantity               # as ordered or replaced, less what decrements took off
    uint64_t display                # of an iceberg
    uint64_t expire_time
    uint64_t timestamp              # accepted
    uint64_t updated                # last execution
    uint64_t session
    uint64_t turnover               # notional of its fills
    uint64_t commission             # charged, without the rest
    uint64_t commission_exact       # what the rates alone would have charged
    uint64_t charges                # transfer fees and duty charged
    uint64_t closing                # futures: how much of `leaves` closes
    uint32_t stop_price             # ticks
    uint32_t execution_last         # newest execution, or NONE
    uint32_t previous_of_account    # the trading account's order before it, or NONE
    uint16_t reason                 # why rejected or canceled
    uint16_t reserved               # 0
    uint64_t held_fees              # the part of Order.held that is for commission and transfer fee

cdef struct Level:                  # 32 bytes; orders of one price, oldest first
    uint64_t quantity               # visible
    uint64_t hidden
    uint32_t price                  # ticks
    uint32_t first                  # never NONE: an empty level is taken out. In the pool: the next free one
    uint32_t last
    uint32_t count

cdef struct Node:                   # 264 bytes; of the tree of levels of a side: six bits of the price each
    uint64_t used                   # which children there are. In the pool: the next free one
    uint32_t children[64]           # nodes, or on the lowest floor levels

cdef struct BookSide:               # 40 bytes
    uint64_t total                  # leaves of its orders; never above 2^63-1
    uint32_t best                   # level, or NONE
    uint32_t root                   # node, or NONE
    uint32_t height                 # floors: prices below 64^height
    uint32_t leaf                   # the lowest node last used, or NONE …
    uint32_t leaf_base              # … and its prices without their lowest six bits
    uint32_t levels
    uint32_t orders
    uint32_t reserved               # 0

cdef struct Instrument:             # 392 bytes
    uint64_t symbol_0
    uint64_t symbol_1
    uint64_t symbol_2
    uint64_t tick_size
    uint64_t tick_inverse           # of the odd part of the tick size, modulo 2^64
    uint64_t price_max              # of its prices: min(2^30-1 ticks, 2^63-1)
    uint64_t lot_size
    uint64_t price_scale
    uint64_t contract_size
    uint64_t minimum_fee
    uint64_t reference_price        # in units, as it was given; 0: none
    uint64_t volume                 # of the business day, as all below
    uint64_t turnover
    uint64_t fee_account_id
    uint64_t updated                # timestamp of the newest execution in it
    uint32_t base_ledger
    uint32_t quote_ledger
    uint32_t maker_fee_ppm
    uint32_t taker_fee_ppm
    uint32_t transfer_fee_ppm
    uint32_t sell_duty_ppm
    uint32_t price_band_ppm
    uint32_t price_cage_ppm
    uint32_t circuit_breaker_ppm
    uint32_t market_protection_ppm
    uint32_t initial_margin_ppm
    uint32_t maintenance_margin_ppm
    uint32_t fee_account            # slots of accounts, NONE where there is none
    uint32_t base_clearing
    uint32_t quote_clearing
    uint32_t tick_shift             # trailing zeros of the tick size
    uint32_t limit_down             # ticks; 0 … 2^30-1 without a band
    uint32_t limit_up
    uint32_t last_price             # ticks; 0: none yet, as all below
    uint32_t breaker_price          # the circuit breaker's reference
    uint32_t open_price
    uint32_t high_price
    uint32_t low_price
    uint32_t slices                 # open orders, an iceberg counted once per slice that it still has
    uint32_t guarded                # open orders that belong to a session
    uint32_t positions              # settlement: newest of its positions, or NONE
    uint16_t flags                  # InstrumentFlag
    uint16_t session                # Session
    uint16_t session_flags          # SessionFlag
    uint16_t session_first          # as created
    BookSide sides[4]               # Fold
