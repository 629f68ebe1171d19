-- Lives of mispricings, written on the lossy side.
CREATE TABLE opportunities (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run_id text NOT NULL,
    strategy text NOT NULL,
    key text NOT NULL,
    path text NOT NULL,
    opened_ns bigint NOT NULL,
    closed_ns bigint,
    best_gross_bps double precision NOT NULL,
    best_edge_bps numeric,
    outcome text NOT NULL,
    evaluations bigint NOT NULL,
    opened_at timestamptz GENERATED ALWAYS AS (to_timestamp(opened_ns / 1e9)) STORED,
    closed_at timestamptz GENERATED ALWAYS AS (to_timestamp(closed_ns / 1e9)) STORED
);

CREATE INDEX opportunities_opened ON opportunities (opened_ns DESC);
CREATE INDEX opportunities_run ON opportunities (run_id, opened_ns DESC);
