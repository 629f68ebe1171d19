"""Fees that do not come from an account: a schedule file, a published tier, or explicit rates.

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
"""

import hashlib
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from json import JSONDecodeError, loads
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

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
)
from arbitrade_kraken.settings import KrakenSettings

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
    """Implements `hooks.FeeSource` from the plugin's settings. A schedule file is read anew each time."""

    def __init__(self, settings: KrakenSettings) -> None:
        self._settings = settings

    def snapshot(self, pairs: Sequence[Pair], now: Ns) -> FeeSnapshot:
        """Fees of these pairs. The id is a hash of the fees alone: the same fees are the same snapshot.

        Raises SettingsError when the settings name no source, or none that can be used.
        """
        schedule = schedule_from(self._settings)
        taker: dict[str, Fee] = {}
        maker: dict[str, Fee] = {}
        content = hashlib.sha256(schedule.currency.encode())
        for pair in sorted(pairs, key=lambda pair: pair.symbol):
            rates = schedule.rates(pair)
            taker[pair.symbol] = Fee(rates.taker_bps * BPS, schedule.currency, FeeRole.TAKER)
            maker[pair.symbol] = Fee(rates.maker_bps * BPS, schedule.currency, FeeRole.MAKER)
            content.update(f"\n{pair.symbol} {plain(rates.maker_bps)} {plain(rates.taker_bps)}".encode())
        # What an operator states is in force when it is asked: only an account's schedule can grow stale.
        return FeeSnapshot(content.hexdigest()[:16], schedule.source, now, taker, maker)


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
    classes = {
        FeeClass.CRYPTO: tier.crypto,
        FeeClass.STABLE: STABLE_RATES,
        FeeClass.PEGGED: STABLE_RATES,
        **_overrides(settings),
    }
    source = (
        f"named tier {name!r} (published {tier.published}; stablecoin, fiat and pegged pairs as of"
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


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid")

    as_of: datetime | date | None = None
    fee_currency: FeeCurrency | None = None
    stable_assets: frozenset[str] | None = None
    pegged_pairs: frozenset[str] | None = None
    crypto: _FileRates
    stable: _FileRates | None = None
    pegged: _FileRates | None = None
    pairs: dict[str, _FileRates] = {}


def _from_file(path: Path, settings: KrakenSettings) -> Schedule:
    file = _read_file(path)
    given = {FeeClass.CRYPTO: file.crypto, FeeClass.STABLE: file.stable, FeeClass.PEGGED: file.pegged}
    base = _schedule("", {}, settings)
    return Schedule(
        source=f"file {path.name}" if file.as_of is None else f"file {path.name} (as of {file.as_of:%Y-%m-%d})",
        classes={fee_class: rates.rates() for fee_class, rates in given.items() if rates is not None},
        currency=file.fee_currency or settings.fee_currency,
        stable_assets=base.stable_assets if file.stable_assets is None else file.stable_assets,
        pegged_pairs=base.pegged_pairs if file.pegged_pairs is None else file.pegged_pairs,
        pairs={symbol: rates.rates() for symbol, rates in file.pairs.items()},
    )


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
