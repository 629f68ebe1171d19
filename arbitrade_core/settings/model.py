"""The core's own settings. Plugins bring theirs as further sections.

Units stand last in the names. `_valued` means: in units of the valuation asset (`trading.valuation_asset`),
the one currency in which limits, profit and loss are stated; amounts of other assets name their asset
(`USD=10000`). The text under a field is its description in `arbitrade settings list` and docs/settings.md.
"""

from decimal import Decimal
from pathlib import Path
from typing import Annotated, Literal

import platformdirs
from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from arbitrade_core.money import ZERO
from arbitrade_core.settings.environment import NESTED, PREFIX, Environment, Named

Amount = Annotated[Decimal, Field(ge=0)]
Limit = Annotated[Decimal, Field(gt=0)]
Bps = Annotated[Decimal, Field(ge=0, lt=10_000)]
Whole = Annotated[int, Field(ge=0)]
Count = Annotated[int, Field(ge=1)]
Text = Annotated[str, Field(min_length=1)]
Names = tuple[str, ...]

_PEGS = {
    "USDT": "USD",
    "USDC": "USD",
    "DAI": "USD",
    "PYUSD": "USD",
    "RLUSD": "USD",
    "TUSD": "USD",
    "USDG": "USD",
    "EURC": "EUR",
    "EURT": "EUR",
}


class Section(BaseModel):
    """Settings that belong together; they do not change after the start."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class TradingSettings(Section):
    """What is traded, and what a plan must promise before the risk gate sees it."""

    start_assets: Annotated[Names, Field(min_length=1)] = ("USD", "EUR")
    """Assets in which cycles start and end."""
    valuation_asset: Text = "USD"
    """The asset in which profit, loss and limits are stated: every `_valued` is an amount of it."""
    venue: Text = "paper"
    """The venue that orders go to, as a plugin registers it; one that reaches an exchange needs to be armed."""
    pairs: Names | None = None
    """Only these pairs, such as `ETH/USD,ETH/BTC,BTC/USD`. Not set: every pair that is online."""
    margin_bps: Bps = Decimal(1)
    """What the certificate must promise of the start amount when every leg fills at its limit price."""
    min_edge_bps: Bps = Decimal(5)
    """Least expected edge after fees and buffers."""
    min_profit_valued: Amount = Decimal("0.01")
    """Least expected profit after fees and buffers, in the valuation asset."""
    slippage_bps: Bps = Decimal(4)
    """Buffer for each leg: how much worse than expected it may fill."""
    fee_buffer_bps: Bps = ZERO
    """Buffer for each leg on top of the known fee."""
    rounding_fills: Whole = 10
    """Rounding that the certificate allows for each leg: units of the pair's cost precision, one for each of
    the fills that the leg may be split into."""


class PaperSettings(Section):
    """The paper venue: our own fills against the live book."""

    starting_balances: dict[str, Amount] = {"USD": Decimal(10_000)}
    """Balances of a new paper account, by asset."""
    latency_ms: Whole = 20
    """Round trip of an order, which fills against the book that is here when it has passed. `arbitrade
    doctor` measures the real one."""
    slippage_bps: Bps = Decimal(4)
    """How much worse each fill is than the book says, never beyond the order's limit."""


class ExecutionSettings(Section):
    """Carrying plans out, and getting home when a leg falls short."""

    loss_cap_bps: Bps = Decimal(300)
    """Most that completing or reversing a broken plan may lose of what was paid for it; beyond that the desk
    halts. Reversing pays two more taker fees, so a cap below those means halting."""
    residue_floor_valued: Amount = Decimal(5)
    """A remainder of a broken plan that no route brings home within the loss cap halts the desk, unless it is
    worth no more than this, in the valuation asset: then it stays as residue."""
    max_follow_ups: Whole = 6
    """Most orders after a broken leg, of one plan."""
    stuck_after_ms: Whole = 5_000
    """How long a way home is looked for again, while there is none within the loss cap, before the plan is stuck
    and the desk halts."""
    executors: dict[str, str] = {}
    """Which registered executor carries out which kind of plan, such as `cycle=parallel`. Not set: the first one that
    takes the kind, the core's before those of plugins."""
    leg_ban_s: Whole = 60
    """How long a directed leg rests after it failed."""


class RiskSettings(Section):
    """Limits of the risk gate, checked for every plan before it is journalled and before any order leaves."""

    required: Names | None = None
    """Names of the checks without which nothing trades. Not set: all that are shipped."""
    max_cycle_notional_valued: Limit = Decimal(1_000)
    """Largest plan, in the valuation asset."""
    max_asset_notional_valued: Limit = Decimal(5_000)
    """Most that open plans together may come to hold of one asset, in the valuation asset."""
    max_pair_notional_valued: Limit = Decimal(2_000)
    """Most that open plans together may trade on one pair, in the valuation asset."""
    max_total_notional_valued: Limit = Decimal(5_000)
    """Largest sum of all open plans, in the valuation asset."""
    reserve: dict[str, Amount] = {}
    """Balances that plans never touch, by asset, such as `USD=500,BTC=0.01`."""
    max_open_plans: Count = 5
    """Most plans under way at once."""
    cooldown_ms: Whole = 1_000
    """Time between two plans of one cycle."""
    once_per_appearance: bool = False
    """Take each mispricing once, until it has gone and come again: what a backtest counts, since a recorded mispricing
    survives our fills."""
    max_plans_per_hour: Count = 600
    """Most plans within any hour."""
    min_profit_valued: Amount = ZERO
    """Least expected profit of a cycle in the valuation asset, whatever the trading thresholds say."""
    max_edge_bps: Limit = Decimal(500)
    """An edge above this is taken for bad data: refused, with an alert."""
    stablecoins: dict[str, str] = _PEGS
    """Stablecoins and what each is pegged to."""
    max_depeg_bps: Limit = Decimal(100)
    """How far a stablecoin's price may be from its peg when a plan uses it."""
    max_loss_per_hour_valued: Limit = Decimal(50)
    """Trading loss within any hour at which new plans stop, in the valuation asset."""
    max_loss_per_day_valued: Limit = Decimal(200)
    """Trading loss of the UTC day at which new plans stop, in the valuation asset."""
    max_unwind_loss_per_day_valued: Limit = Decimal(100)
    """Loss of broken plans in the UTC day at which new plans stop, in the valuation asset."""
    max_drawdown_valued: Limit = Decimal(500)
    """Fall from the peak of trading plus revaluation at which new plans stop, in the valuation asset."""
    max_consecutive_failures: Count = 5
    """Plans failed in a row at which new plans stop."""
    max_book_age_ms: Count = 3_000
    """Longest time since a book's connection proved alive, feed lag included."""
    max_feed_lag_ms: Count = 1_000
    """Longest time between the exchange's clock on a message and its arrival."""
    max_leg_skew_ms: Count = 500
    """Largest difference of feed lag between a plan's legs."""
    max_unchanged_ms: Count | None = None
    """Longest time since a book changed. Not set: no limit, since quiet pairs are normal."""
    max_fees_age_h: Limit = Decimal(24)
    """Oldest fee schedule that may be traded on, in hours."""


class BacktestSettings(Section):
    """Backtests and sweeps: jobs of a queue in the database, run by processes of their own."""

    in_run: bool = True
    """Whether `arbitrade run` runs queued jobs, in a process beside it."""
    max_running: Count = 1
    """Most jobs at the same time, over all processes that use the database."""
    nice: Annotated[int, Field(ge=0, le=19)] = 10
    """How much the processes of jobs stand back when others want the CPU."""
    processes: Count | None = None
    """Processes that compute a sweep together. Not set: one for each core but one."""
    keep_jobs: Count = 500
    """Jobs that are kept once they ended, with their reports; older ones are deleted."""


class IsolationSettings(Section):
    """How much a plugin may cost before it is taken out of use."""

    budget_share: Annotated[float, Field(gt=0, le=1)] = 0.5
    """Most CPU time of the trading thread that one object of a plugin may use over `budget_window_s`, as a share of one
    core."""
    budget_window_s: Annotated[float, Field(ge=1)] = 10.0
    """The window over which that is measured."""
    hang_s: Annotated[float, Field(ge=3)] = 15.0
    """When the trading loop has not moved for so long, the process ends with exit code 70, and the plugin that it hung
    in is quarantined at the next start."""


class RecordingSettings(Section):
    """Recordings of everything that the bot was fed, for replays and backtests."""

    enabled: bool = False
    """Record while `arbitrade run` or `arbitrade demo` trades; `--record` and `--no-record` go before it."""
    all_pairs: bool = False
    """Carry every pair that is online, whether a detector wants it or not: in `arbitrade record` and in `run`."""
    keep_days: Count = 30
    """Whole UTC days before today that are kept; older ones are dropped, unless a backtest needs them."""
    max_gb: Limit = Decimal(50)
    """Most that all recordings may take in the database (1 GB is 10^9 bytes); the oldest whole days are dropped first,
    never today's."""
    chunk_s: Annotated[float, Field(ge=0.1, le=60)] = 10.0
    """Longest time that one chunk holds: so much is lost when the process is killed."""
    chunk_mb: Annotated[float, Field(gt=0, le=64)] = 8.0
    """Most that one chunk holds before compression, in 10^6 bytes."""
    state_every_s: Annotated[float, Field(ge=1, le=3600)] = 60.0
    """The books of all pairs are noted once in that time, so that a replay can begin anywhere."""


class DatabaseSettings(Section):
    """Where the journal lives. Nothing set: an embedded PostgreSQL server in the data directory."""

    database_url: Annotated[SecretStr | None, Named("DATABASE_URL")] = None
    """`postgresql://user:password@host:port/database`; it goes before the PG_ variables."""
    pg_host: Annotated[str | None, Named("PG_HOST")] = None
    """Host of a PostgreSQL server. Not set, and no DATABASE_URL: the embedded server."""
    pg_port: Annotated[int, Field(ge=1, le=65_535), Named("PG_PORT")] = 5432
    """Its port."""
    pg_user: Annotated[str, Named("PG_USER")] = "arbitrade"
    """The user."""
    pg_password: Annotated[SecretStr | None, Named("PG_PASSWORD")] = None
    """The user's password."""
    pg_database: Annotated[str | None, Named("PG_DATABASE")] = None
    """The database. Not set: `arbitrade`, and `arbitrade_demo` for the demo."""

    @model_validator(mode="after")
    def _names_a_host(self) -> "DatabaseSettings":
        alone = self.model_fields_set - {"database_url", "pg_host"}
        if alone and self.database_url is None and self.pg_host is None:
            names = ", ".join(sorted(alone)).upper()
            raise ValueError(f"without PG_HOST {names} would be ignored; set it, or unset them for the embedded server")
        return self


class LogSettings(Section):
    """Log lines, on standard error."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """Least severe line that is written."""
    format: Literal["text", "json"] = "text"
    """Lines for people, or one JSON object a line."""


class CoreSettings(BaseSettings):
    """Everything the core can be told. `CoreSettings()` reads the environment and `.env`."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_nested_delimiter=NESTED,
        frozen=True,
        extra="forbid",
        use_attribute_docstrings=True,
    )

    plugins: Names | None = None
    """Plugins to enable; `core` always is. Not set: all that are installed, but for experimental ones."""
    experimental: Names = ()
    """Feature flags: the experimental plugins that may be enabled."""
    shadows: dict[str, str] = {}
    """Shadow desks: paper accounts beside the main desk, on the same market, with other settings. Each entry names one
    setting of one shadow: `tight.trading.min_edge_bps=10,slow.paper.latency_ms=80`."""
    data_dir: Path | None = None
    """Directory of the embedded database. Not set: the system's place for user data."""
    trading: TradingSettings = TradingSettings()
    paper: PaperSettings = PaperSettings()
    execution: ExecutionSettings = ExecutionSettings()
    risk: RiskSettings = RiskSettings()
    backtest: BacktestSettings = BacktestSettings()
    isolation: IsolationSettings = IsolationSettings()
    recording: RecordingSettings = RecordingSettings()
    database: DatabaseSettings = DatabaseSettings()
    log: LogSettings = LogSettings()

    @property
    def data_path(self) -> Path:
        """`data_dir`, or where this system keeps a user's data."""
        return self.data_dir or platformdirs.user_data_path("arbitrade", appauthor=False)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - pydantic passes these by name
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, Environment(settings_cls)
