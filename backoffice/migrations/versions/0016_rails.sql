-- Payment rails: ways out of the house. One of each kind; a rail that is not active declines, a paused one waits.
-- Keys are in files, not here.
CREATE TABLE office.rails (
    name             text PRIMARY KEY CHECK (name ~ '^[a-z][a-z0-9_]{0,31}$'),
    kind             text NOT NULL UNIQUE CHECK (kind IN ('card', 'wallet', 'qr', 'interbank')),
    url              text NOT NULL DEFAULT '',
    active           boolean NOT NULL DEFAULT false,
    paused           boolean NOT NULL DEFAULT false,
    amount_minor_max bigint NOT NULL CHECK (amount_minor_max > 0),          -- of one payment
    settlement_part  integer NOT NULL UNIQUE CHECK (settlement_part BETWEEN 1 AND 99),    -- of line 3001
    file_format      text NOT NULL CHECK (file_format IN ('pipe', 'csv')),
    give_up_minutes  integer NOT NULL DEFAULT 1440 CHECK (give_up_minutes > 0),
    version          integer NOT NULL DEFAULT 1,
    CHECK (NOT active OR url <> '')
);
INSERT INTO office.rails (name, kind, amount_minor_max, settlement_part, file_format) VALUES
    ('card', 'card', 5000000, 11, 'pipe'),
    ('wallet', 'wallet', 5000000, 12, 'csv'),
    ('qr', 'qr', 5000000, 13, 'csv'),
    ('interbank', 'interbank', 100000000000, 14, 'pipe');

-- What is to be told to a rail: written in the transaction of the payment, sent at least once with the same reference.
CREATE TABLE office.rail_outbox (
    reference   text PRIMARY KEY,
    seq         bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
    rail        text NOT NULL REFERENCES office.rails,
    payment_id  bigint NOT NULL REFERENCES office.payments,
    operation   text NOT NULL CHECK (operation IN ('authorise', 'capture', 'void', 'refund')),
    body        jsonb NOT NULL,
    state       text NOT NULL DEFAULT 'waiting'      -- pending: taken by the rail and not decided
                CHECK (state IN ('waiting', 'pending', 'done', 'declined', 'given_up')),
    attempts    integer NOT NULL DEFAULT 0,          -- above 1: it may have arrived, so the rail is asked before it is sent
    next_at     timestamptz NOT NULL,
    give_up_at  timestamptz NOT NULL,
    last_error  text NOT NULL DEFAULT '',
    answer      jsonb,
    made_at     timestamptz NOT NULL,
    answered_at timestamptz
);
CREATE INDEX rail_outbox_due ON office.rail_outbox (rail, next_at) WHERE state IN ('waiting', 'pending');
CREATE INDEX rail_outbox_payment ON office.rail_outbox (payment_id, seq);

-- What rails have told of, each event once whoever brought it first, as it came.
CREATE TABLE office.rail_events (
    rail        text NOT NULL REFERENCES office.rails,
    event_id    text NOT NULL,
    seq         bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
    kind        text NOT NULL,
    payment     text NOT NULL,                       -- the name that the rail uses
    body        jsonb NOT NULL,
    source      text NOT NULL CHECK (source IN ('callback', 'answer', 'office')),
    state       text NOT NULL DEFAULT 'new'
                CHECK (state IN ('new', 'applied', 'repeated', 'early', 'refused', 'conflict', 'noted')),
    reason      text NOT NULL DEFAULT '',
    payment_id  bigint REFERENCES office.payments,
    told_at     timestamptz NOT NULL,
    applied_at  timestamptz,
    PRIMARY KEY (rail, event_id),
    CHECK ((state = 'new') = (applied_at IS NULL))
);
CREATE INDEX rail_events_new ON office.rail_events (rail, seq) WHERE state = 'new';
CREATE INDEX rail_events_payment ON office.rail_events (rail, payment);

-- Nonces of signatures, for as long as their time would be believed.
CREATE TABLE office.rail_nonces (
    rail   text NOT NULL REFERENCES office.rails,
    nonce  text NOT NULL,
    until  timestamptz NOT NULL,
    PRIMARY KEY (rail, nonce)
);
CREATE INDEX rail_nonces_until ON office.rail_nonces (until);

-- Codes that are shown: once, for a short time. Only their hash is kept.
CREATE TABLE office.rail_codes (
    code_hash        bytea PRIMARY KEY,
    mode             text NOT NULL CHECK (mode IN ('merchant_presented', 'customer_presented')),
    account_id       bigint NOT NULL REFERENCES office.accounts,
    currency         text NOT NULL,
    amount_minor     bigint CHECK (amount_minor > 0),    -- none: whoever pays says how much
    amount_minor_max bigint NOT NULL CHECK (amount_minor_max > 0),
    expires_at       timestamptz NOT NULL,
    used_by          text,                               -- the rail's name of the payment
    made_at          timestamptz NOT NULL
);

-- Settlement files, and what they tell.
CREATE TABLE office.rail_files (
    rail     text NOT NULL REFERENCES office.rails,
    day      date NOT NULL,
    digest   text NOT NULL,
    rows     integer NOT NULL,
    nets     jsonb NOT NULL,                             -- by currency: [amount, fees] in minor units
    taken_at timestamptz NOT NULL,
    PRIMARY KEY (rail, day)
);
CREATE TABLE office.rail_items (
    rail           text NOT NULL,
    rail_reference text NOT NULL,
    file_day       date NOT NULL,
    place          integer NOT NULL,
    our_reference  text NOT NULL,
    kind           text NOT NULL,
    amount_minor   bigint NOT NULL,
    fee_minor      bigint NOT NULL,
    currency       text NOT NULL,
    day            date NOT NULL,
    batch          text NOT NULL,
    matched        text NOT NULL DEFAULT '',             -- the rule, or why it needs none
    PRIMARY KEY (rail, file_day, place),
    FOREIGN KEY (rail, file_day) REFERENCES office.rail_files (rail, day)
);
CREATE INDEX rail_items_open ON office.rail_items (rail, day) WHERE matched = '';
-- Movements of the ledger that have found their item, or that people have decided about.
CREATE TABLE office.rail_matches (
    transfer_id uuid PRIMARY KEY,
    rail        text NOT NULL REFERENCES office.rails,
    day         date NOT NULL,
    rule        text NOT NULL,
    rail_reference text NOT NULL DEFAULT ''
);

-- The work list: what does not agree. `gone`: a later run has found the other side.
CREATE TABLE office.rail_differences (
    difference_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    rail         text NOT NULL REFERENCES office.rails,
    key          text NOT NULL,
    day          date NOT NULL,                          -- of the run that found it
    kind         text NOT NULL,
    amount_minor bigint NOT NULL,                        -- rail less ledger
    currency     text NOT NULL,
    items        jsonb NOT NULL,
    proposal     jsonb NOT NULL,
    state        text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'asked', 'correcting', 'corrected', 'accepted', 'gone')),
    case_id      bigint REFERENCES office.cases,
    approval_id  bigint REFERENCES office.approvals,
    group_id     uuid REFERENCES office.posting_groups,
    found_at     timestamptz NOT NULL,
    closed_at    timestamptz,
    UNIQUE (rail, key)
);
CREATE INDEX rail_differences_open ON office.rail_differences (rail, difference_id) WHERE state IN ('open', 'asked');

-- The day's net with a rail, paid over the account with another bank.
CREATE TABLE office.rail_settlements (
    rail         text NOT NULL,
    day          date NOT NULL,
    currency     text NOT NULL,
    net_minor    bigint NOT NULL,                        -- above zero: the rail pays us
    fee_minor    bigint NOT NULL,
    state        text NOT NULL DEFAULT 'asked' CHECK (state IN ('asked', 'planned', 'posted', 'refused', 'rejected')),
    approval_id  bigint NOT NULL REFERENCES office.approvals,
    group_id     uuid REFERENCES office.posting_groups,
    made_at      timestamptz NOT NULL,
    settled_at   timestamptz,
    PRIMARY KEY (rail, day, currency),
    FOREIGN KEY (rail, day) REFERENCES office.rail_files (rail, day)
);
