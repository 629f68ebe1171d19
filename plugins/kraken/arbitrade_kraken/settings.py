"""The plugin's settings: section `kraken`, environment prefix `ARBITRADE_KRAKEN__`."""

from decimal import Decimal
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

from arbitrade_core.domain import FeeCurrency

type Bps = Annotated[Decimal, Field(ge=-100, le=1000)]


class KrakenSettings(BaseModel):
    """Where Kraken is, how fast we may talk to it, and which fees to reckon with."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    ws_url: str = Field(
        default="wss://ws.kraken.com/v2",
        pattern=r"^wss?://\S+$",
        description="Public WebSocket v2 endpoint. Plain ws:// is for a simulated exchange on this machine.",
    )
    rest_url: str = Field(
        default="https://api.kraken.com/0",
        pattern=r"^https?://\S+$",
        description="Base URL of the REST interface.",
    )
    rest_timeout_ms: int = Field(default=10_000, ge=100, le=60_000, description="Longest wait for a REST answer.")
    depth: Literal[10, 25, 100, 500, 1000] = Field(
        default=10,
        description="Levels a side to subscribe to. The checksum proves the ten best, whatever the depth.",
    )
    trades: bool = Field(
        default=False,
        description="Also subscribe to the trades of the pairs carried, so that recordings hold them. "
        "Nothing trades by them.",
    )
    symbols_per_socket: int = Field(default=200, ge=1, le=1000, description="Most books carried by one connection.")
    symbols_per_message: int = Field(default=100, ge=1, le=1000, description="Most symbols in one subscribe request.")
    messages_per_s: float = Field(default=20.0, gt=0, le=1000, description="Most requests a second on one connection.")
    message_burst: int = Field(default=10, ge=1, le=1000, description="Requests that may leave at once after a rest.")
    connect_timeout_ms: int = Field(
        default=10_000, ge=100, le=120_000, description="A connection that is not open by then is given up."
    )
    ack_timeout_ms: int = Field(
        default=5_000,
        ge=100,
        le=120_000,
        description="A request without an answer by then has failed and is tried again.",
    )
    snapshot_timeout_ms: int = Field(
        default=10_000,
        ge=100,
        le=120_000,
        description="A subscription without a snapshot by then is started anew.",
    )
    dead_after_ms: int = Field(
        default=4_000,
        ge=1_000,
        le=60_000,
        description="A connection without any frame for so long is dead. Heartbeats come every second.",
    )
    ping_every_ms: int = Field(
        default=15_000,
        ge=1_000,
        le=50_000,
        description="Time between pings, from which the clock offset is estimated.",
    )
    connect_attempts_per_600_s: int = Field(
        default=120,
        ge=1,
        le=150,
        description="Connection attempts in any ten minutes. Kraken's front bans an address at about 150.",
    )
    policy_pause_s: int = Field(
        default=600,
        ge=5,
        le=86_400,
        description="Rest after Kraken closed a connection for a policy violation (1008).",
    )

    fee_tier: str | None = Field(
        default=None,
        description="Reckon with a published schedule: `tier-1` (since 2026-07-09), or a step of the ladder "
        "before it, such as `2024-03/0` or `2024-03/50000` (30-day volume in USD).",
    )
    fee_file: Path | None = Field(
        default=None,
        description="Reckon with a schedule file (TOML, or JSON when named .json): rates in basis points by "
        "class (crypto, stable, pegged) and by pair, fee currency, and the date they are of.",
    )
    fee_crypto_maker_bps: Bps | None = Field(default=None, description="Explicit maker fee of crypto pairs.")
    fee_crypto_taker_bps: Bps | None = Field(default=None, description="Explicit taker fee of crypto pairs.")
    fee_stable_maker_bps: Bps | None = Field(
        default=None, description="Maker fee of pairs whose base is a stablecoin or a national currency."
    )
    fee_stable_taker_bps: Bps | None = Field(default=None, description="Taker fee of those pairs.")
    fee_pegged_maker_bps: Bps | None = Field(default=None, description="Maker fee of pegged pairs, such as WBTC/BTC.")
    fee_pegged_taker_bps: Bps | None = Field(default=None, description="Taker fee of pegged pairs.")
    fee_stable_assets: tuple[str, ...] | None = Field(
        default=None, description="Assets that are stable as a base, instead of the shipped table."
    )
    fee_pegged_pairs: tuple[str, ...] | None = Field(
        default=None, description="Pairs charged as pegged, instead of the shipped table."
    )
    fee_currency: FeeCurrency = Field(
        default=FeeCurrency.QUOTE,
        description="Which asset pays the fee. Kraken's documentation and the fills seen disagree for sells; "
        "fills showed the quote asset. `either` reckons with the worse of the two.",
    )
    fee_key: SecretStr | None = Field(
        default=None,
        description="Query-only API key for `arbitrade fees fetch`. Give it to that command alone: a bot that is "
        "started with it refuses.",
    )
    fee_secret: SecretStr | None = Field(default=None, description="The key's private part.")
    fee_key_file: Path | None = Field(
        default=None, description="File that holds the key instead, readable by its owner alone (mode 0600)."
    )
    fee_secret_file: Path | None = Field(default=None, description="File that holds the private part instead.")

    @model_validator(mode="after")
    def _one_source_of_fees(self) -> Self:
        sources = [
            name
            for name, given in (
                ("fee_tier", self.fee_tier is not None),
                ("fee_file", self.fee_file is not None),
                ("fee_crypto_taker_bps", self.fee_crypto_taker_bps is not None),
            )
            if given
        ]
        if len(sources) > 1:
            raise ValueError(f"fees come from one source only, but {' and '.join(sources)} are set: keep one")
        for kind in ("crypto", "stable", "pegged"):
            maker = getattr(self, f"fee_{kind}_maker_bps")
            taker = getattr(self, f"fee_{kind}_taker_bps")
            if (maker is None) != (taker is None):
                raise ValueError(f"fee_{kind}_maker_bps and fee_{kind}_taker_bps belong together: set both")
            if taker is not None and taker < 0:
                raise ValueError(f"fee_{kind}_taker_bps {taker} is negative: takers are never paid")
        if self.fee_file is not None and (
            self.fee_stable_taker_bps is not None or self.fee_pegged_taker_bps is not None
        ):
            raise ValueError("with fee_file, rates of all classes belong in the file: unset fee_stable_*, fee_pegged_*")
        return self

    @model_validator(mode="after")
    def _one_place_of_the_key(self) -> Self:
        for name in ("fee_key", "fee_secret"):
            if getattr(self, name) is not None and getattr(self, f"{name}_file") is not None:
                raise ValueError(f"{name} and {name}_file are both set: keep one")
        return self
