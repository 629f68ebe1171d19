-- Backtests and sweeps: the queue, what became of each job, and who asked for what. A running job is owned by a session
-- advisory lock on its id: whoever can take that lock knows that its worker is gone.
CREATE TABLE backtest_jobs (
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind text NOT NULL CHECK (kind IN ('backtest', 'sweep')),
    name text NOT NULL DEFAULT '',
    state text NOT NULL DEFAULT 'queued' CHECK (state IN ('queued', 'running', 'done', 'failed', 'cancelled')),
    spec jsonb NOT NULL,
    about jsonb NOT NULL,
    resources jsonb NOT NULL DEFAULT '{}',
    notes jsonb NOT NULL DEFAULT '[]',
    actor text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    started_at timestamptz,
    ended_at timestamptz,
    attempts integer NOT NULL DEFAULT 0,
    worker text,
    progress jsonb,
    cancel_requested boolean NOT NULL DEFAULT false,
    reason text NOT NULL DEFAULT '',
    headline jsonb,
    decisions text,
    code jsonb,
    report bytea,
    CHECK ((state IN ('done', 'failed', 'cancelled')) = (ended_at IS NOT NULL)),
    CHECK ((state = 'done') = (report IS NOT NULL))
);
COMMENT ON COLUMN backtest_jobs.spec IS 'complete: replay.job.JobSpec';
COMMENT ON COLUMN backtest_jobs.about IS 'the same without fee rates, for lists';
COMMENT ON COLUMN backtest_jobs.resources IS 'how it is computed, which its result does not depend on: processes, dask';
COMMENT ON COLUMN backtest_jobs.notes IS 'what was said when it was submitted, such as what is missing of its range';
COMMENT ON COLUMN backtest_jobs.code IS 'versions of what computed it, by distribution';
COMMENT ON COLUMN backtest_jobs.report IS 'the result: msgpack, zstd; backtests.results reads it';

-- zstd has been there already.
ALTER TABLE backtest_jobs ALTER COLUMN report SET STORAGE EXTERNAL;

CREATE INDEX backtest_jobs_queue ON backtest_jobs (id) WHERE state = 'queued';
CREATE INDEX backtest_jobs_running ON backtest_jobs (id) WHERE state = 'running';

-- One row for each variant of a sweep that is computed: what is here is not computed again.
CREATE TABLE backtest_variants (
    job integer NOT NULL REFERENCES backtest_jobs ON DELETE CASCADE,
    number integer NOT NULL CHECK (number >= 0),
    settings jsonb NOT NULL,
    code text NOT NULL,
    decisions text NOT NULL,
    headline jsonb NOT NULL,
    result bytea NOT NULL,
    PRIMARY KEY (job, number)
);
COMMENT ON COLUMN backtest_variants.code IS 'versions that computed it: others compute it anew';
ALTER TABLE backtest_variants ALTER COLUMN result SET STORAGE EXTERNAL;

-- Outlives its jobs.
CREATE TABLE backtest_audit (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    job integer NOT NULL,
    action text NOT NULL,
    actor text NOT NULL,
    detail jsonb NOT NULL DEFAULT '{}'
);

CREATE INDEX backtest_audit_job ON backtest_audit (job, id);
CREATE TRIGGER backtest_audit_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON backtest_audit
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
ALTER TABLE backtest_audit ENABLE ALWAYS TRIGGER backtest_audit_append_only;
