-- What customers answered about risk, by version of the questionnaire, and the level that came of it.
CREATE TABLE office.suitability (
    suitability_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    customer_id   bigint NOT NULL REFERENCES office.customers,
    questionnaire integer NOT NULL,
    answers       jsonb NOT NULL,
    points        integer NOT NULL,
    level         smallint NOT NULL CHECK (level BETWEEN 1 AND 5),
    capped_by     text[] NOT NULL,
    on_day        date NOT NULL,
    user_id       bigint,
    at            timestamptz NOT NULL
);
CREATE INDEX suitability_customer ON office.suitability (customer_id, suitability_id);

-- Online sale. A purchase opens the account that holds what was bought; its money moves with it or not at all.
CREATE SEQUENCE office.sales_numbers;
CREATE TABLE office.sales_orders (
    order_id     bigint PRIMARY KEY DEFAULT nextval('office.sales_numbers'),
    number       text NOT NULL UNIQUE,
    kind         text NOT NULL CHECK (kind IN ('purchase', 'redemption', 'withdrawal')),  -- withdrawal: cooling-off
    state        text NOT NULL DEFAULT 'planned' CHECK (state IN ('planned', 'confirmed', 'failed')),
    reason       text NOT NULL DEFAULT '',
    customer_id  bigint NOT NULL REFERENCES office.customers,
    product_id   text NOT NULL,
    product_version integer NOT NULL,
    paying       bigint NOT NULL REFERENCES office.accounts,   -- the customer's account that pays or is paid
    holding      bigint NOT NULL REFERENCES office.accounts,   -- the account that holds what was bought
    amount_minor bigint NOT NULL CHECK (amount_minor > 0),
    fee_minor    bigint NOT NULL DEFAULT 0 CHECK (fee_minor >= 0),
    interest_minor bigint NOT NULL DEFAULT 0 CHECK (interest_minor >= 0),
    currency     text NOT NULL,
    suitability  jsonb NOT NULL DEFAULT '{}',    -- the verdict at that moment, and what the customer confirmed
    group_id     uuid REFERENCES office.posting_groups,
    on_day       date NOT NULL,
    user_id      bigint,
    made_at      timestamptz NOT NULL,
    settled_at   timestamptz,
    FOREIGN KEY (product_id, product_version) REFERENCES office.product_versions,
    CHECK ((state = 'planned') = (settled_at IS NULL))
);
CREATE INDEX sales_orders_customer ON office.sales_orders (customer_id, order_id);
CREATE INDEX sales_orders_holding ON office.sales_orders (holding);
-- What is held is given back once: while one order is under way or done, there is no other.
CREATE UNIQUE INDEX one_way_out ON office.sales_orders (holding)
    WHERE kind <> 'purchase' AND state <> 'failed';
