-- What the engine is to do: written with the business change, sent afterwards, settled by the engine's answer.
CREATE SEQUENCE office.ledger_account_ids MINVALUE 1000000000000;
CREATE TABLE office.ledger_accounts (
    id       bigint PRIMARY KEY,
    ledger   integer NOT NULL,
    code     integer NOT NULL,
    flags    integer NOT NULL,
    owner    text NOT NULL,
    state    text NOT NULL DEFAULT 'planned' CHECK (state IN ('planned', 'created', 'refused')),
    status   text,
    made_at  timestamptz NOT NULL
);
CREATE INDEX ledger_accounts_owner ON office.ledger_accounts (owner);
CREATE INDEX ledger_accounts_planned ON office.ledger_accounts (id) WHERE state = 'planned';

CREATE TABLE office.posting_groups (
    id         uuid PRIMARY KEY,
    seq        bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
    kind       text NOT NULL,
    subject    text NOT NULL,
    state      text NOT NULL DEFAULT 'planned' CHECK (state IN ('planned', 'posted', 'refused')),
    user_id    bigint,
    made_at    timestamptz NOT NULL,
    settled_at timestamptz,
    attempts   integer NOT NULL DEFAULT 0,
    last_error text NOT NULL DEFAULT '',
    CHECK ((state = 'planned') = (settled_at IS NULL))
);
CREATE INDEX posting_groups_planned ON office.posting_groups (seq) WHERE state = 'planned';
CREATE INDEX posting_groups_subject ON office.posting_groups (subject);

CREATE TABLE office.postings (
    id                uuid PRIMARY KEY,
    group_id          uuid NOT NULL REFERENCES office.posting_groups,
    position          integer NOT NULL,
    debit_account_id  bigint NOT NULL,
    credit_account_id bigint NOT NULL,
    amount_minor      bigint NOT NULL CHECK (amount_minor >= -1),  -- -1: all that is pending
    ledger            integer NOT NULL,
    code              integer NOT NULL,
    flags             integer NOT NULL,
    pending_id        uuid,
    timeout_s         integer NOT NULL DEFAULT 0,
    status            text,
    engine_timestamp  bigint,
    UNIQUE (group_id, position)
);
CREATE INDEX postings_debit ON office.postings (debit_account_id);
CREATE INDEX postings_credit ON office.postings (credit_account_id);
