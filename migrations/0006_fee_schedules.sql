-- Fee schedules as they were fetched from an account. Rows are never changed and never deleted: they are the history
-- by which a replay finds the fees that were in force at its time.
CREATE TABLE fee_schedules (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    fees_id text NOT NULL,
    source text NOT NULL,
    account text,
    fetched_ns bigint NOT NULL,
    rates jsonb NOT NULL,
    ladders jsonb NOT NULL,
    volume numeric,
    volume_currency text NOT NULL,
    details jsonb NOT NULL,
    fetched_at timestamptz GENERATED ALWAYS AS (to_timestamp(fetched_ns / 1e9)) STORED
);
COMMENT ON COLUMN fee_schedules.fees_id IS 'hash of the rates: the same fees have the same';
COMMENT ON COLUMN fee_schedules.rates IS 'by pair symbol; fractions of the cost, as text';
COMMENT ON COLUMN fee_schedules.ladders IS 'groups of pairs with the same steps; empty when the account was told none';
COMMENT ON COLUMN fee_schedules.volume IS 'traded within 30 days, in volume_currency';

CREATE INDEX fee_schedules_fetched ON fee_schedules (fetched_ns DESC, id DESC);
CREATE INDEX fee_schedules_account ON fee_schedules (account, fetched_ns DESC, id DESC);
