-- Who is who at an outside identity provider (OpenID Connect Core 1.0: issuer and subject together name a person).
CREATE TABLE office.identities (
    issuer  text NOT NULL CHECK (issuer <> ''),
    subject text NOT NULL CHECK (subject <> ''),
    user_id bigint NOT NULL UNIQUE REFERENCES office.users,
    made_at timestamptz NOT NULL,
    PRIMARY KEY (issuer, subject)
);
-- Identity tokens that have opened a session: none opens two. Kept until they would have ended anyway.
CREATE TABLE office.identity_tokens (
    token_hash bytea PRIMARY KEY CHECK (length(token_hash) = 32),
    ends_at    timestamptz NOT NULL
);
CREATE INDEX identity_tokens_end ON office.identity_tokens (ends_at);
