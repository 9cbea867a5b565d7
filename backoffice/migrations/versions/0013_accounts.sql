-- The day for which the institution books. The end of day moves it on.
CREATE TABLE office.business_date (
    single   boolean PRIMARY KEY DEFAULT true CHECK (single),
    day      date NOT NULL,
    moved_at timestamptz NOT NULL
);

-- A customer's account: a contract under a version of a product. Its money stands in the engine's account of the same
-- number and nowhere else.
CREATE TABLE office.accounts (
    account_id   bigint PRIMARY KEY REFERENCES office.ledger_accounts,
    number       text NOT NULL UNIQUE CHECK (number ~ '^[0-9]{12,19}$'),   -- what people see; ends with Luhn's digit
    customer_id  bigint NOT NULL REFERENCES office.customers,
    kind         text NOT NULL CHECK (kind IN ('demand', 'term', 'notice', 'wealth', 'fund', 'loan', 'card')),
    product_id   text NOT NULL,
    product_version integer NOT NULL,
    currency     text NOT NULL,
    branch       text NOT NULL REFERENCES office.branches,
    status       text NOT NULL DEFAULT 'open'
                 CHECK (status IN ('open', 'dormant', 'stopped', 'frozen', 'closed')),  -- stopped: takes, does not pay
    terms        jsonb NOT NULL DEFAULT '{}',       -- what was agreed for this contract alone (rate, term, rollover)
    opened_on    date NOT NULL,
    matures_on   date,
    closed_on    date,
    active_on    date NOT NULL,                     -- the customer's own last business; for dormancy
    version      integer NOT NULL DEFAULT 1,
    made_at      timestamptz NOT NULL,
    FOREIGN KEY (product_id, product_version) REFERENCES office.product_versions,
    CHECK ((status = 'closed') = (closed_on IS NOT NULL))
);
CREATE INDEX accounts_customer ON office.accounts (customer_id);
CREATE INDEX accounts_product ON office.accounts (product_id, product_version);
CREATE INDEX accounts_matures ON office.accounts (matures_on) WHERE matures_on IS NOT NULL AND status <> 'closed';
