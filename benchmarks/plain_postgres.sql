-- The peer: a transfer as PostgreSQL alone would keep it. One round trip, one commit, the same promises as far as they
-- go: both balances and the transfer together or not at all, no balance below zero, an id used once.
-- It keeps no history per account, no pending transfers, no flags: what it does not do is to its advantage.

DROP TABLE IF EXISTS account, transfer;
DROP FUNCTION IF EXISTS make_transfer;

CREATE TABLE account (
    id bigint PRIMARY KEY,
    ledger integer NOT NULL,
    balance bigint NOT NULL
) WITH (fillfactor = 50);  -- a new version of a row finds room beside the old one, so that the index is left alone

CREATE TABLE transfer (
    id uuid PRIMARY KEY,
    debit_account_id bigint NOT NULL,
    credit_account_id bigint NOT NULL,
    amount bigint NOT NULL,
    created timestamptz NOT NULL DEFAULT now()
);

CREATE FUNCTION make_transfer(new_id uuid, debit bigint, credit bigint, sum bigint) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    low bigint;
    high bigint;
BEGIN
    -- The lower number is locked first, whoever pays: two transfers never wait for each other in a circle.
    SELECT balance INTO STRICT low FROM account WHERE id = least(debit, credit) FOR UPDATE;
    SELECT balance INTO STRICT high FROM account WHERE id = greatest(debit, credit) FOR UPDATE;
    IF (CASE WHEN debit < credit THEN low ELSE high END) < sum THEN
        RAISE 'account % has not got %', debit, sum;
    END IF;
    UPDATE account SET balance = balance - sum WHERE id = debit;
    UPDATE account SET balance = balance + sum WHERE id = credit;
    INSERT INTO transfer (id, debit_account_id, credit_account_id, amount) VALUES (new_id, debit, credit, sum);
END
$$;
