-- Administrative divisions (GB/T 2260, and below it the statistical codes of streets).
CREATE TABLE office.regions (
    region  text PRIMARY KEY CHECK (region ~ '^[0-9]{2,12}$'),
    parent  text,
    level   smallint NOT NULL CHECK (level BETWEEN 1 AND 5),
    name    text NOT NULL
);

-- One row for each customer with all that one can search by, changed in the transaction that changes the customer.
-- `tokens` are keyed hashes of parts of the name: they find, and tell nothing without the key (docs/decisions/0033).
-- Amounts are what the ledger said at `figures_at`: to search by, never to reckon with.
CREATE TABLE office.customer_search (
    customer_id bigint PRIMARY KEY REFERENCES office.customers,
    kind        text NOT NULL,
    status      text NOT NULL,
    branch      text NOT NULL,
    region      text NOT NULL,
    manager     bigint,
    industry    text NOT NULL,
    birth_year  smallint,
    risk_level  smallint,
    grade       text NOT NULL,
    tags        text[] NOT NULL,
    certificate_index bytea NOT NULL,
    phone_index bytea,
    email_index bytea,
    tokens      bigint[] NOT NULL,
    products    text[] NOT NULL DEFAULT '{}',       -- kinds of accounts that are open
    deposits_minor    bigint NOT NULL DEFAULT 0,    -- in CNY
    investments_minor bigint NOT NULL DEFAULT 0,
    loans_minor       bigint NOT NULL DEFAULT 0,
    figures_at  timestamptz
);
CREATE INDEX customer_search_tokens ON office.customer_search USING gin (tokens);
CREATE INDEX customer_search_tags ON office.customer_search USING gin (tags);
CREATE INDEX customer_search_products ON office.customer_search USING gin (products);
CREATE INDEX customer_search_region ON office.customer_search (region text_pattern_ops, customer_id);
CREATE INDEX customer_search_branch ON office.customer_search (branch, status, customer_id);
CREATE INDEX customer_search_manager ON office.customer_search (manager, customer_id);
CREATE INDEX customer_search_deposits ON office.customer_search (deposits_minor, customer_id);
CREATE INDEX customer_search_investments ON office.customer_search (investments_minor, customer_id);
CREATE INDEX customer_search_loans ON office.customer_search (loans_minor, customer_id);
CREATE INDEX customer_search_risk ON office.customer_search (risk_level, customer_id);
CREATE INDEX customer_search_birth ON office.customer_search (birth_year, customer_id);
CREATE INDEX customer_search_certificate ON office.customer_search (certificate_index);
CREATE INDEX customer_search_phone ON office.customer_search (phone_index);
CREATE INDEX customer_search_email ON office.customer_search (email_index);

-- Up to when settled postings have been looked at for the figures.
CREATE TABLE office.search_watermark (
    single boolean PRIMARY KEY DEFAULT true CHECK (single),
    at     timestamptz NOT NULL
);
INSERT INTO office.search_watermark (at) VALUES ('2000-01-01 00:00:00+00');
CREATE INDEX posting_groups_settled ON office.posting_groups (settled_at) WHERE settled_at IS NOT NULL;
