-- Projections of the journal. Amounts are exact; times are nanoseconds, and timestamps for reading.
CREATE TABLE cycles (
    plan_id text PRIMARY KEY,
    desk_id text NOT NULL,
    strategy text NOT NULL,
    kind text NOT NULL,
    key text NOT NULL,
    path text NOT NULL,
    state text NOT NULL,
    outcome text,
    note text NOT NULL DEFAULT '',
    start_asset text NOT NULL,
    start numeric NOT NULL,
    expected_end numeric NOT NULL,
    realised_end numeric,
    expected_edge_bps numeric NOT NULL,
    expected_profit_valued numeric NOT NULL,
    notional_valued numeric NOT NULL,
    profit numeric,
    profit_valued numeric,
    valuation_asset text NOT NULL,
    fees_id text NOT NULL,
    certificate jsonb,
    legs jsonb NOT NULL,
    approvals jsonb NOT NULL,
    attribution jsonb,
    pnl jsonb,
    residue jsonb,
    decided_ns bigint NOT NULL,
    ended_ns bigint,
    decided_at timestamptz GENERATED ALWAYS AS (to_timestamp(decided_ns / 1e9)) STORED,
    ended_at timestamptz GENERATED ALWAYS AS (to_timestamp(ended_ns / 1e9)) STORED
);

CREATE INDEX cycles_decided ON cycles (decided_ns DESC);
CREATE INDEX cycles_desk_decided ON cycles (desk_id, decided_ns DESC);
CREATE INDEX cycles_open ON cycles (desk_id) WHERE ended_ns IS NULL;

CREATE TABLE orders (
    order_id text PRIMARY KEY,
    plan_id text NOT NULL REFERENCES cycles,
    desk_id text NOT NULL,
    leg_index integer,
    purpose text NOT NULL,
    symbol text NOT NULL,
    side text NOT NULL CHECK (side IN ('buy', 'sell')),
    qty numeric NOT NULL,
    limit_price numeric NOT NULL,
    tif text NOT NULL DEFAULT 'ioc',
    state text NOT NULL,
    filled_qty numeric NOT NULL DEFAULT 0,
    avg_price numeric,
    reason text NOT NULL DEFAULT '',
    intended_ns bigint NOT NULL,
    sent_ns bigint,
    done_ns bigint,
    intended_at timestamptz GENERATED ALWAYS AS (to_timestamp(intended_ns / 1e9)) STORED,
    sent_at timestamptz GENERATED ALWAYS AS (to_timestamp(sent_ns / 1e9)) STORED,
    done_at timestamptz GENERATED ALWAYS AS (to_timestamp(done_ns / 1e9)) STORED
);

CREATE INDEX orders_plan ON orders (plan_id);
CREATE INDEX orders_open ON orders (desk_id) WHERE done_ns IS NULL;

CREATE TABLE fills (
    order_id text NOT NULL REFERENCES orders,
    exec_id text NOT NULL,
    plan_id text NOT NULL REFERENCES cycles,
    desk_id text NOT NULL,
    symbol text NOT NULL,
    side text NOT NULL CHECK (side IN ('buy', 'sell')),
    qty numeric NOT NULL,
    price numeric NOT NULL,
    cost numeric NOT NULL,
    fee numeric NOT NULL,
    fee_asset text NOT NULL,
    rows jsonb NOT NULL,
    time_ns bigint NOT NULL,
    at timestamptz GENERATED ALWAYS AS (to_timestamp(time_ns / 1e9)) STORED,
    PRIMARY KEY (order_id, exec_id)
);

CREATE INDEX fills_plan ON fills (plan_id);
CREATE INDEX fills_desk_time ON fills (desk_id, time_ns DESC);

CREATE TABLE balances (
    desk_id text NOT NULL,
    asset text NOT NULL,
    account text NOT NULL,
    amount numeric NOT NULL,
    time_ns bigint NOT NULL,
    at timestamptz GENERATED ALWAYS AS (to_timestamp(time_ns / 1e9)) STORED,
    PRIMARY KEY (desk_id, asset, account)
);

CREATE TABLE runtime_state (
    key text PRIMARY KEY,
    value jsonb,
    time_ns bigint NOT NULL,
    at timestamptz GENERATED ALWAYS AS (to_timestamp(time_ns / 1e9)) STORED
);
