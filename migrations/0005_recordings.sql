-- Recordings: everything that engines were fed, as compressed chunks. Whoever writes one holds a session advisory lock on
-- its id (class REC!): one that is open and whose lock is free was left by a crash.
CREATE TABLE recordings (
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    source text NOT NULL CHECK (source IN ('run', 'record', 'demo', 'import')),
    desk_id text NOT NULL,
    schema integer NOT NULL,
    inputs_schema integer NOT NULL,
    versions jsonb NOT NULL,
    head bytea NOT NULL,
    state_every_s double precision NOT NULL CHECK (state_every_s > 0),
    started_ns bigint NOT NULL,
    ended_ns bigint NOT NULL,
    chunks integer NOT NULL DEFAULT 0,
    entries bigint NOT NULL DEFAULT 0,
    frames bigint NOT NULL DEFAULT 0,
    dropped bigint NOT NULL DEFAULT 0,
    bytes bigint NOT NULL DEFAULT 0,
    pairs text[] NOT NULL DEFAULT '{}',
    state text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'complete', 'broken')),
    note text NOT NULL DEFAULT '',
    started_at timestamptz GENERATED ALWAYS AS (to_timestamp(started_ns / 1e9)) STORED,
    ended_at timestamptz GENERATED ALWAYS AS (to_timestamp(ended_ns / 1e9)) STORED,
    CHECK (ended_ns >= started_ns)
);
COMMENT ON COLUMN recordings.head IS 'recording.entries.Head, msgpack: where the run began';
COMMENT ON COLUMN recordings.state_every_s IS 'the books of all pairs are in it once in that time';
COMMENT ON COLUMN recordings.ended_ns IS 'of the last entry that is stored';
COMMENT ON COLUMN recordings.dropped IS 'inputs that were not recorded, as told by recording_gaps';
COMMENT ON COLUMN recordings.bytes IS 'of chunks when they were written; pruning does not change it';
COMMENT ON COLUMN recordings.pairs IS 'symbols of all pairs whose books were carried at some time, sorted';

CREATE INDEX recordings_time ON recordings (started_ns, ended_ns);
CREATE INDEX recordings_open ON recordings (id) WHERE state = 'open';

-- One partition for each UTC day, made by the first who writes to it: market_snapshots_20261123. A chunk never spans
-- midnight. No foreign key to recordings: a day is dropped without a look at anything else.
CREATE TABLE market_snapshots (
    recording integer NOT NULL,
    number integer NOT NULL CHECK (number >= 0),
    start_ns bigint NOT NULL,
    end_ns bigint NOT NULL CHECK (end_ns >= start_ns),
    entries integer NOT NULL CHECK (entries > 0),
    frames integer NOT NULL CHECK (frames >= 0),
    pairs text[] NOT NULL,
    sha256 bytea NOT NULL CHECK (length(sha256) = 32),
    data bytea NOT NULL,
    PRIMARY KEY (recording, number, start_ns)
) PARTITION BY RANGE (start_ns);
COMMENT ON COLUMN market_snapshots.pairs IS 'symbols whose books were carried, sorted';
COMMENT ON COLUMN market_snapshots.data IS 'recording.chunks reads it';

-- zstd has been there already.
ALTER TABLE market_snapshots ALTER COLUMN data SET STORAGE EXTERNAL;

CREATE INDEX market_snapshots_time ON market_snapshots (start_ns, end_ns);
-- A list of what is still to be indexed would take ten times the room: every chunk has all pairs.
CREATE INDEX market_snapshots_pairs ON market_snapshots USING gin (pairs) WITH (fastupdate = off);

CREATE TABLE recording_gaps (
    recording integer NOT NULL REFERENCES recordings ON DELETE CASCADE,
    since_ns bigint NOT NULL,
    now_ns bigint NOT NULL CHECK (now_ns >= since_ns),
    dropped bigint NOT NULL,
    reason text NOT NULL,
    PRIMARY KEY (recording, now_ns)
);
COMMENT ON COLUMN recording_gaps.since_ns IS 'of the last entry before; now_ns is of the first one after';

-- Days that must stay, whatever their age, and for whom: a backtest pins what it reads.
CREATE TABLE recording_pins (
    day date NOT NULL,
    reason text NOT NULL,
    PRIMARY KEY (day, reason)
);
