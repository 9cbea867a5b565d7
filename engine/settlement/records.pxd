# What settlement remembers beside the ledger: who trades with which accounts, what orders and positions hold, trades and executions.

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

cdef struct TradingAccount:         # 104 bytes
    uint64_t id
    uint64_t owner_0
    uint64_t owner_1
    uint64_t owner_2
    uint64_t desk_0
    uint64_t desk_1
    uint64_t desk_2
    uint64_t timestamp
    uint32_t link_first             # its links stand together
    uint32_t link_count
    uint32_t order_last             # newest order, or NONE
    uint32_t order_count
    uint32_t execution_last         # newest execution, or NONE
    uint32_t position_last          # newest position, or NONE
    uint32_t open_orders
    uint32_t positions
    uint32_t reserved               # 0
    uint32_t reserved_2             # 0

cdef struct Link:                   # 16 bytes
    uint32_t ledger
    uint32_t account                # slot in the ledger
    uint32_t holding
    uint32_t reserved               # 0

cdef struct Holding:                # 48 bytes; of a ledger account that somebody trades with
    uint64_t held                   # by orders and as margin
    uint64_t proceeds               # of the day's sales for T+1, as far as they have not been spent
    uint64_t bought                 # T+1: bought today, neither sellable nor transferable
    uint64_t pending                # max(held, proceeds) + bought: its part of the account's debits_pending
    uint32_t account
    uint32_t clearing               # account of the other side of `pending`; NONE before the ledger's first instrument
    uint64_t reserved               # 0

cdef struct Position:               # 152 bytes; of a trading account in an instrument
    uint64_t long_quantity          # futures, as all but `open_*`
    uint64_t short_quantity
    uint64_t long_today
    uint64_t short_today
    uint64_t long_basis             # notional at which the long quantity stands in the books
    uint64_t short_basis
    uint64_t closing_long           # spoken for by open orders that close
    uint64_t closing_short
    uint64_t margin                 # held for the position itself
    uint64_t shortfall              # losses that could not be posted
    uint64_t open_buy               # leaves of open orders
    uint64_t open_sell
    uint64_t open_held              # what they hold in the quote ledger
    uint32_t account                # trading account
    uint32_t instrument
    uint32_t base_account           # slots in the ledger; NONE when not linked
    uint32_t quote_account
    uint32_t base_holding
    uint32_t quote_holding
    uint32_t open_orders
    uint32_t previous_of_account    # position before it, or NONE
    uint32_t previous_of_instrument
    uint32_t number                 # of the instrument's positions, in the order of creation
    uint64_t reserved               # 0

cdef struct Trade:                  # 152 bytes; trade id = slot + 1
    uint64_t timestamp
    uint64_t batch
    uint64_t quantity
    uint64_t notional
    uint64_t buy_fee                # commission and transfer fee
    uint64_t sell_fee
    uint64_t duty
    uint64_t buy_closed             # futures: how much of it closed, and the basis of that
    uint64_t buy_basis
    uint64_t sell_closed
    uint64_t sell_basis
    uint64_t buy_proceeds           # T+1: how much of the buyer's proceeds of the day it used up
    uint32_t price                  # ticks
    uint32_t buy_order
    uint32_t sell_order
    uint32_t transfer_first         # its legs stand together
    uint32_t transfer_count
    uint32_t instrument
    uint32_t business_date
    uint32_t corrects               # trade that it corrects, or NONE
    uint16_t taker_side             # Side
    uint16_t state                  # TradeState
    uint32_t previous               # of the instrument's trades, the one before it
    uint64_t rates                  # in millionths, 20 bits each: commission of buyer and seller, transfer fee
    uint64_t reserved               # 0

cdef struct Execution:              # 64 bytes; exec id = slot + 1
    uint64_t timestamp
    uint64_t batch
    uint64_t leaves                 # of the order after it, as all but `trade`
    uint64_t filled
    uint64_t quantity
    uint32_t order
    uint32_t trade                  # or NONE
    uint32_t price                  # ticks; the order's
    uint32_t previous               # of the order, or NONE
    uint32_t previous_of_account    # of the trading account, or NONE
    uint8_t kind                    # ExecutionKind
    uint8_t status                  # OrderStatus
    uint16_t reason                 # Reason

cdef struct ExchangeState:          # 64 bytes; one record: what the stores themselves do not say
    uint64_t batch                  # batches applied since the beginning of the log
    uint64_t slices
    uint32_t business_date
    uint32_t open_count
    uint32_t level_count
    uint32_t level_free
    uint32_t node_count
    uint32_t node_free
    uint32_t reserved
    uint32_t reserved_2
    uint64_t reserved_3
    uint64_t reserved_4
