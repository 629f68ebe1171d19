-- What operators said of settings, version by version. Rows are never changed and never deleted: going back is a new
-- version. It stands below the environment, and above the defaults.
CREATE TABLE setting_overrides (
    version integer PRIMARY KEY CHECK (version > 0),
    at_ns bigint NOT NULL,
    at timestamptz GENERATED ALWAYS AS (to_timestamp(at_ns / 1e9)) STORED,
    actor text NOT NULL,
    reason text NOT NULL,
    changes jsonb NOT NULL,
    "values" jsonb NOT NULL
);
COMMENT ON COLUMN setting_overrides.changes IS 'by variable: {"from", "to"}; null is no override';
COMMENT ON COLUMN setting_overrides."values" IS 'every override after it, by variable, as text';

CREATE TRIGGER setting_overrides_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON setting_overrides
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
ALTER TABLE setting_overrides ENABLE ALWAYS TRIGGER setting_overrides_append_only;
