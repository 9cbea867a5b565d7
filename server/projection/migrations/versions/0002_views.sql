-- Views for people and reports. They show what the tables hold, and keep nothing.

CREATE FUNCTION ledger.ns(moment timestamptz) RETURNS bigint LANGUAGE sql IMMUTABLE PARALLEL SAFE STRICT
    RETURN (extract(epoch FROM moment) * 1000000)::bigint * 1000;
COMMENT ON FUNCTION ledger.ns(timestamptz) IS 'A moment as nanoseconds since 1970-01-01 UTC, as columns called timestamp have it.';

CREATE VIEW ledger.statement AS
SELECT account_id,
       timestamp,
       at,
       transfer_id,
       other_account_id,
       ledger,
       code,
       trade_id,
       debit,
       credit,
       sum(credit::numeric - debit) OVER (PARTITION BY account_id ORDER BY timestamp) AS balance
FROM (
    SELECT debit_account_id AS account_id, timestamp, at, transfer_id, credit_account_id AS other_account_id, ledger,
           code, trade_id, amount AS debit, 0::bigint AS credit
    FROM ledger.transfers WHERE state = 'posted'
    UNION ALL
    SELECT credit_account_id, timestamp, at, transfer_id, debit_account_id, ledger, code, trade_id, 0::bigint, amount
    FROM ledger.transfers WHERE state = 'posted'
) AS entries;
COMMENT ON VIEW ledger.statement IS
    'What moved on an account, oldest first, with the balance after each entry. Ask for one account_id: it uses the '
    'indexes, and the balance is right only from the account''s first entry on (so filter times outside, in a query '
    'around this one).';
COMMENT ON COLUMN ledger.statement.account_id IS 'The account.';
COMMENT ON COLUMN ledger.statement.timestamp IS 'Nanoseconds since 1970-01-01 UTC: when it moved.';
COMMENT ON COLUMN ledger.statement.at IS 'The same, rounded down to microseconds.';
COMMENT ON COLUMN ledger.statement.transfer_id IS 'The transfer.';
COMMENT ON COLUMN ledger.statement.other_account_id IS 'The account on its other side.';
COMMENT ON COLUMN ledger.statement.ledger IS 'Ledger of both.';
COMMENT ON COLUMN ledger.statement.code IS 'Code of the transfer.';
COMMENT ON COLUMN ledger.statement.trade_id IS 'The trade that it settles.';
COMMENT ON COLUMN ledger.statement.debit IS 'What the account was debited, minor units.';
COMMENT ON COLUMN ledger.statement.credit IS 'What the account was credited, minor units.';
COMMENT ON COLUMN ledger.statement.balance IS 'Credits less debits, this entry included, minor units.';

CREATE VIEW ledger.trial_balance AS
SELECT ledger,
       code,
       count(*) AS accounts,
       sum(debits_posted::numeric) AS debits,
       sum(credits_posted::numeric) AS credits,
       sum(credits_posted::numeric - debits_posted) AS balance,
       sum(debits_pending::numeric) AS debits_pending,
       sum(credits_pending::numeric) AS credits_pending
FROM ledger.accounts
GROUP BY GROUPING SETS ((ledger, code), (ledger));
COMMENT ON VIEW ledger.trial_balance IS
    'Balances per ledger and code of account, and per ledger (code is null there): its debits and credits are equal, '
    'pending ones too, or something is wrong.';
COMMENT ON COLUMN ledger.trial_balance.ledger IS 'The ledger.';
COMMENT ON COLUMN ledger.trial_balance.code IS 'Code of the accounts; null: all of the ledger.';
COMMENT ON COLUMN ledger.trial_balance.accounts IS 'How many accounts there are.';
COMMENT ON COLUMN ledger.trial_balance.debits IS 'Sum of their debits, minor units.';
COMMENT ON COLUMN ledger.trial_balance.credits IS 'Sum of their credits, minor units.';
COMMENT ON COLUMN ledger.trial_balance.balance IS 'Credits less debits, minor units; 0 for a whole ledger.';
COMMENT ON COLUMN ledger.trial_balance.debits_pending IS 'Sum of what is held, minor units.';
COMMENT ON COLUMN ledger.trial_balance.credits_pending IS 'Sum of what is announced, minor units.';

CREATE VIEW ledger.pending AS
SELECT transfer_id,
       timestamp,
       at,
       debit_account_id,
       credit_account_id,
       ledger,
       code,
       amount,
       CASE WHEN timeout IS NOT NULL THEN timestamp + timeout * 1000000000 END AS expires,
       at + timeout * interval '1 second' AS expires_at
FROM ledger.transfers
WHERE state = 'pending';
COMMENT ON VIEW ledger.pending IS 'Transfers that hold money just now.';
COMMENT ON COLUMN ledger.pending.transfer_id IS 'The transfer: what a post or a void names as pending_id.';
COMMENT ON COLUMN ledger.pending.timestamp IS 'Nanoseconds since 1970-01-01 UTC: when it was made.';
COMMENT ON COLUMN ledger.pending.at IS 'The same, rounded down to microseconds.';
COMMENT ON COLUMN ledger.pending.debit_account_id IS 'The account that pays.';
COMMENT ON COLUMN ledger.pending.credit_account_id IS 'The account that is paid.';
COMMENT ON COLUMN ledger.pending.ledger IS 'Ledger of both.';
COMMENT ON COLUMN ledger.pending.code IS 'Code of the transfer.';
COMMENT ON COLUMN ledger.pending.amount IS 'What it holds, minor units.';
COMMENT ON COLUMN ledger.pending.expires IS 'Nanoseconds since 1970-01-01 UTC: when it expires; null: never.';
COMMENT ON COLUMN ledger.pending.expires_at IS 'The same, rounded down to microseconds.';

CREATE VIEW ledger.open_orders AS
SELECT o.order_id,
       i.symbol,
       o.trading_account_id,
       o.side,
       o.type,
       o.time_in_force,
       o.price,
       o.stop_price,
       o.quantity,
       o.leaves,
       o.visible,
       o.held,
       o.status,
       o.timestamp,
       o.at
FROM ledger.orders AS o
JOIN ledger.instruments AS i USING (instrument_id)
WHERE o.is_open;
COMMENT ON VIEW ledger.open_orders IS 'Orders that stand in a book, or wait as stops.';
COMMENT ON COLUMN ledger.open_orders.order_id IS 'The order.';
COMMENT ON COLUMN ledger.open_orders.symbol IS 'The instrument.';
COMMENT ON COLUMN ledger.open_orders.trading_account_id IS 'Whose it is.';
COMMENT ON COLUMN ledger.open_orders.side IS 'Buy or sell.';
COMMENT ON COLUMN ledger.open_orders.type IS 'Its type.';
COMMENT ON COLUMN ledger.open_orders.time_in_force IS 'How long it stands.';
COMMENT ON COLUMN ledger.open_orders.price IS 'Its limit; null of a market order.';
COMMENT ON COLUMN ledger.open_orders.stop_price IS 'Price at which it becomes an order of the book.';
COMMENT ON COLUMN ledger.open_orders.quantity IS 'As ordered or replaced.';
COMMENT ON COLUMN ledger.open_orders.leaves IS 'What may still trade.';
COMMENT ON COLUMN ledger.open_orders.visible IS 'What the book shows of it.';
COMMENT ON COLUMN ledger.open_orders.held IS 'What it holds of the account''s money or assets, minor units.';
COMMENT ON COLUMN ledger.open_orders.status IS 'Where it stands.';
COMMENT ON COLUMN ledger.open_orders.timestamp IS 'Nanoseconds since 1970-01-01 UTC: when it was accepted.';
COMMENT ON COLUMN ledger.open_orders.at IS 'The same, rounded down to microseconds.';

CREATE VIEW ledger.tape AS
SELECT t.trade_id, t.timestamp, t.at, i.symbol, t.price, t.quantity, t.taker_side, t.state
FROM ledger.trades AS t
JOIN ledger.instruments AS i USING (instrument_id);
COMMENT ON VIEW ledger.tape IS 'Trades as the market sees them: nobody''s name.';
COMMENT ON COLUMN ledger.tape.trade_id IS 'The trade.';
COMMENT ON COLUMN ledger.tape.timestamp IS 'Nanoseconds since 1970-01-01 UTC: when it was made.';
COMMENT ON COLUMN ledger.tape.at IS 'The same, rounded down to microseconds.';
COMMENT ON COLUMN ledger.tape.symbol IS 'The instrument.';
COMMENT ON COLUMN ledger.tape.price IS 'At what price.';
COMMENT ON COLUMN ledger.tape.quantity IS 'How much.';
COMMENT ON COLUMN ledger.tape.taker_side IS 'Side of the order that came later.';
COMMENT ON COLUMN ledger.tape.state IS 'Whether it stands.';

CREATE VIEW ledger.holdings AS
SELECT p.trading_account_id,
       i.symbol,
       i.flags & 1 <> 0 AS futures,
       CASE WHEN i.flags & 1 <> 0 THEN p.long_quantity - p.short_quantity
            ELSE a.credits_posted - a.debits_posted END AS quantity,
       p.open_buy,
       p.open_sell,
       p.margin,
       p.base_account_id,
       p.quote_account_id
FROM ledger.positions AS p
JOIN ledger.instruments AS i USING (instrument_id)
LEFT JOIN ledger.accounts AS a ON a.account_id = p.base_account_id;
COMMENT ON VIEW ledger.holdings IS
    'What trading accounts have: futures net of long and short, everything else as the balance of its account.';
COMMENT ON COLUMN ledger.holdings.trading_account_id IS 'Whose.';
COMMENT ON COLUMN ledger.holdings.symbol IS 'In what.';
COMMENT ON COLUMN ledger.holdings.futures IS 'Whether it is a future.';
COMMENT ON COLUMN ledger.holdings.quantity IS 'How much; negative: short.';
COMMENT ON COLUMN ledger.holdings.open_buy IS 'What open buy orders may still trade.';
COMMENT ON COLUMN ledger.holdings.open_sell IS 'What open sell orders may still trade.';
COMMENT ON COLUMN ledger.holdings.margin IS 'Futures: margin that is held, minor units.';
COMMENT ON COLUMN ledger.holdings.base_account_id IS 'The account that holds what is owned.';
COMMENT ON COLUMN ledger.holdings.quote_account_id IS 'The account that pays.';

CREATE VIEW ledger.limits_usage AS
SELECT scope, scope_id, u.name, u.value, u.used, round(100.0 * u.used / nullif(u.value, 0), 1) AS percent
FROM ledger.limits AS l
JOIN ledger.exposures AS e USING (scope, scope_id)
CROSS JOIN LATERAL (VALUES
    ('open_orders', l.open_orders, e.open_orders::numeric),
    ('open_notional', l.open_notional, e.open_buy::numeric + e.open_sell),
    ('gross_exposure', l.gross_exposure, e.long_value::numeric + e.short_value + e.open_buy + e.open_sell),
    ('credit_limit', l.credit_limit, e.traded::numeric + e.open_buy + e.open_sell),
    ('daily_loss', l.daily_loss, greatest(0, -(e.realised::numeric + e.unrealised)))
) AS u(name, value, used)
WHERE u.value IS NOT NULL;
COMMENT ON VIEW ledger.limits_usage IS 'Limits that fill up, and how full they are.';
COMMENT ON COLUMN ledger.limits_usage.scope IS 'Whose.';
COMMENT ON COLUMN ledger.limits_usage.scope_id IS 'Id of the trading account, or name of the desk, client or instrument.';
COMMENT ON COLUMN ledger.limits_usage.name IS 'Which limit.';
COMMENT ON COLUMN ledger.limits_usage.value IS 'Its value.';
COMMENT ON COLUMN ledger.limits_usage.used IS 'What of it is used.';
COMMENT ON COLUMN ledger.limits_usage.percent IS 'The same in hundredths of the limit.';
