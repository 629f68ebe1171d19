-- What was last said of each plugin while a bot ran, by the bot's system stream: a projection of the journal.
CREATE TABLE plugin_state (
    stream text NOT NULL,
    plugin text NOT NULL,
    state text NOT NULL CHECK (state IN ('enabled', 'disabled', 'quarantined')),
    actor text NOT NULL,
    reason text NOT NULL,
    checks text[] NOT NULL,
    at_ns bigint NOT NULL,
    PRIMARY KEY (stream, plugin)
);
COMMENT ON COLUMN plugin_state.checks IS
    'of a quarantined plugin: its risk checks, without which nothing trades until it is enabled or disabled';
