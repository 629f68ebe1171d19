"""Fees that a bot reckons with: a schedule file, a published tier, or explicit rates.

There is no default. Nothing configured means no snapshot, and without fees nothing trades (TRADING 7, 8).

The schedule file is TOML or JSON; rates are basis points of the cost; only `[crypto]` is required:

    as_of = "2026-11-01"          # when these rates were published or read off; shown with the fees
    fee_currency = "quote"        # quote | base | either; default: the setting `kraken.fee_currency`
    stable_assets = ["USDT"]      # instead of the shipped table; likewise pegged_pairs
    [crypto]
    maker_bps = 25
    taker_bps = 40
    [stable]                      # default: as crypto; likewise [pegged]
    maker_bps = 20
    taker_bps = 20
    [pairs."ETH/BTC"]             # one pair's own rates
    maker_bps = 23
    taker_bps = 40

`arbitrade fees fetch --file` writes such a file of an account, with `account`, the moment of the fetch as `as_of`, and
the account's `ladder`. A file with `account` grows stale; what an operator states does not.
"""

import hashlib
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from decimal import Decimal
from json import JSONDecodeError, loads
from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from arbitrade_core.domain import Fee, FeeCurrency, FeeRole, FeeSnapshot, Ns, Pair
from arbitrade_core.errors import SettingsError
from arbitrade_core.money import BPS, plain
from arbitrade_kraken.fee_tables import (
    ASSETS_AS_OF,
    PEGGED_PAIRS,
    STABLE_AS_OF,
    STABLE_ASSETS,
    STABLE_RATES,
    TIERS,
    FeeClass,
    Rates,
    Tier,
)
from arbitrade_kraken.settings import KrakenSettings

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

NOT_CONFIGURED = (
    "no fees are configured, so nothing can be priced: set ARBITRADE_KRAKEN__FEE_TIER (for example `tier-1`),"
    " "
    "ARBITRADE_KRAKEN__FEE_FILE, or ARBITRADE_KRAKEN__FEE_CRYPTO_MAKER_BPS and ..._TAKER_BPS"
)


@dataclass(frozen=True, slots=True)
class Schedule:
    """Rates by class, with exceptions by pair symbol."""

    source: str
    classes: Mapping[FeeClass, Rates]
    currency: FeeCurrency
    stable_assets: frozenset[str] = STABLE_ASSETS
    pegged_pairs: frozenset[str] = PEGGED_PAIRS
    pairs: Mapping[str, Rates] = field(default_factory=dict)
    as_of_ns: Ns | None = None
    """of an account's; None: in force whenever it is asked"""
    steps: tuple[tuple[str, "Schedule"], ...] = ()
    """of its ladder, dearest first; empty: none is known"""

    def class_of(self, pair: Pair) -> FeeClass:
        if pair.symbol in self.pegged_pairs:
            return FeeClass.PEGGED
        return FeeClass.STABLE if pair.base in self.stable_assets else FeeClass.CRYPTO

    def rates(self, pair: Pair) -> Rates:
        exception = self.pairs.get(pair.symbol)
        if exception is not None:
            return exception
        return self.classes.get(self.class_of(pair), self.classes[FeeClass.CRYPTO])


class KrakenFees:
    """Implements `hooks.FeeSource` and `hooks.FeeLadder` from the plugin's settings. A schedule file is read anew each
    time."""

    def __init__(self, settings: KrakenSettings) -> None:
        self._settings = settings

    def snapshot(self, pairs: Sequence[Pair], now: Ns) -> FeeSnapshot:
        """Fees of these pairs. The id is a hash of the fees alone: the same fees are the same snapshot.

        Raises SettingsError when the settings name no source, or none that can be used.
        """
        return _snapshot(schedule_from(self._settings), pairs, now)

    def ladder(self, pairs: Sequence[Pair], now: Ns) -> Sequence[tuple[str, FeeSnapshot]]:
        """The published ladder before 2026-07 for a tier of it, an account's as its file has it; else none is known.

        What comes above `tier-1` is not public (TRADING 9). Raises SettingsError as `snapshot` does.
        """
        steps = schedule_from(self._settings).steps
        return [(name, _snapshot(schedule, pairs, now)) for name, schedule in steps]


def _snapshot(schedule: Schedule, pairs: Sequence[Pair], now: Ns) -> FeeSnapshot:
    taker: dict[str, Fee] = {}
    maker: dict[str, Fee] = {}
    content = hashlib.sha256(schedule.currency.encode())
    for pair in sorted(pairs, key=lambda pair: pair.symbol):
        rates = schedule.rates(pair)
        taker[pair.symbol] = Fee(rates.taker_bps * BPS, schedule.currency, FeeRole.TAKER)
        maker[pair.symbol] = Fee(rates.maker_bps * BPS, schedule.currency, FeeRole.MAKER)
        content.update(f"\n{pair.symbol} {plain(rates.maker_bps)} {plain(rates.taker_bps)}".encode())
    # What an operator states is in force when it is asked: only an account's schedule can grow stale.
    as_of_ns = now if schedule.as_of_ns is None else schedule.as_of_ns
    return FeeSnapshot(content.hexdigest()[:16], schedule.source, as_of_ns, taker, maker)


def schedule_from(settings: KrakenSettings) -> Schedule:
    """The one source that the settings name. Raises SettingsError."""
    if settings.fee_file is not None:
        return _from_file(settings.fee_file, settings)
    if settings.fee_tier is not None:
        return _from_tier(settings.fee_tier, settings)
    crypto = _rates(settings.fee_crypto_maker_bps, settings.fee_crypto_taker_bps)
    if crypto is None:
        raise SettingsError([NOT_CONFIGURED])
    classes = {FeeClass.CRYPTO: crypto, **_overrides(settings)}
    return _schedule("rates in the settings", classes, settings)


def _from_tier(name: str, settings: KrakenSettings) -> Schedule:
    tier = TIERS.get(name)
    if tier is None:
        raise SettingsError([f"kraken.fee_tier: {name!r} is no tier known here; it is one of {', '.join(TIERS)}"])
    above = [each for each in TIERS.values() if each.ladder is not None and each.ladder == tier.ladder]
    steps = tuple((f"{each.volume_usd:,} USD", _of_tier(each, settings)) for each in above)
    return replace(_of_tier(tier, settings), steps=steps)


def _of_tier(tier: Tier, settings: KrakenSettings) -> Schedule:
    classes = {
        FeeClass.CRYPTO: tier.crypto,
        FeeClass.STABLE: STABLE_RATES,
        FeeClass.PEGGED: STABLE_RATES,
        **_overrides(settings),
    }
    source = (
        f"named tier {tier.name!r} (published {tier.published}; stablecoin, fiat and pegged pairs as of"
        f" {STABLE_AS_OF}, "
        f"their list as of {ASSETS_AS_OF})"
    )
    return _schedule(source, classes, settings)


def _schedule(source: str, classes: Mapping[FeeClass, Rates], settings: KrakenSettings) -> Schedule:
    return Schedule(
        source,
        classes,
        settings.fee_currency,
        STABLE_ASSETS if settings.fee_stable_assets is None else frozenset(settings.fee_stable_assets),
        PEGGED_PAIRS if settings.fee_pegged_pairs is None else frozenset(settings.fee_pegged_pairs),
    )


def _overrides(settings: KrakenSettings) -> dict[FeeClass, Rates]:
    stable = _rates(settings.fee_stable_maker_bps, settings.fee_stable_taker_bps)
    pegged = _rates(settings.fee_pegged_maker_bps, settings.fee_pegged_taker_bps)
    found = {FeeClass.STABLE: stable, FeeClass.PEGGED: pegged}
    return {fee_class: rates for fee_class, rates in found.items() if rates is not None}


def _rates(maker_bps: Decimal | None, taker_bps: Decimal | None) -> Rates | None:
    return None if maker_bps is None or taker_bps is None else Rates(maker_bps, taker_bps)


# --- schedule files -----------------------------------------------------------------------------------------


class _FileRates(BaseModel):
    model_config = ConfigDict(extra="forbid")

    maker_bps: Annotated[Decimal, Field(ge=-100, le=1000)]
    taker_bps: Annotated[Decimal, Field(ge=0, le=1000)]

    def rates(self) -> Rates:
        return Rates(self.maker_bps, self.taker_bps)


class _FileStep(_FileRates):
    volume: Annotated[Decimal, Field(ge=0)]


class _FileLadder(BaseModel):
    model_config = ConfigDict(extra="forbid")

    pairs: frozenset[str]
    steps: Annotated[list[_FileStep], Field(min_length=1)]


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid")

    account: str | None = None
    volume_currency: str = "USD"
    ladder: list[_FileLadder] = []
    as_of: datetime | date | None = None
    fee_currency: FeeCurrency | None = None
    stable_assets: frozenset[str] | None = None
    pegged_pairs: frozenset[str] | None = None
    crypto: _FileRates
    stable: _FileRates | None = None
    pegged: _FileRates | None = None
    pairs: dict[str, _FileRates] = {}

    @model_validator(mode="after")
    def _account_has_a_time(self) -> Self:
        if self.account is not None and not (isinstance(self.as_of, datetime) and self.as_of.tzinfo):
            raise ValueError("a schedule of an account needs the moment it was fetched as as_of, with its time zone")
        return self


def _from_file(path: Path, settings: KrakenSettings) -> Schedule:
    file = _read_file(path)
    given = {FeeClass.CRYPTO: file.crypto, FeeClass.STABLE: file.stable, FeeClass.PEGGED: file.pegged}
    base = _schedule("", {}, settings)
    schedule = Schedule(
        source=f"file {path.name}" if file.as_of is None else f"file {path.name} (as of {file.as_of:%Y-%m-%d})",
        classes={fee_class: rates.rates() for fee_class, rates in given.items() if rates is not None},
        currency=file.fee_currency or settings.fee_currency,
        stable_assets=base.stable_assets if file.stable_assets is None else file.stable_assets,
        pegged_pairs=base.pegged_pairs if file.pegged_pairs is None else file.pegged_pairs,
        pairs={symbol: rates.rates() for symbol, rates in file.pairs.items()},
    )
    if file.account is None or not isinstance(file.as_of, datetime):
        return replace(schedule, steps=_steps(schedule, file))
    as_of = file.as_of - _EPOCH
    account = replace(
        schedule,
        source=f"account {file.account} (file {path.name}, fetched {file.as_of:%Y-%m-%d %H:%M})",
        as_of_ns=(as_of.days * 86_400 + as_of.seconds) * 1_000_000_000 + as_of.microseconds * 1_000,
    )
    return replace(account, steps=_steps(account, file))


def _steps(schedule: Schedule, file: _File) -> tuple[tuple[str, Schedule], ...]:
    """At each volume of the file's ladders: what every pair costs there."""
    steps = []
    for volume in sorted({step.volume for ladder in file.ladder for step in ladder.steps}):
        pairs = dict(schedule.pairs)
        for ladder in file.ladder:
            reached = [step for step in ladder.steps if step.volume <= volume]
            if reached:
                pairs |= dict.fromkeys(ladder.pairs, max(reached, key=lambda step: step.volume).rates())
        name = f"{volume:,f} {file.volume_currency}"
        steps.append((name, replace(schedule, source=f"{schedule.source}, at {name}", pairs=pairs)))
    return tuple(steps)


def _read_file(path: Path) -> _File:
    try:
        text = path.read_text(encoding="utf-8")
        content = (
            loads(text, parse_float=Decimal) if path.suffix == ".json" else tomllib.loads(text, parse_float=Decimal)
        )
        return _File.model_validate(content)
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError([f"kraken.fee_file: {path} cannot be read: {error}"]) from error
    except (JSONDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError([f"kraken.fee_file: {path} is neither TOML nor (named .json) JSON: {error}"]) from error
    except ValidationError as error:
        where = [(".".join(map(str, problem["loc"])), problem["msg"]) for problem in error.errors()]
        raise SettingsError([f"kraken.fee_file: {path}: {place}: {what}" for place, what in where]) from error
