-- Work for people: something was found, somebody looks, somebody decides. `key` keeps the same finding from making two.
CREATE TABLE office.cases (
    case_id     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind        text NOT NULL,                  -- screening, large_value, suspicious, reconciliation, …
    key         text NOT NULL UNIQUE,
    subject     text NOT NULL,                  -- kind:id
    customer_id bigint REFERENCES office.customers,
    summary     text NOT NULL,
    detail      jsonb NOT NULL DEFAULT '{}',
    state       text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'in_progress', 'closed')),
    assigned_to bigint REFERENCES office.users,
    decision    text NOT NULL DEFAULT '',
    decided_by  bigint REFERENCES office.users,
    decided_at  timestamptz,
    due_on      date,
    version     integer NOT NULL DEFAULT 1,
    made_at     timestamptz NOT NULL,
    CHECK ((state = 'closed') = (decided_at IS NOT NULL))
);
CREATE INDEX cases_open ON office.cases (state, kind, case_id);
CREATE INDEX cases_customer ON office.cases (customer_id);
CREATE TABLE office.case_notes (
    note_id   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    case_id   bigint NOT NULL REFERENCES office.cases,
    user_id   bigint,
    user_name text NOT NULL,
    at        timestamptz NOT NULL,
    text      text NOT NULL CHECK (text <> '')
);
CREATE INDEX case_notes_case ON office.case_notes (case_id, note_id);

-- What somebody is to know: `audience` is customer:ID, role:NAME or user:ID.
CREATE TABLE office.notices (
    notice_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    audience  text NOT NULL,
    kind      text NOT NULL,
    detail    jsonb NOT NULL,
    made_at   timestamptz NOT NULL,
    read_at   timestamptz
);
CREATE INDEX notices_audience ON office.notices (audience, notice_id);
