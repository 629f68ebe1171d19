-- The durable record. `content` is what was hashed, byte for byte; the other columns are the same for reading.
CREATE TABLE journal (
    stream text NOT NULL,
    seq bigint NOT NULL CHECK (seq > 0),
    time_ns bigint NOT NULL,
    at timestamptz GENERATED ALWAYS AS (to_timestamp(time_ns / 1e9)) STORED,
    kind text NOT NULL,
    data jsonb NOT NULL,
    content bytea NOT NULL,
    hash bytea NOT NULL CHECK (length(hash) = 32),
    PRIMARY KEY (stream, seq)
);

CREATE INDEX journal_time ON journal (time_ns DESC);
CREATE INDEX journal_kind ON journal (kind, time_ns DESC);
CREATE INDEX journal_plan ON journal ((data ->> 'plan')) WHERE data ? 'plan';

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'table % is append-only: % refused', TG_TABLE_NAME, TG_OP
        USING ERRCODE = 'insufficient_privilege', HINT = 'a correction is a new record';
END
$$;

CREATE TRIGGER journal_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON journal
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
-- Also fires for a session that plays replication and so skips ordinary triggers.
ALTER TABLE journal ENABLE ALWAYS TRIGGER journal_append_only;

-- A record that is in the journal and could not be turned into rows: shown by `doctor`, never lost.
CREATE TABLE projection_failures (
    stream text NOT NULL,
    seq bigint NOT NULL,
    kind text NOT NULL,
    reason text NOT NULL,
    at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (stream, seq)
);
