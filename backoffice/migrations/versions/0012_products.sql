-- What the institution sells. Terms belong to a version, which never changes once approved; contracts keep theirs.
CREATE TABLE office.products (
    product_id text PRIMARY KEY CHECK (product_id ~ '^[A-Z0-9][A-Z0-9-]{1,31}$'),
    kind       text NOT NULL
               CHECK (kind IN ('demand', 'term', 'notice', 'wealth', 'fund', 'loan', 'card')),
    name_zh    text NOT NULL CHECK (name_zh <> ''),
    name_en    text NOT NULL CHECK (name_en <> ''),
    currency   text NOT NULL DEFAULT 'CNY',
    issuer     text NOT NULL DEFAULT '',
    made_at    timestamptz NOT NULL
);
CREATE TABLE office.product_versions (
    product_id text NOT NULL REFERENCES office.products,
    version    integer NOT NULL CHECK (version > 0),
    state      text NOT NULL DEFAULT 'draft'
               CHECK (state IN ('draft', 'submitted', 'approved', 'on_sale', 'suspended', 'retired')),
    terms      jsonb NOT NULL,                  -- by kind; backoffice/products/terms.py says what
    risk_level smallint NOT NULL CHECK (risk_level BETWEEN 1 AND 5),   -- R1 … R5
    sale_from  date,
    sale_to    date,
    minimum_minor bigint NOT NULL DEFAULT 0 CHECK (minimum_minor >= 0),
    step_minor    bigint NOT NULL DEFAULT 1 CHECK (step_minor > 0),
    quota_minor   bigint CHECK (quota_minor >= 0),                     -- NULL: as much as is wanted
    sold_minor    bigint NOT NULL DEFAULT 0 CHECK (sold_minor >= 0),
    maker      bigint REFERENCES office.users,
    checker    bigint REFERENCES office.users,
    row_version integer NOT NULL DEFAULT 1,
    made_at    timestamptz NOT NULL,
    decided_at timestamptz,
    PRIMARY KEY (product_id, version),
    CONSTRAINT never_oversold CHECK (quota_minor IS NULL OR sold_minor <= quota_minor),
    CONSTRAINT another_person CHECK (checker <> maker)
);
-- Of the versions of a product one at most is on sale.
CREATE UNIQUE INDEX one_version_on_sale ON office.product_versions (product_id) WHERE state IN ('on_sale', 'suspended');
