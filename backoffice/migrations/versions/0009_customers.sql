-- Where the institution works. A branch stands in a region (GB/T 2260) and may belong to another branch.
CREATE TABLE office.branches (
    branch  text PRIMARY KEY CHECK (branch ~ '^[0-9A-Z-]{1,16}$'),
    name_zh text NOT NULL CHECK (name_zh <> ''),
    name_en text NOT NULL CHECK (name_en <> ''),
    region  text NOT NULL DEFAULT '',
    parent  text REFERENCES office.branches,
    active  boolean NOT NULL DEFAULT true
);
INSERT INTO office.branches (branch, name_zh, name_en, region) VALUES ('HO', '总行', 'Head office', '410100');

-- A customer. What is personal stands only in `sealed` (AES-256-GCM under the key `key_id`); beside it stand blind
-- indexes for exact search and what is not personal.
CREATE TABLE office.customers (
    customer_id  bigint GENERATED ALWAYS AS IDENTITY (START WITH 100000001) PRIMARY KEY,
    kind         text NOT NULL CHECK (kind IN ('person', 'enterprise')),
    status       text NOT NULL DEFAULT 'prospect'
                 CHECK (status IN ('prospect', 'active', 'dormant', 'frozen', 'closed')),
    frozen_from  text CHECK (frozen_from IN ('prospect', 'active', 'dormant')),
    branch       text NOT NULL REFERENCES office.branches,
    manager      bigint REFERENCES office.users,
    region       text NOT NULL DEFAULT '',
    key_id       integer NOT NULL,
    sealed       bytea NOT NULL,
    certificate_kind  text NOT NULL,
    certificate_index bytea NOT NULL CHECK (length(certificate_index) = 32),
    phone_index  bytea CHECK (length(phone_index) = 32),
    email_index  bytea CHECK (length(email_index) = 32),
    industry     text NOT NULL DEFAULT '',
    birth_year   smallint,
    tags         text[] NOT NULL DEFAULT '{}',
    risk_level   smallint CHECK (risk_level BETWEEN 1 AND 5),   -- C1 … C5; suitability
    risk_until   date,
    grade        text NOT NULL DEFAULT '',                      -- of the house's rating
    reviewed_on  date,                                          -- customer due diligence
    review_due   date,
    merged_into  bigint REFERENCES office.customers,
    version      integer NOT NULL DEFAULT 1,
    made_at      timestamptz NOT NULL,
    changed_at   timestamptz NOT NULL,
    CHECK ((status = 'frozen') = (frozen_from IS NOT NULL)),
    CHECK (merged_into IS NULL OR status = 'closed')
);
CREATE UNIQUE INDEX one_customer_a_certificate ON office.customers (certificate_kind, certificate_index)
    WHERE status <> 'closed';
CREATE INDEX customers_phone ON office.customers (phone_index);
CREATE INDEX customers_email ON office.customers (email_index);
