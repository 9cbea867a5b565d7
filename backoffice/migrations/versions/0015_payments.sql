-- A payment: money that comes in, goes out or moves. What has happened to it stands in payment_events; the state and
-- the amounts here are what its applied events make of it (backoffice/payments/states.py).
CREATE SEQUENCE office.payment_ids;
CREATE TABLE office.payments (
    payment_id     bigint PRIMARY KEY,
    number         text NOT NULL UNIQUE,
    kind           text NOT NULL CHECK (kind IN
                   ('deposit', 'withdrawal', 'transfer', 'bulk_item', 'standing', 'card', 'wallet', 'qr', 'fee')),
    operation      text NOT NULL,               -- for fees and limits: transfer, transfer_out, transfer_in, …
    channel        text NOT NULL,               -- counter, online, mobile, api, file, standing, or the rail it came by
    mode           text NOT NULL CHECK (mode IN ('direct', 'held', 'asked')),  -- backoffice/payments/service.py
    state          text NOT NULL DEFAULT 'created' CHECK (state IN ('created', 'authorised', 'declined', 'captured',
                   'voided', 'expired', 'partly_refunded', 'refunded', 'reversed')),
    currency       text NOT NULL,
    ordered_minor  bigint NOT NULL CHECK (ordered_minor > 0),
    authorised_minor bigint NOT NULL DEFAULT 0,
    captured_minor bigint NOT NULL DEFAULT 0,
    refunded_minor bigint NOT NULL DEFAULT 0,
    fee_minor      bigint NOT NULL DEFAULT 0 CHECK (fee_minor >= 0),
    from_account   bigint REFERENCES office.accounts,
    to_account     bigint REFERENCES office.accounts,
    debit_id       bigint NOT NULL,             -- the engine's accounts: a customer's, or the institution's own
    credit_id      bigint NOT NULL,
    customer_id    bigint REFERENCES office.customers,   -- whose payment it is
    outside        jsonb,                       -- the party at another bank, sealed; see backoffice/payments/outside.py
    purpose        text NOT NULL DEFAULT '',
    reference      text NOT NULL DEFAULT '',    -- the asker's own; the same one again is the same payment
    rail           text NOT NULL DEFAULT '',
    rail_reference text NOT NULL DEFAULT '',
    cause          text NOT NULL DEFAULT '',    -- what made it: standing:ID/DAY, bulk:ID/ROW
    business_date  date NOT NULL,
    value_date     date NOT NULL,
    send_at        timestamptz,                 -- when the rail is to be asked, if not at once (cut-off)
    sent_at        timestamptz,                 -- when the rail was asked
    expires_at     timestamptz,                 -- when a hold is given up
    hold_id        uuid,                        -- the engine's pending transfers, of the amount and of the fee
    fee_hold_id    uuid,
    in_flight      uuid REFERENCES office.posting_groups,   -- planned and not settled: nothing else is done meanwhile
    reason         text NOT NULL DEFAULT '',
    detail         jsonb NOT NULL DEFAULT '{}',
    reversal_of    bigint REFERENCES office.payments,
    approval_id    bigint REFERENCES office.approvals,
    use_day        date,                        -- the day on whose limits it counts
    maker          bigint REFERENCES office.users,
    branch         text NOT NULL DEFAULT '',
    version        integer NOT NULL DEFAULT 1,
    made_at        timestamptz NOT NULL,
    changed_at     timestamptz NOT NULL,
    CHECK (0 <= refunded_minor AND refunded_minor <= captured_minor AND captured_minor <= authorised_minor
           AND authorised_minor <= ordered_minor),
    CHECK (debit_id <> credit_id),
    CHECK (from_account IS NOT NULL OR to_account IS NOT NULL)
);
CREATE UNIQUE INDEX one_payment_a_reference ON office.payments (channel, reference) WHERE reference <> '';
CREATE UNIQUE INDEX one_payment_a_cause ON office.payments (cause) WHERE cause <> '';
CREATE INDEX payments_rail_reference ON office.payments (rail, rail_reference) WHERE rail <> '';
CREATE INDEX payments_from ON office.payments (from_account, payment_id);
CREATE INDEX payments_to ON office.payments (to_account, payment_id);
CREATE INDEX payments_customer ON office.payments (customer_id, payment_id);
CREATE INDEX payments_day ON office.payments (business_date, payment_id);
CREATE INDEX payments_open ON office.payments (state, payment_id) WHERE state IN ('created', 'authorised');

-- What has happened to a payment, or is to happen. `planned`: its postings are on their way; `waiting`: too early.
CREATE TABLE office.payment_events (
    payment_id   bigint NOT NULL REFERENCES office.payments,
    place        integer NOT NULL,
    event_id     text NOT NULL,                 -- the teller's own: who tells twice is seen
    kind         text NOT NULL CHECK (kind IN
                 ('authorise', 'decline', 'capture', 'void', 'expire', 'refund', 'reverse')),
    amount_minor bigint NOT NULL DEFAULT 0 CHECK (amount_minor >= 0),
    outcome      text NOT NULL DEFAULT 'waiting' CHECK (outcome IN ('waiting', 'planned', 'applied', 'refused')),
    reason       text NOT NULL DEFAULT '',
    source       text NOT NULL,                 -- user:ID, system, or rail:NAME
    group_id     uuid REFERENCES office.posting_groups,
    at           timestamptz NOT NULL,
    settled_at   timestamptz,
    PRIMARY KEY (payment_id, place),
    UNIQUE (payment_id, event_id),
    CHECK (outcome <> 'planned' OR group_id IS NOT NULL)
);
CREATE UNIQUE INDEX payment_events_group ON office.payment_events (group_id) WHERE group_id IS NOT NULL;
CREATE INDEX payment_events_waiting ON office.payment_events (payment_id) WHERE outcome = 'waiting';

-- How much of a customer's limits of a day is used, by channel. The row of channel '' holds nothing: it is the lock.
CREATE TABLE office.payment_use (
    customer_id  bigint NOT NULL REFERENCES office.customers,
    day          date NOT NULL,
    currency     text NOT NULL,
    channel      text NOT NULL,
    amount_minor bigint NOT NULL DEFAULT 0 CHECK (amount_minor >= 0),
    count        bigint NOT NULL DEFAULT 0 CHECK (count >= 0),
    PRIMARY KEY (customer_id, day, currency, channel)
);

-- Standing orders: a transfer again and again. Dates by the calendar are nominal; each is paid on the day it rolls to.
CREATE SEQUENCE office.standing_order_ids;
CREATE TABLE office.standing_orders (
    standing_id  bigint PRIMARY KEY,
    customer_id  bigint NOT NULL REFERENCES office.customers,
    from_account bigint NOT NULL REFERENCES office.accounts,
    to_account   bigint REFERENCES office.accounts,
    outside      jsonb,
    rail         text NOT NULL DEFAULT '',
    currency     text NOT NULL,
    amount_minor bigint NOT NULL CHECK (amount_minor > 0),
    purpose      text NOT NULL DEFAULT '',
    every        text NOT NULL CHECK (every IN ('day', 'week', 'month')),
    step         smallint NOT NULL DEFAULT 1 CHECK (step BETWEEN 1 AND 366),
    on_day       smallint NOT NULL DEFAULT 1 CHECK (on_day BETWEEN 1 AND 31),
    roll         text NOT NULL CHECK (roll IN ('none', 'following', 'modified_following', 'preceding')),
    first_on     date NOT NULL,
    last_on      date,
    times        integer CHECK (times > 0),
    retries      smallint NOT NULL DEFAULT 0 CHECK (retries BETWEEN 0 AND 10),
    on_failure   text NOT NULL DEFAULT 'skip' CHECK (on_failure IN ('skip', 'stop')),
    state        text NOT NULL DEFAULT 'active' CHECK (state IN ('active', 'stopped', 'finished')),
    reason       text NOT NULL DEFAULT '',
    next_on      date,                          -- the next nominal date, and the day on which it is paid
    next_due     date,
    runs         integer NOT NULL DEFAULT 0,
    maker        bigint REFERENCES office.users,
    version      integer NOT NULL DEFAULT 1,
    made_at      timestamptz NOT NULL,
    CHECK ((to_account IS NULL) = (outside IS NOT NULL)),
    CHECK ((state = 'active') = (next_due IS NOT NULL)),
    CHECK (last_on IS NULL OR last_on >= first_on)
);
CREATE INDEX standing_due ON office.standing_orders (next_due, standing_id) WHERE state = 'active';
CREATE INDEX standing_customer ON office.standing_orders (customer_id, standing_id);
CREATE INDEX standing_account ON office.standing_orders (from_account, standing_id);

-- What became of each nominal date. The key keeps a date from being taken up twice; each attempt is a payment.
CREATE TABLE office.standing_runs (
    standing_id bigint NOT NULL REFERENCES office.standing_orders,
    nominal_on  date NOT NULL,
    due_on      date NOT NULL,
    attempt     smallint NOT NULL DEFAULT 1,
    state       text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'paid', 'waiting', 'failed')),
    payment_id  bigint REFERENCES office.payments,
    retry_on    date,
    reason      text NOT NULL DEFAULT '',
    PRIMARY KEY (standing_id, nominal_on),
    CHECK ((state = 'waiting') = (retry_on IS NOT NULL))
);
CREATE INDEX standing_retries ON office.standing_runs (retry_on) WHERE state = 'waiting';
CREATE INDEX standing_payments ON office.standing_runs (payment_id);

-- Files of payments (pain.001). What was wrong with the file as a whole stands in `reasons`; then nothing of it counts.
CREATE TABLE office.bulk_batches (
    batch_id    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    customer_id bigint REFERENCES office.customers,
    message     text NOT NULL,
    message_id  text NOT NULL,
    created_at  text NOT NULL,
    sender      text NOT NULL,
    digest      text NOT NULL,
    linked      boolean NOT NULL,               -- all items or none
    rail        text NOT NULL,                  -- for items to other banks
    state       text NOT NULL CHECK (state IN
                ('refused', 'waiting', 'rejected', 'running', 'capturing', 'undoing', 'done')),
    reasons     jsonb NOT NULL DEFAULT '[]',
    items       integer NOT NULL,
    accepted    integer NOT NULL,
    totals      jsonb NOT NULL DEFAULT '{}',    -- of what is accepted, by currency, minor units
    approval_id bigint REFERENCES office.approvals,
    use_day     date,
    maker       bigint REFERENCES office.users,
    version     integer NOT NULL DEFAULT 1,
    made_at     timestamptz NOT NULL,
    done_at     timestamptz
);
-- A message comes once; one that was refused as a whole may be sent again.
CREATE UNIQUE INDEX one_batch_a_message ON office.bulk_batches (customer_id, message_id)
    WHERE state NOT IN ('refused', 'rejected');
CREATE INDEX bulk_batches_open ON office.bulk_batches (batch_id) WHERE state IN ('running', 'capturing', 'undoing');
CREATE TABLE office.bulk_items (
    batch_id     bigint NOT NULL REFERENCES office.bulk_batches,
    place        integer NOT NULL,
    line         integer NOT NULL,
    group_name   text NOT NULL,                 -- PmtInfId
    instruction_id text NOT NULL,
    end_to_end_id text NOT NULL,
    uetr         text NOT NULL,
    state        text NOT NULL CHECK (state IN ('refused', 'ready', 'open', 'held', 'paid', 'failed')),
    reasons      jsonb NOT NULL DEFAULT '[]',
    amount_minor bigint,
    currency     text NOT NULL DEFAULT '',
    day          date,
    from_account bigint REFERENCES office.accounts,
    to_account   bigint REFERENCES office.accounts,
    outside      jsonb,
    remittance   text NOT NULL DEFAULT '',
    payment_id   bigint REFERENCES office.payments,
    reason       text NOT NULL DEFAULT '',
    PRIMARY KEY (batch_id, place)
);
CREATE INDEX bulk_items_ready ON office.bulk_items (batch_id, day, place) WHERE state = 'ready';
CREATE INDEX bulk_items_state ON office.bulk_items (batch_id, state, place);
