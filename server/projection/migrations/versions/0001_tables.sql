-- The tables of the projection. Applied once, by the first migration; later changes are migrations of their own.
--
-- What grows without end is partitioned by month of `at`; partitions are made ahead by who writes. Names are the
-- protocol's where the protocol has one. Nothing here refers to another table by a foreign key: the rows come from the
-- engine, which has checked all of that, and every check again would be paid for at each row.

CREATE TYPE ledger.transfer_state AS ENUM (
    'posted', 'pending', 'pending_posted', 'voided', 'expired'
);
COMMENT ON TYPE ledger.transfer_state IS
    'Where a transfer stands: posted (at once, or a post), pending, pending_posted (was pending, has been posted), voided (was pending; also the void itself), expired.';

CREATE TYPE ledger.side AS ENUM (
    'buy', 'sell'
);
COMMENT ON TYPE ledger.side IS
    'Side of the book.';

CREATE TYPE ledger.order_type AS ENUM (
    'limit', 'market', 'stop', 'stop_limit'
);
COMMENT ON TYPE ledger.order_type IS
    'Type of an order.';

CREATE TYPE ledger.time_in_force AS ENUM (
    'day', 'gtc', 'gtd', 'ioc', 'fok'
);
COMMENT ON TYPE ledger.time_in_force IS
    'How long an order stands.';

CREATE TYPE ledger.self_trade_prevention AS ENUM (
    'none', 'cancel_newest', 'cancel_oldest', 'cancel_both', 'decrement'
);
COMMENT ON TYPE ledger.self_trade_prevention IS
    'What happens when an order would meet one of the same trading account.';

CREATE TYPE ledger.open_close AS ENUM (
    'auto', 'open', 'close', 'close_today'
);
COMMENT ON TYPE ledger.open_close IS
    'Futures: whether an order opens or closes a position (`offset` in the protocol).';

CREATE TYPE ledger.order_status AS ENUM (
    'new', 'partially_filled', 'filled', 'canceled', 'expired', 'rejected'
);
COMMENT ON TYPE ledger.order_status IS
    'Where an order stands.';

CREATE TYPE ledger.execution_kind AS ENUM (
    'new', 'fill', 'canceled', 'replaced', 'expired', 'rejected', 'triggered', 'restated', 'busted', 'corrected'
);
COMMENT ON TYPE ledger.execution_kind IS
    'What happened to an order.';

CREATE TYPE ledger.reason AS ENUM (
    'none', 'unknown_instrument', 'unknown_account', 'session_closed', 'price_not_on_tick',
    'quantity_not_in_lots', 'price_outside_band', 'insufficient_funds', 'insufficient_holdings', 'would_cross',
    'fok_not_fillable', 'no_liquidity', 'max_quantity', 'max_notional', 'price_collar', 'open_orders',
    'open_notional', 'position_long', 'position_short', 'gross_exposure', 'credit_limit', 'daily_loss',
    'order_rate', 'duplicate_order', 'restricted', 'kill_switch', 'suitability', 'not_permitted',
    'type_not_allowed', 'invalid_combination', 'overflow', 'ledger_not_linked', 'account_closed',
    'account_frozen', 'unknown_order', 'order_closed', 'cancel_not_allowed', 'already_filled', 'self_trade',
    'mass_cancel', 'session_ended', 'end_of_day', 'circuit_breaker', 'unknown_trade', 'trade_busted',
    'trade_settled', 'date_not_later', 'net_exposure', 'order_to_trade', 'short_sale', 'own_check',
    'risk_failed'
);
COMMENT ON TYPE ledger.reason IS
    'Why an order was refused, canceled or not changed; none: for no reason of ours.';

CREATE TYPE ledger.trade_state AS ENUM (
    'done', 'busted', 'corrected'
);
COMMENT ON TYPE ledger.trade_state IS
    'Whether a trade stands.';

CREATE TYPE ledger.session_state AS ENUM (
    'closed', 'pre_open', 'auction', 'continuous', 'halted'
);
COMMENT ON TYPE ledger.session_state IS
    'Trading state of an instrument.';

CREATE TYPE ledger.limit_scope AS ENUM (
    'account', 'desk', 'client', 'instrument', 'default', 'approval'
);
COMMENT ON TYPE ledger.limit_scope IS
    'Whose limits: of a trading account, a desk, a client (owner of trading accounts), an instrument; default: of every trading account that has none of its own; approval: the values above which a raise needs a second person.';

CREATE TYPE ledger.proposal_state AS ENUM (
    'open', 'approved', 'declined'
);
COMMENT ON TYPE ledger.proposal_state IS
    'What became of a proposal.';

CREATE TYPE ledger.row_kind AS ENUM (
    'batch', 'takeover'
);
COMMENT ON TYPE ledger.row_kind IS
    'What a row of the log is: a batch of commands, or the beginning of a leader''s epoch.';

CREATE TABLE ledger.progress (
    single boolean NOT NULL DEFAULT true CHECK (single),
    log_id uuid NOT NULL,
    seq bigint NOT NULL,
    log_hash bytea NOT NULL,
    transfers bigint NOT NULL,
    accounts bigint NOT NULL,
    trading_accounts bigint NOT NULL,
    links bigint NOT NULL,
    instruments bigint NOT NULL,
    orders bigint NOT NULL,
    executions bigint NOT NULL,
    trades bigint NOT NULL,
    positions bigint NOT NULL,
    named_groups bigint NOT NULL,
    limit_pairs bigint NOT NULL,
    proposals bigint NOT NULL,
    timestamp bigint NOT NULL,
    at timestamptz NOT NULL,
    PRIMARY KEY (single)
) WITH (fillfactor = 20);
COMMENT ON TABLE ledger.progress IS
    'How far these tables are: one row, written in the same transaction as everything else.';
COMMENT ON COLUMN ledger.progress.single IS 'Always true: there is one row.';
COMMENT ON COLUMN ledger.progress.log_id IS 'Names the log that the tables were made from.';
COMMENT ON COLUMN ledger.progress.seq IS 'Newest row of the log whose effects the tables hold.';
COMMENT ON COLUMN ledger.progress.log_hash IS 'Hash of that row (SHA-256): proves that the log is still the same.';
COMMENT ON COLUMN ledger.progress.transfers IS 'Transfers in the tables.';
COMMENT ON COLUMN ledger.progress.accounts IS 'Accounts.';
COMMENT ON COLUMN ledger.progress.trading_accounts IS 'Trading accounts.';
COMMENT ON COLUMN ledger.progress.links IS 'Their ledger accounts.';
COMMENT ON COLUMN ledger.progress.instruments IS 'Instruments.';
COMMENT ON COLUMN ledger.progress.orders IS 'Orders.';
COMMENT ON COLUMN ledger.progress.executions IS 'Executions.';
COMMENT ON COLUMN ledger.progress.trades IS 'Trades.';
COMMENT ON COLUMN ledger.progress.positions IS 'Positions.';
COMMENT ON COLUMN ledger.progress.named_groups IS 'Limits that belong to no account and no instrument.';
COMMENT ON COLUMN ledger.progress.limit_pairs IS 'Limits in one instrument by itself.';
COMMENT ON COLUMN ledger.progress.proposals IS 'Proposals.';
COMMENT ON COLUMN ledger.progress.timestamp IS 'Nanoseconds since 1970-01-01 UTC: time of the newest command that the tables hold.';
COMMENT ON COLUMN ledger.progress.at IS 'The same, rounded down to microseconds.';

CREATE TABLE ledger.batches (
    seq bigint NOT NULL,
    epoch bigint NOT NULL,
    kind ledger.row_kind NOT NULL,
    items integer NOT NULL,
    timestamp bigint NOT NULL,
    at timestamptz NOT NULL,
    PRIMARY KEY (seq, at)
) PARTITION BY RANGE (at);
COMMENT ON TABLE ledger.batches IS
    'One row per row of the log: a batch of commands, applied as a whole. Append-only, by month.';
COMMENT ON COLUMN ledger.batches.seq IS 'Number of the row in the log.';
COMMENT ON COLUMN ledger.batches.epoch IS 'Number of the leader that wrote it.';
COMMENT ON COLUMN ledger.batches.kind IS 'What it is.';
COMMENT ON COLUMN ledger.batches.items IS 'Commands in it.';
COMMENT ON COLUMN ledger.batches.timestamp IS 'Nanoseconds since 1970-01-01 UTC: time of its first command; command i has time + i.';
COMMENT ON COLUMN ledger.batches.at IS 'The same, rounded down to microseconds.';

CREATE TABLE ledger.accounts (
    account_id bigint NOT NULL,
    ledger bigint NOT NULL,
    code integer NOT NULL,
    flags integer NOT NULL,
    debits_pending bigint NOT NULL,
    debits_posted bigint NOT NULL,
    credits_pending bigint NOT NULL,
    credits_posted bigint NOT NULL,
    overdraft_limit bigint NOT NULL,
    user_data_128 uuid,
    user_data_64 numeric(20),
    user_data_32 bigint,
    timestamp bigint NOT NULL,
    at timestamptz NOT NULL,
    PRIMARY KEY (account_id)
) WITH (fillfactor = 70);
COMMENT ON TABLE ledger.accounts IS
    'Accounts of the ledger, with their balances.';
COMMENT ON COLUMN ledger.accounts.account_id IS 'Its id, 1 to 2^63-1.';
COMMENT ON COLUMN ledger.accounts.ledger IS 'Currency or asset, as a number; amounts of different ledgers never mix.';
COMMENT ON COLUMN ledger.accounts.code IS 'What kind of account it is, as the institution numbers them.';
COMMENT ON COLUMN ledger.accounts.flags IS 'Bits; ledger.account_flags(flags) gives their names.';
COMMENT ON COLUMN ledger.accounts.debits_pending IS 'Held by pending transfers and open orders, minor units.';
COMMENT ON COLUMN ledger.accounts.debits_posted IS 'Sum of its debits, minor units.';
COMMENT ON COLUMN ledger.accounts.credits_pending IS 'Announced by pending transfers, minor units.';
COMMENT ON COLUMN ledger.accounts.credits_posted IS 'Sum of its credits, minor units.';
COMMENT ON COLUMN ledger.accounts.overdraft_limit IS 'By so much its debits may exceed its credits, minor units.';
COMMENT ON COLUMN ledger.accounts.user_data_128 IS 'Whatever the client wrote there; null for 0.';
COMMENT ON COLUMN ledger.accounts.user_data_64 IS 'Whatever the client wrote there, 0 to 2^64-1; null for 0.';
COMMENT ON COLUMN ledger.accounts.user_data_32 IS 'Whatever the client wrote there, 0 to 2^32-1; null for 0.';
COMMENT ON COLUMN ledger.accounts.timestamp IS 'Nanoseconds since 1970-01-01 UTC: when it was created.';
COMMENT ON COLUMN ledger.accounts.at IS 'The same, rounded down to microseconds.';

CREATE TABLE ledger.transfers (
    transfer_id uuid NOT NULL,
    debit_account_id bigint NOT NULL,
    credit_account_id bigint NOT NULL,
    ledger bigint NOT NULL,
    code integer NOT NULL,
    flags integer NOT NULL,
    amount bigint NOT NULL,
    state ledger.transfer_state NOT NULL,
    pending_id uuid,
    timeout bigint,
    trade_id bigint,
    user_data_128 uuid,
    user_data_64 numeric(20),
    user_data_32 bigint,
    timestamp bigint NOT NULL,
    at timestamptz NOT NULL,
    PRIMARY KEY (transfer_id, at)
) PARTITION BY RANGE (at);
CREATE INDEX transfers_debit ON ledger.transfers (debit_account_id);
CREATE INDEX transfers_credit ON ledger.transfers (credit_account_id);
CREATE INDEX transfers_pending ON ledger.transfers (timestamp) WHERE state = 'pending';
COMMENT ON TABLE ledger.transfers IS
    'Transfers: money or assets from one account to another. Append-only but for `state`, by month.';
COMMENT ON COLUMN ledger.transfers.transfer_id IS 'Its id: 128 bits, given by the client, or made by the engine.';
COMMENT ON COLUMN ledger.transfers.debit_account_id IS 'The account that is debited.';
COMMENT ON COLUMN ledger.transfers.credit_account_id IS 'The account that is credited.';
COMMENT ON COLUMN ledger.transfers.ledger IS 'Ledger of both accounts.';
COMMENT ON COLUMN ledger.transfers.code IS 'Why it was made, as the institution numbers it; 65001 and up are the engine''s own (docs/TRADING.md).';
COMMENT ON COLUMN ledger.transfers.flags IS 'Bits; ledger.transfer_flags(flags) gives their names.';
COMMENT ON COLUMN ledger.transfers.amount IS 'What moved, or what is or was held, minor units.';
COMMENT ON COLUMN ledger.transfers.state IS 'Where it stands now.';
COMMENT ON COLUMN ledger.transfers.pending_id IS 'The pending transfer that it posts or voids.';
COMMENT ON COLUMN ledger.transfers.timeout IS 'Seconds after which a pending transfer expires; null: never.';
COMMENT ON COLUMN ledger.transfers.trade_id IS 'The trade that it settles.';
COMMENT ON COLUMN ledger.transfers.user_data_128 IS 'Whatever the client wrote there; null for 0.';
COMMENT ON COLUMN ledger.transfers.user_data_64 IS 'Whatever the client wrote there, 0 to 2^64-1; null for 0.';
COMMENT ON COLUMN ledger.transfers.user_data_32 IS 'Whatever the client wrote there, 0 to 2^32-1; null for 0.';
COMMENT ON COLUMN ledger.transfers.timestamp IS 'Nanoseconds since 1970-01-01 UTC: when it was made, unique among transfers.';
COMMENT ON COLUMN ledger.transfers.at IS 'The same, rounded down to microseconds.';

CREATE TABLE ledger.trading_accounts (
    trading_account_id bigint NOT NULL,
    owner text,
    desk text,
    timestamp bigint NOT NULL,
    at timestamptz NOT NULL,
    PRIMARY KEY (trading_account_id)
);
COMMENT ON TABLE ledger.trading_accounts IS
    'Accounts that orders are entered for.';
COMMENT ON COLUMN ledger.trading_accounts.trading_account_id IS 'Its id.';
COMMENT ON COLUMN ledger.trading_accounts.owner IS 'The client that it belongs to.';
COMMENT ON COLUMN ledger.trading_accounts.desk IS 'The desk that trades with it.';
COMMENT ON COLUMN ledger.trading_accounts.timestamp IS 'Nanoseconds since 1970-01-01 UTC: when it was created.';
COMMENT ON COLUMN ledger.trading_accounts.at IS 'The same, rounded down to microseconds.';

CREATE TABLE ledger.trading_account_links (
    trading_account_id bigint NOT NULL,
    ledger bigint NOT NULL,
    account_id bigint NOT NULL,
    PRIMARY KEY (trading_account_id, ledger)
);
COMMENT ON TABLE ledger.trading_account_links IS
    'Which account of the ledger a trading account uses in which ledger.';
COMMENT ON COLUMN ledger.trading_account_links.trading_account_id IS 'The trading account.';
COMMENT ON COLUMN ledger.trading_account_links.ledger IS 'The ledger.';
COMMENT ON COLUMN ledger.trading_account_links.account_id IS 'The account that is paid from and delivered to.';

CREATE TABLE ledger.instruments (
    instrument_id integer NOT NULL,
    symbol text NOT NULL,
    base_ledger bigint NOT NULL,
    quote_ledger bigint NOT NULL,
    flags integer NOT NULL,
    tick_size bigint NOT NULL,
    lot_size bigint NOT NULL,
    price_scale bigint NOT NULL,
    contract_size bigint NOT NULL,
    maker_fee_ppm bigint NOT NULL,
    taker_fee_ppm bigint NOT NULL,
    transfer_fee_ppm bigint NOT NULL,
    sell_duty_ppm bigint NOT NULL,
    minimum_fee bigint NOT NULL,
    fee_account_id bigint,
    price_band_ppm bigint NOT NULL,
    price_cage_ppm bigint NOT NULL,
    circuit_breaker_ppm bigint NOT NULL,
    market_protection_ppm bigint NOT NULL,
    initial_margin_ppm bigint NOT NULL,
    maintenance_margin_ppm bigint NOT NULL,
    session ledger.session_state NOT NULL,
    no_cancel boolean NOT NULL,
    reference_price bigint,
    limit_down bigint,
    limit_up bigint,
    last_price bigint,
    open_price bigint,
    high_price bigint,
    low_price bigint,
    volume numeric(20) NOT NULL,
    turnover numeric(20) NOT NULL,
    updated bigint,
    PRIMARY KEY (instrument_id)
);
CREATE UNIQUE INDEX instruments_symbol ON ledger.instruments (symbol);
COMMENT ON TABLE ledger.instruments IS
    'What is traded, its terms, and the state of its market.';
COMMENT ON COLUMN ledger.instruments.instrument_id IS 'Its number, from 0.';
COMMENT ON COLUMN ledger.instruments.symbol IS 'Its name.';
COMMENT ON COLUMN ledger.instruments.base_ledger IS 'Ledger of what is bought and sold.';
COMMENT ON COLUMN ledger.instruments.quote_ledger IS 'Ledger of what is paid.';
COMMENT ON COLUMN ledger.instruments.flags IS 'Bits; ledger.instrument_flags(flags) gives their names.';
COMMENT ON COLUMN ledger.instruments.tick_size IS 'Prices are multiples of it.';
COMMENT ON COLUMN ledger.instruments.lot_size IS 'Quantities are multiples of it.';
COMMENT ON COLUMN ledger.instruments.price_scale IS 'notional = price * quantity * contract_size / price_scale.';
COMMENT ON COLUMN ledger.instruments.contract_size IS 'See price_scale.';
COMMENT ON COLUMN ledger.instruments.maker_fee_ppm IS 'Commission of the resting side, millionths.';
COMMENT ON COLUMN ledger.instruments.taker_fee_ppm IS 'Commission of the other side, millionths.';
COMMENT ON COLUMN ledger.instruments.transfer_fee_ppm IS 'Transfer fee of both sides, millionths.';
COMMENT ON COLUMN ledger.instruments.sell_duty_ppm IS 'Duty of the seller, millionths.';
COMMENT ON COLUMN ledger.instruments.minimum_fee IS 'Least commission of an order, minor units.';
COMMENT ON COLUMN ledger.instruments.fee_account_id IS 'Account that fees go to.';
COMMENT ON COLUMN ledger.instruments.price_band_ppm IS 'Daily price limit around the reference price, millionths; 0: none.';
COMMENT ON COLUMN ledger.instruments.price_cage_ppm IS 'How far an order''s price may be from the best one, millionths; 0: none.';
COMMENT ON COLUMN ledger.instruments.circuit_breaker_ppm IS 'Move that halts trading, millionths; 0: none.';
COMMENT ON COLUMN ledger.instruments.market_protection_ppm IS 'How far a market order may trade through, millionths.';
COMMENT ON COLUMN ledger.instruments.initial_margin_ppm IS 'Futures: margin to open, millionths.';
COMMENT ON COLUMN ledger.instruments.maintenance_margin_ppm IS 'Futures: margin to keep, millionths.';
COMMENT ON COLUMN ledger.instruments.session IS 'Its trading state.';
COMMENT ON COLUMN ledger.instruments.no_cancel IS 'Whether orders cannot be canceled just now.';
COMMENT ON COLUMN ledger.instruments.reference_price IS 'Price that limits of the day are around; of futures the settlement price.';
COMMENT ON COLUMN ledger.instruments.limit_down IS 'Lowest price of the day.';
COMMENT ON COLUMN ledger.instruments.limit_up IS 'Highest price of the day.';
COMMENT ON COLUMN ledger.instruments.last_price IS 'Price of the last trade.';
COMMENT ON COLUMN ledger.instruments.open_price IS 'First price of the business day.';
COMMENT ON COLUMN ledger.instruments.high_price IS 'Highest price of the business day.';
COMMENT ON COLUMN ledger.instruments.low_price IS 'Lowest price of the business day.';
COMMENT ON COLUMN ledger.instruments.volume IS 'Quantity traded on the business day.';
COMMENT ON COLUMN ledger.instruments.turnover IS 'Notional traded on the business day, minor units.';
COMMENT ON COLUMN ledger.instruments.updated IS 'Nanoseconds since 1970-01-01 UTC: its newest execution.';

CREATE TABLE ledger.orders (
    order_id bigint NOT NULL,
    client_order_id uuid NOT NULL,
    trading_account_id bigint NOT NULL,
    instrument_id integer NOT NULL,
    side ledger.side NOT NULL,
    type ledger.order_type NOT NULL,
    time_in_force ledger.time_in_force NOT NULL,
    self_trade_prevention ledger.self_trade_prevention NOT NULL,
    open_close ledger.open_close NOT NULL,
    post_only boolean NOT NULL,
    session_id numeric(20),
    price bigint,
    stop_price bigint,
    quantity bigint NOT NULL,
    display_quantity bigint,
    expire_time bigint,
    is_open boolean NOT NULL,
    status ledger.order_status NOT NULL,
    reason ledger.reason NOT NULL,
    leaves bigint NOT NULL,
    filled bigint NOT NULL,
    visible bigint NOT NULL,
    held bigint NOT NULL,
    turnover numeric(20) NOT NULL,
    fees numeric(20) NOT NULL,
    updated bigint NOT NULL,
    timestamp bigint NOT NULL,
    at timestamptz NOT NULL,
    PRIMARY KEY (order_id)
) WITH (fillfactor = 80);
CREATE INDEX orders_open ON ledger.orders (instrument_id, side, price) WHERE is_open;
CREATE INDEX orders_account ON ledger.orders (trading_account_id, order_id);
COMMENT ON TABLE ledger.orders IS
    'Orders, as they stand now; ids count from 1.';
COMMENT ON COLUMN ledger.orders.order_id IS 'Its id.';
COMMENT ON COLUMN ledger.orders.client_order_id IS 'The id that the client gave it.';
COMMENT ON COLUMN ledger.orders.trading_account_id IS 'Whose it is.';
COMMENT ON COLUMN ledger.orders.instrument_id IS 'What is to be traded.';
COMMENT ON COLUMN ledger.orders.side IS 'Buy or sell.';
COMMENT ON COLUMN ledger.orders.type IS 'Its type.';
COMMENT ON COLUMN ledger.orders.time_in_force IS 'How long it stands.';
COMMENT ON COLUMN ledger.orders.self_trade_prevention IS 'What happens when it would meet one of the same account.';
COMMENT ON COLUMN ledger.orders.open_close IS 'Futures: whether it opens or closes.';
COMMENT ON COLUMN ledger.orders.post_only IS 'It is canceled rather than trade at once.';
COMMENT ON COLUMN ledger.orders.session_id IS 'The server''s session that cancels it on disconnect.';
COMMENT ON COLUMN ledger.orders.price IS 'Its limit; null of a market order.';
COMMENT ON COLUMN ledger.orders.stop_price IS 'Price at which it becomes an order of the book.';
COMMENT ON COLUMN ledger.orders.quantity IS 'As ordered or replaced.';
COMMENT ON COLUMN ledger.orders.display_quantity IS 'Of an iceberg: what it shows at a time.';
COMMENT ON COLUMN ledger.orders.expire_time IS 'Nanoseconds since 1970-01-01 UTC: when it expires.';
COMMENT ON COLUMN ledger.orders.is_open IS 'Whether it stands in a book, or waits as a stop.';
COMMENT ON COLUMN ledger.orders.status IS 'Where it stands.';
COMMENT ON COLUMN ledger.orders.reason IS 'Why it was rejected or canceled.';
COMMENT ON COLUMN ledger.orders.leaves IS 'What may still trade.';
COMMENT ON COLUMN ledger.orders.filled IS 'What has traded.';
COMMENT ON COLUMN ledger.orders.visible IS 'What the book shows of it.';
COMMENT ON COLUMN ledger.orders.held IS 'What it holds of the account''s money or assets, minor units.';
COMMENT ON COLUMN ledger.orders.turnover IS 'Notional of its fills, minor units.';
COMMENT ON COLUMN ledger.orders.fees IS 'Commission, transfer fees and duty of its fills, minor units.';
COMMENT ON COLUMN ledger.orders.updated IS 'Nanoseconds since 1970-01-01 UTC: its newest execution.';
COMMENT ON COLUMN ledger.orders.timestamp IS 'Nanoseconds since 1970-01-01 UTC: when it was accepted.';
COMMENT ON COLUMN ledger.orders.at IS 'The same, rounded down to microseconds.';

CREATE TABLE ledger.executions (
    execution_id bigint NOT NULL,
    order_id bigint NOT NULL,
    trading_account_id bigint NOT NULL,
    instrument_id integer NOT NULL,
    side ledger.side NOT NULL,
    kind ledger.execution_kind NOT NULL,
    status ledger.order_status NOT NULL,
    reason ledger.reason NOT NULL,
    price bigint,
    quantity bigint NOT NULL,
    leaves bigint NOT NULL,
    filled bigint NOT NULL,
    trade_id bigint,
    last_price bigint,
    last_quantity bigint,
    fee bigint,
    seq bigint NOT NULL,
    timestamp bigint NOT NULL,
    at timestamptz NOT NULL,
    PRIMARY KEY (execution_id, at)
) PARTITION BY RANGE (at);
CREATE INDEX executions_order ON ledger.executions (order_id, execution_id);
COMMENT ON TABLE ledger.executions IS
    'Whatever happened to orders; ids count from 1. Append-only, by month.';
COMMENT ON COLUMN ledger.executions.execution_id IS 'Its id.';
COMMENT ON COLUMN ledger.executions.order_id IS 'The order.';
COMMENT ON COLUMN ledger.executions.trading_account_id IS 'Whose order.';
COMMENT ON COLUMN ledger.executions.instrument_id IS 'In which instrument.';
COMMENT ON COLUMN ledger.executions.side IS 'Of the order.';
COMMENT ON COLUMN ledger.executions.kind IS 'What happened.';
COMMENT ON COLUMN ledger.executions.status IS 'Where the order stood afterwards.';
COMMENT ON COLUMN ledger.executions.reason IS 'Why.';
COMMENT ON COLUMN ledger.executions.price IS 'The order''s price then; null of a market order.';
COMMENT ON COLUMN ledger.executions.quantity IS 'The order''s quantity then.';
COMMENT ON COLUMN ledger.executions.leaves IS 'What could still trade afterwards.';
COMMENT ON COLUMN ledger.executions.filled IS 'What had traded until then.';
COMMENT ON COLUMN ledger.executions.trade_id IS 'The trade of a fill, a bust or a correction.';
COMMENT ON COLUMN ledger.executions.last_price IS 'Price of that trade.';
COMMENT ON COLUMN ledger.executions.last_quantity IS 'Quantity of that trade.';
COMMENT ON COLUMN ledger.executions.fee IS 'What this side paid for it: commission, transfer fee and duty, minor units.';
COMMENT ON COLUMN ledger.executions.seq IS 'The log''s row that led to it.';
COMMENT ON COLUMN ledger.executions.timestamp IS 'Nanoseconds since 1970-01-01 UTC: when it happened.';
COMMENT ON COLUMN ledger.executions.at IS 'The same, rounded down to microseconds.';

CREATE TABLE ledger.trades (
    trade_id bigint NOT NULL,
    instrument_id integer NOT NULL,
    price bigint NOT NULL,
    quantity bigint NOT NULL,
    notional bigint NOT NULL,
    taker_side ledger.side NOT NULL,
    state ledger.trade_state NOT NULL,
    buy_order_id bigint NOT NULL,
    sell_order_id bigint NOT NULL,
    buy_account_id bigint NOT NULL,
    sell_account_id bigint NOT NULL,
    buy_fee bigint NOT NULL,
    sell_fee bigint NOT NULL,
    duty bigint NOT NULL,
    corrects bigint,
    business_date date,
    seq bigint NOT NULL,
    timestamp bigint NOT NULL,
    at timestamptz NOT NULL,
    PRIMARY KEY (trade_id, at)
) PARTITION BY RANGE (at);
CREATE INDEX trades_instrument ON ledger.trades (instrument_id, trade_id);
COMMENT ON TABLE ledger.trades IS
    'Trades; ids count from 1. Append-only but for `state`, by month.';
COMMENT ON COLUMN ledger.trades.trade_id IS 'Its id.';
COMMENT ON COLUMN ledger.trades.instrument_id IS 'What was traded.';
COMMENT ON COLUMN ledger.trades.price IS 'At what price.';
COMMENT ON COLUMN ledger.trades.quantity IS 'How much.';
COMMENT ON COLUMN ledger.trades.notional IS 'What was paid, minor units.';
COMMENT ON COLUMN ledger.trades.taker_side IS 'Side of the order that came later.';
COMMENT ON COLUMN ledger.trades.state IS 'Whether it stands.';
COMMENT ON COLUMN ledger.trades.buy_order_id IS 'The buyer''s order.';
COMMENT ON COLUMN ledger.trades.sell_order_id IS 'The seller''s order.';
COMMENT ON COLUMN ledger.trades.buy_account_id IS 'The buyer''s trading account.';
COMMENT ON COLUMN ledger.trades.sell_account_id IS 'The seller''s trading account.';
COMMENT ON COLUMN ledger.trades.buy_fee IS 'Commission and transfer fee of the buyer, minor units.';
COMMENT ON COLUMN ledger.trades.sell_fee IS 'Commission and transfer fee of the seller, minor units.';
COMMENT ON COLUMN ledger.trades.duty IS 'Duty of the seller, minor units.';
COMMENT ON COLUMN ledger.trades.corrects IS 'The trade that it takes the place of.';
COMMENT ON COLUMN ledger.trades.business_date IS 'Business day; null before the first end of a day.';
COMMENT ON COLUMN ledger.trades.seq IS 'The log''s row that led to it.';
COMMENT ON COLUMN ledger.trades.timestamp IS 'Nanoseconds since 1970-01-01 UTC: when it was made.';
COMMENT ON COLUMN ledger.trades.at IS 'The same, rounded down to microseconds.';

CREATE TABLE ledger.positions (
    trading_account_id bigint NOT NULL,
    instrument_id integer NOT NULL,
    base_account_id bigint,
    quote_account_id bigint,
    long_quantity bigint NOT NULL,
    short_quantity bigint NOT NULL,
    long_today bigint NOT NULL,
    short_today bigint NOT NULL,
    long_basis bigint NOT NULL,
    short_basis bigint NOT NULL,
    margin bigint NOT NULL,
    shortfall bigint NOT NULL,
    open_buy bigint NOT NULL,
    open_sell bigint NOT NULL,
    open_held bigint NOT NULL,
    open_orders bigint NOT NULL,
    risk_quantity bigint NOT NULL,
    risk_basis bigint NOT NULL,
    risk_realised bigint NOT NULL,
    risk_value bigint NOT NULL,
    risk_unrealised bigint NOT NULL,
    mark_price bigint,
    PRIMARY KEY (trading_account_id, instrument_id)
) WITH (fillfactor = 60);
COMMENT ON TABLE ledger.positions IS
    'What trading accounts have in instruments. Spot holdings are balances: see the view `holdings`.';
COMMENT ON COLUMN ledger.positions.trading_account_id IS 'Whose.';
COMMENT ON COLUMN ledger.positions.instrument_id IS 'In what.';
COMMENT ON COLUMN ledger.positions.base_account_id IS 'The account in the instrument''s base ledger, which holds what is owned.';
COMMENT ON COLUMN ledger.positions.quote_account_id IS 'The account in its quote ledger, which pays.';
COMMENT ON COLUMN ledger.positions.long_quantity IS 'Futures: long contracts.';
COMMENT ON COLUMN ledger.positions.short_quantity IS 'Futures: short contracts.';
COMMENT ON COLUMN ledger.positions.long_today IS 'Futures: of them opened today.';
COMMENT ON COLUMN ledger.positions.short_today IS 'Futures: of them opened today.';
COMMENT ON COLUMN ledger.positions.long_basis IS 'Futures: notional at which the long ones stand in the books, minor units.';
COMMENT ON COLUMN ledger.positions.short_basis IS 'Futures: the same of the short ones, minor units.';
COMMENT ON COLUMN ledger.positions.margin IS 'Futures: margin that is held, minor units.';
COMMENT ON COLUMN ledger.positions.shortfall IS 'Futures: losses that could not be posted, minor units.';
COMMENT ON COLUMN ledger.positions.open_buy IS 'What open buy orders may still trade.';
COMMENT ON COLUMN ledger.positions.open_sell IS 'What open sell orders may still trade.';
COMMENT ON COLUMN ledger.positions.open_held IS 'What they hold in the quote ledger, minor units.';
COMMENT ON COLUMN ledger.positions.open_orders IS 'How many they are.';
COMMENT ON COLUMN ledger.positions.risk_quantity IS 'Position as limits see it, at the last trade or revaluation; negative: short.';
COMMENT ON COLUMN ledger.positions.risk_basis IS 'What it cost, signed as the quantity, minor units.';
COMMENT ON COLUMN ledger.positions.risk_realised IS 'Realised profit and loss of the day, minor units.';
COMMENT ON COLUMN ledger.positions.risk_value IS 'Value at the mark price, in the risk currency.';
COMMENT ON COLUMN ledger.positions.risk_unrealised IS 'Unrealised profit and loss since the day began, in the risk currency.';
COMMENT ON COLUMN ledger.positions.mark_price IS 'The price that it is valued at.';

CREATE TABLE ledger.limits (
    scope ledger.limit_scope NOT NULL,
    scope_id text NOT NULL,
    max_quantity bigint,
    max_notional bigint,
    price_collar bigint,
    open_orders bigint,
    open_notional bigint,
    position_long bigint,
    position_short bigint,
    gross_exposure bigint,
    net_exposure bigint,
    credit_limit bigint,
    daily_loss bigint,
    order_rate bigint,
    order_burst bigint,
    order_to_trade bigint,
    order_to_trade_free bigint,
    duplicate_order bigint,
    short_sale bigint,
    suitability bigint,
    suitability_confirmed bigint,
    programme_rate bigint,
    programme_day bigint,
    restricted bigint,
    kill_switch bigint,
    exposure_rate bigint,
    updated bigint,
    PRIMARY KEY (scope, scope_id)
);
COMMENT ON TABLE ledger.limits IS
    'Limits in force, one row per account, desk, client and instrument; null: no limit. Of accounts, with the defaults.';
COMMENT ON COLUMN ledger.limits.scope IS 'Whose.';
COMMENT ON COLUMN ledger.limits.scope_id IS 'Id of the trading account, or name of the desk, client or instrument; empty for default and approval.';
COMMENT ON COLUMN ledger.limits.max_quantity IS 'Largest quantity of one order.';
COMMENT ON COLUMN ledger.limits.max_notional IS 'Largest value of one order.';
COMMENT ON COLUMN ledger.limits.price_collar IS 'Millionths by which a price may be away from the last trade''s.';
COMMENT ON COLUMN ledger.limits.open_orders IS 'Open orders at one time.';
COMMENT ON COLUMN ledger.limits.open_notional IS 'Value of open orders.';
COMMENT ON COLUMN ledger.limits.position_long IS 'Longest position of one account in one instrument, open buys included.';
COMMENT ON COLUMN ledger.limits.position_short IS 'Shortest position of one account in one instrument, open sells included.';
COMMENT ON COLUMN ledger.limits.gross_exposure IS 'Long and short positions at their marks, and open orders.';
COMMENT ON COLUMN ledger.limits.net_exposure IS 'Difference of the two sides.';
COMMENT ON COLUMN ledger.limits.credit_limit IS 'Value traded today, and open orders.';
COMMENT ON COLUMN ledger.limits.daily_loss IS 'Realised and unrealised loss since the day began.';
COMMENT ON COLUMN ledger.limits.order_rate IS 'Orders and replaces a second.';
COMMENT ON COLUMN ledger.limits.order_burst IS 'Orders that may come at once; 0: as many as order_rate.';
COMMENT ON COLUMN ledger.limits.order_to_trade IS 'Messages of the day per trade.';
COMMENT ON COLUMN ledger.limits.order_to_trade_free IS 'Messages of the day before order_to_trade counts; none: 0.';
COMMENT ON COLUMN ledger.limits.duplicate_order IS 'Nanoseconds in which the same order may not come twice; none: 0.';
COMMENT ON COLUMN ledger.limits.short_sale IS '0 allowed, 1 not below the last price, 2 forbidden.';
COMMENT ON COLUMN ledger.limits.suitability IS 'Level of an instrument, an account or a client; none: 0.';
COMMENT ON COLUMN ledger.limits.suitability_confirmed IS 'Level up to which the client has confirmed the risk warning; none: 0.';
COMMENT ON COLUMN ledger.limits.programme_rate IS 'Messages a second from which an account is flagged.';
COMMENT ON COLUMN ledger.limits.programme_day IS 'Messages a day from which an account is flagged.';
COMMENT ON COLUMN ledger.limits.restricted IS '1: no new orders; none: 0.';
COMMENT ON COLUMN ledger.limits.kill_switch IS '1: no new orders; none: 0.';
COMMENT ON COLUMN ledger.limits.exposure_rate IS 'Instrument: risk currency per minor unit of its quote ledger, in millionths; none: 1,000,000.';
COMMENT ON COLUMN ledger.limits.updated IS 'Nanoseconds since 1970-01-01 UTC: when somebody last set one.';

CREATE TABLE ledger.exposures (
    scope ledger.limit_scope NOT NULL,
    scope_id text NOT NULL,
    open_orders bigint NOT NULL,
    open_buy bigint NOT NULL,
    open_sell bigint NOT NULL,
    long_value bigint NOT NULL,
    short_value bigint NOT NULL,
    realised bigint NOT NULL,
    unrealised bigint NOT NULL,
    traded bigint NOT NULL,
    messages bigint NOT NULL,
    trades bigint NOT NULL,
    programme bigint NOT NULL,
    PRIMARY KEY (scope, scope_id)
) WITH (fillfactor = 50);
COMMENT ON TABLE ledger.exposures IS
    'What limits are held against, one row per row of `limits`. Values in minor units of the risk currency.';
COMMENT ON COLUMN ledger.exposures.scope IS 'Whose.';
COMMENT ON COLUMN ledger.exposures.scope_id IS 'As in limits.';
COMMENT ON COLUMN ledger.exposures.open_orders IS 'Open orders.';
COMMENT ON COLUMN ledger.exposures.open_buy IS 'Value of open buy orders.';
COMMENT ON COLUMN ledger.exposures.open_sell IS 'Value of open sell orders.';
COMMENT ON COLUMN ledger.exposures.long_value IS 'Value of long positions at their marks.';
COMMENT ON COLUMN ledger.exposures.short_value IS 'Value of short positions at their marks, not negative.';
COMMENT ON COLUMN ledger.exposures.realised IS 'Profit and loss of the day, after fees.';
COMMENT ON COLUMN ledger.exposures.unrealised IS 'Profit and loss of what is held, since the day began.';
COMMENT ON COLUMN ledger.exposures.traded IS 'Value of the day''s fills.';
COMMENT ON COLUMN ledger.exposures.messages IS 'Orders, replaces and cancels of the day.';
COMMENT ON COLUMN ledger.exposures.trades IS 'Fills of the day.';
COMMENT ON COLUMN ledger.exposures.programme IS 'Bits: 1 programme_rate was reached today, 2 programme_day.';

CREATE TABLE ledger.limits_by_instrument (
    scope ledger.limit_scope NOT NULL,
    scope_id text NOT NULL,
    instrument_id integer NOT NULL,
    position_long bigint,
    position_short bigint,
    restricted boolean NOT NULL,
    updated bigint,
    PRIMARY KEY (scope, scope_id, instrument_id)
);
COMMENT ON TABLE ledger.limits_by_instrument IS
    'Limits of an account, desk or client in one instrument by itself; null: no limit.';
COMMENT ON COLUMN ledger.limits_by_instrument.scope IS 'Whose.';
COMMENT ON COLUMN ledger.limits_by_instrument.scope_id IS 'As in limits.';
COMMENT ON COLUMN ledger.limits_by_instrument.instrument_id IS 'In which instrument.';
COMMENT ON COLUMN ledger.limits_by_instrument.position_long IS 'Longest position.';
COMMENT ON COLUMN ledger.limits_by_instrument.position_short IS 'Shortest position.';
COMMENT ON COLUMN ledger.limits_by_instrument.restricted IS 'Whether no new orders are accepted.';
COMMENT ON COLUMN ledger.limits_by_instrument.updated IS 'Nanoseconds since 1970-01-01 UTC: when somebody last set one.';

CREATE TABLE ledger.proposals (
    proposal_id bigint NOT NULL,
    scope ledger.limit_scope NOT NULL,
    scope_id text NOT NULL,
    symbol text,
    changes jsonb NOT NULL,
    state ledger.proposal_state NOT NULL,
    proposed_by text NOT NULL,
    decided_by text,
    decided bigint,
    timestamp bigint NOT NULL,
    at timestamptz NOT NULL,
    PRIMARY KEY (proposal_id)
);
COMMENT ON TABLE ledger.proposals IS
    'Raises of limits that wait or waited for a second person; ids count from 1.';
COMMENT ON COLUMN ledger.proposals.proposal_id IS 'Its id.';
COMMENT ON COLUMN ledger.proposals.scope IS 'Whose limits.';
COMMENT ON COLUMN ledger.proposals.scope_id IS 'As in limits.';
COMMENT ON COLUMN ledger.proposals.symbol IS 'In one instrument by itself.';
COMMENT ON COLUMN ledger.proposals.changes IS 'Name of each limit and its new value; null takes it away.';
COMMENT ON COLUMN ledger.proposals.state IS 'What became of it.';
COMMENT ON COLUMN ledger.proposals.proposed_by IS 'Who proposed it.';
COMMENT ON COLUMN ledger.proposals.decided_by IS 'Who decided.';
COMMENT ON COLUMN ledger.proposals.decided IS 'Nanoseconds since 1970-01-01 UTC: when.';
COMMENT ON COLUMN ledger.proposals.timestamp IS 'Nanoseconds since 1970-01-01 UTC: when it was proposed.';
COMMENT ON COLUMN ledger.proposals.at IS 'The same, rounded down to microseconds.';

CREATE FUNCTION ledger.account_flags(flags integer) RETURNS text[] LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN array_remove(ARRAY[
        CASE WHEN flags & 1 <> 0 THEN 'linked' END,
        CASE WHEN flags & 2 <> 0 THEN 'debits_must_not_exceed_credits' END,
        CASE WHEN flags & 4 <> 0 THEN 'credits_must_not_exceed_debits' END,
        CASE WHEN flags & 8 <> 0 THEN 'history' END,
        CASE WHEN flags & 16 <> 0 THEN 'imported' END,
        CASE WHEN flags & 32 <> 0 THEN 'closed' END,
        CASE WHEN flags & 64 <> 0 THEN 'frozen' END
    ], NULL);
COMMENT ON FUNCTION ledger.account_flags(integer) IS 'Names of the flags of an account.';

CREATE FUNCTION ledger.transfer_flags(flags integer) RETURNS text[] LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN array_remove(ARRAY[
        CASE WHEN flags & 1 <> 0 THEN 'linked' END,
        CASE WHEN flags & 2 <> 0 THEN 'pending' END,
        CASE WHEN flags & 4 <> 0 THEN 'post_pending_transfer' END,
        CASE WHEN flags & 8 <> 0 THEN 'void_pending_transfer' END,
        CASE WHEN flags & 16 <> 0 THEN 'balancing_debit' END,
        CASE WHEN flags & 32 <> 0 THEN 'balancing_credit' END,
        CASE WHEN flags & 64 <> 0 THEN 'closing_debit' END,
        CASE WHEN flags & 128 <> 0 THEN 'closing_credit' END,
        CASE WHEN flags & 256 <> 0 THEN 'imported' END
    ], NULL);
COMMENT ON FUNCTION ledger.transfer_flags(integer) IS 'Names of the flags of a transfer.';

CREATE FUNCTION ledger.instrument_flags(flags integer) RETURNS text[] LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN array_remove(ARRAY[
        CASE WHEN flags & 1 <> 0 THEN 'futures' END,
        CASE WHEN flags & 2 <> 0 THEN 't1' END,
        CASE WHEN flags & 4 <> 0 THEN 'median_price' END
    ], NULL);
COMMENT ON FUNCTION ledger.instrument_flags(integer) IS 'Names of the flags of an instrument.';
