-- The log. Applied once, in one transaction, by server/journal/schema.py, which adds row 0 and the first partitions.
-- Only the leader writes here; everybody else may read.

CREATE SCHEMA tongbao;

CREATE TABLE tongbao.metadata (
    name text PRIMARY KEY,
    value text NOT NULL
);
COMMENT ON TABLE tongbao.metadata IS 'Facts about this log that do not change: schema_version, log_id, partition_rows.';

CREATE TABLE tongbao.log (
    seq bigint NOT NULL,
    epoch bigint NOT NULL,
    time bigint NOT NULL,
    format smallint NOT NULL,
    kind smallint NOT NULL,
    previous_hash bytea NOT NULL,
    hash bytea NOT NULL,
    checksum bytea NOT NULL,
    digest bytea,
    payload bytea NOT NULL,
    PRIMARY KEY (seq)
) PARTITION BY RANGE (seq);
-- The payload is compressed already where that pays.
ALTER TABLE tongbao.log ALTER COLUMN payload SET STORAGE EXTERNAL;
COMMENT ON TABLE tongbao.log IS
    'One row a batch of commands, appended before any reply to it leaves; contiguous from 0, never changed. '
    'A partition holds metadata.partition_rows rows and is archived or dropped as a whole.';
COMMENT ON COLUMN tongbao.log.seq IS
    'Number of the row: 0, 1, 2 … without a gap. Its uniqueness is what makes an append compare-and-append.';
COMMENT ON COLUMN tongbao.log.epoch IS
    'Number of the leader that wrote the row; each takeover adds one, and an older leader can append no more.';
COMMENT ON COLUMN tongbao.log.time IS
    'Time of the batch, given by the leader: nanoseconds since 1970-01-01 UTC. Item i of a batch happened at time + i.';
COMMENT ON COLUMN tongbao.log.format IS
    'Version of the payload''s encoding (engine.log_record.FORMAT).';
COMMENT ON COLUMN tongbao.log.kind IS
    '0 the first row (payload: the log''s identity), 1 a batch of commands, 2 a takeover (payload: which process).';
COMMENT ON COLUMN tongbao.log.previous_hash IS
    'hash of the row before; 32 zero bytes in row 0.';
COMMENT ON COLUMN tongbao.log.hash IS
    'sha256(previous_hash || int8send(seq) || int8send(epoch) || int8send(time) || int2send(format) || int2send(kind) '
    '|| checksum || coalesce(digest, ''''))';
COMMENT ON COLUMN tongbao.log.checksum IS
    'sha256(payload)';
COMMENT ON COLUMN tongbao.log.digest IS
    'Now and then: the engine''s digest of its state before this row, for followers and replays to compare.';
COMMENT ON COLUMN tongbao.log.payload IS
    'The commands, as engine.log_record encodes them.';
