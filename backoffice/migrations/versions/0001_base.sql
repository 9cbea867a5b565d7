-- Who works here. Passwords are Argon2id strings, the secret of one-time codes is only there once it has been confirmed.
CREATE TABLE office.users (
    user_id     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name        text NOT NULL UNIQUE CHECK (name ~ '^[a-z][a-z0-9._-]{1,31}$'),
    full_name   text NOT NULL CHECK (full_name <> ''),
    branch      text NOT NULL DEFAULT '',
    roles       text[] NOT NULL,
    password    text NOT NULL,
    totp_secret text,
    totp_used   bigint NOT NULL DEFAULT 0,      -- the newest time step whose code was taken: no code counts twice
    failures    integer NOT NULL DEFAULT 0,
    locked_until timestamptz,
    active      boolean NOT NULL DEFAULT true,
    version     integer NOT NULL DEFAULT 1,
    created_at  timestamptz NOT NULL DEFAULT now()
);

-- Of a session only the hash of its token is kept: who reads this table cannot use it.
CREATE TABLE office.sessions (
    token_hash  bytea PRIMARY KEY CHECK (length(token_hash) = 32),
    user_id     bigint NOT NULL REFERENCES office.users,
    address     text NOT NULL,
    created_at  timestamptz NOT NULL,
    seen_at     timestamptz NOT NULL,
    ends_at     timestamptz NOT NULL
);
CREATE INDEX ON office.sessions (user_id);

-- Who did or saw what. Each row holds the hash of the one before it; nothing is ever changed or deleted.
CREATE TABLE office.audit_log (
    entry         bigint PRIMARY KEY,
    at            timestamptz NOT NULL,
    user_id       bigint,
    user_name     text NOT NULL,
    action        text NOT NULL,
    subject       text NOT NULL,
    detail        text NOT NULL,                -- JSON, as it was hashed
    address       text NOT NULL,
    previous_hash bytea NOT NULL CHECK (length(previous_hash) = 32),
    hash          bytea NOT NULL CHECK (length(hash) = 32)
);
CREATE INDEX ON office.audit_log (subject, entry);
CREATE INDEX ON office.audit_log (user_name, entry);
CREATE INDEX ON office.audit_log (action, entry);
-- The newest entry; whoever appends locks this row, so the chain has one end.
CREATE TABLE office.audit_head (
    single boolean PRIMARY KEY DEFAULT true CHECK (single),
    entry bigint NOT NULL,
    hash  bytea NOT NULL
);
INSERT INTO office.audit_head (entry, hash) VALUES (0, decode(repeat('00', 32), 'hex'));
CREATE FUNCTION office.audit_is_for_ever() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'audit_log: entries are never changed or deleted';
END $$;
CREATE TRIGGER audit_is_for_ever BEFORE UPDATE OR DELETE ON office.audit_log
    FOR EACH ROW EXECUTE FUNCTION office.audit_is_for_ever();
CREATE TRIGGER audit_is_not_emptied BEFORE TRUNCATE ON office.audit_log
    FOR EACH STATEMENT EXECUTE FUNCTION office.audit_is_for_ever();

-- What two people must agree on. The second one is another than the first, whatever a program may think.
CREATE TABLE office.approvals (
    approval_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind        text NOT NULL,
    subject     text NOT NULL,
    summary     text NOT NULL,
    payload     jsonb NOT NULL,
    state       text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'approved', 'rejected', 'withdrawn')),
    maker       bigint NOT NULL REFERENCES office.users,
    made_at     timestamptz NOT NULL,
    checker     bigint REFERENCES office.users,
    decided_at  timestamptz,
    reason      text NOT NULL DEFAULT '',
    result      jsonb,
    CONSTRAINT another_person CHECK (state = 'withdrawn' OR checker <> maker),
    CONSTRAINT decided CHECK ((state = 'open') = (decided_at IS NULL)),
    CONSTRAINT decided_by CHECK (state IN ('open', 'withdrawn') OR checker IS NOT NULL)
);
CREATE INDEX ON office.approvals (state, approval_id);

-- Requests that must not happen twice. The response stands in the commit that did the work.
CREATE TABLE office.idempotency (
    user_id   bigint NOT NULL REFERENCES office.users,
    key       text NOT NULL,
    request   bytea NOT NULL CHECK (length(request) = 32),
    status    integer NOT NULL,
    response  text NOT NULL,
    at        timestamptz NOT NULL,
    PRIMARY KEY (user_id, key)
);

-- Rules of the market and of the house, each with its days: `valid_to` is the last one, NULL: until further notice.
CREATE EXTENSION IF NOT EXISTS btree_gist WITH SCHEMA public;
CREATE TABLE office.parameters (
    parameter_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name       text NOT NULL,
    scope      text NOT NULL DEFAULT '',
    value      jsonb NOT NULL,
    valid_from date NOT NULL,
    valid_to   date,
    source     text NOT NULL CHECK (source <> ''),
    CHECK (valid_to IS NULL OR valid_to >= valid_from),
    CONSTRAINT one_value_a_day EXCLUDE USING gist
        (name WITH =, scope WITH =, daterange(valid_from, valid_to, '[]') WITH &&)
);
