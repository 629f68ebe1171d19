"""An account's fees: what the key may do, what TradeVolume tells, and the schedule that it makes.

Kraken tells percents by its own names of pairs; a schedule holds fractions by symbol, exactly.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

from arbitrade_core.commandline import FeeSchedule, Ladder, NextRates, PairRates, Step
from arbitrade_core.domain import FeeCurrency, Ns
from arbitrade_core.errors import ArbitradeError
from arbitrade_core.money import BPS, exact, plain
from arbitrade_kraken.private import KeyInfo, KrakenError, KrakenPrivate, Tier, Volume
from arbitrade_kraken.rest import KrakenRest, RestError, RestPair

_PAIRS_A_CALL = 250
"""How many Kraken takes at once is not documented; each call counts one against the key's limit of 15 and more."""
_HARMLESS = frozenset({"create-ws-token", "export-data"})
"""Permissions besides `query-...` by which nothing can be traded, moved or taken out."""
_KNOWN_HARMFUL = frozenset({
    "add-funds", "close-trades", "deposit-funds", "earn-funds", "modify-trades", "withdraw-funds",
})  # fmt: skip
_OLD_ASSETS = {"XBT": "BTC", "XDG": "DOGE"}
"""What `wsname` calls otherwise than the symbols of today (PROTOCOL 3.2)."""
_SHOWN_OF_NAME = 4
_PERCENT = Decimal("0.01")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class KeyRefused(ArbitradeError):
    """The key may do more than look, or that it may not cannot be told."""


async def fetch(rest: KrakenRest, private: KrakenPrivate, currency: FeeCurrency, now: Ns) -> FeeSchedule:
    """The fees of every online pair. The key is looked at first.

    Raises:
        KeyRefused: the key is no query-only key.
        RestError: Kraken did not answer, or not as documented.
    """
    try:
        info = await private.key_info()
    except KrakenError as error:
        if any(word.startswith("EGeneral:Unknown method") for word in error.errors):
            raise KeyRefused(f"what the key may do cannot be told, so it is not used: {error}") from error
        raise
    refuse_unless_query_only(info)
    names = symbols(await rest.asset_pairs(new_names=False), await rest.asset_pairs())
    wanted = list(names.online)
    # One after the other: nonces must reach Kraken in their order.
    answers = [
        await private.trade_volume(wanted[start : start + _PAIRS_A_CALL])
        for start in range(0, len(wanted), _PAIRS_A_CALL)
    ]
    return schedule(answers, names, info, currency, now)


def refuse_unless_query_only(info: KeyInfo) -> None:
    """Raises KeyRefused, naming the permissions that are too much."""
    permissions = info.permissions
    if permissions is None:
        raise KeyRefused(
            "Kraken did not tell what the key may do (GetApiKeyInfo names no permissions), so it is not used: that it "
            "can neither trade nor withdraw must be certain"
        )
    more = sorted({each for each in permissions if not each.startswith("query-") and each not in _HARMLESS})
    if not more:
        return
    harmful = [each for each in more if each in _KNOWN_HARMFUL]
    unknown = [each for each in more if each not in _KNOWN_HARMFUL]
    reasons = []
    if harmful:
        reasons.append(f"it may {', '.join(harmful)}")
    if unknown:
        reasons.append(f"whether {', '.join(unknown)} allows trading or withdrawing is not known here")
    raise KeyRefused(
        f"the key is not used for fees: {'; '.join(reasons)}. Make a key with the permission `Query funds` alone"
    )


# --- names ----------------------------------------------------------------------------------------------------


class Names:
    """Kraken's names of pairs, and our symbols."""

    def __init__(self) -> None:
        self.online: dict[str, str] = {}
        """symbols by the name that private calls use"""
        self.all: dict[str, str] = {}
        """symbols by every name that an answer may use"""
        self.nameless: list[str] = []
        """pairs whose symbol cannot be told"""


def symbols(old: Mapping[str, RestPair], new: Mapping[str, RestPair]) -> Names:
    """From AssetPairs with old names and with new ones: they are the same pair when their altname is the same."""
    by_altname = {pair.altname: f"{pair.base}/{pair.quote}" for pair in new.values()}
    names = Names()
    for name, pair in old.items():
        symbol = by_altname.get(pair.altname) or _from_wsname(pair.wsname)
        if symbol is None:
            names.nameless.append(name)
            continue
        if pair.status == "online":
            names.online[name] = symbol
        for known in (name, pair.altname, pair.wsname, symbol):
            if known is not None:
                names.all.setdefault(known, symbol)
    return names


def _from_wsname(wsname: str | None) -> str | None:
    base, slash, quote = (wsname or "").partition("/")
    return f"{_OLD_ASSETS.get(base, base)}/{_OLD_ASSETS.get(quote, quote)}" if slash else None


# --- the schedule ---------------------------------------------------------------------------------------------


def schedule(answers: Iterable[Volume], names: Names, info: KeyInfo, currency: FeeCurrency, now: Ns) -> FeeSchedule:
    """What these answers of TradeVolume say together. Raises RestError when a rate makes no sense."""
    rates: dict[str, PairRates] = {}
    groups: dict[tuple[Step, ...], list[str]] = defaultdict(list)
    unread = 0
    volume, volume_currency = None, "USD"
    for answer in answers:
        volume, volume_currency = answer.volume, answer.currency.removeprefix("Z")
        makers = answer.fees_maker or {}
        for name, taker in (answer.fees or {}).items():
            symbol = names.all.get(name)
            if symbol is not None:
                # A pair without a maker fee of its own costs the same either way (PROTOCOL 3.3).
                rates[symbol] = _pair(symbol, taker, makers.get(name, taker), currency)
        for name, told in answer.schedules.items() if isinstance(answer.schedules, dict) else ():
            symbol = names.all.get(name)
            if symbol not in rates:
                continue
            steps = _steps(told)
            # A ladder that does not hold what the pair costs now was misread.
            if steps is None or rates[symbol].taker not in {step.taker for step in steps}:
                unread += 1
            else:
                groups[steps].append(symbol)
    if not rates:
        raise RestError("TradeVolume: Kraken told no fees of any pair, so there is nothing to store")
    missing = sorted(set(names.online.values()) - set(rates))
    account = _account(info)
    return FeeSchedule(
        source=f"account {account}",
        account=account,
        fetched_ns=now,
        rates=dict(sorted(rates.items())),
        ladders=tuple(Ladder(tuple(sorted(group)), steps) for steps, group in groups.items()),
        volume=volume,
        volume_currency=volume_currency,
        details={
            "permissions": sorted(info.permissions or ()),
            "pairs_without_fees": missing,
            "pairs_without_symbol": sorted(names.nameless),
            "ladders_not_understood": unread,
        },
    )


def _account(info: KeyInfo) -> str:
    name = (info.api_key_name or "").strip()
    return f"...{name[-_SHOWN_OF_NAME:]}" if name else "...(no name)"


def _pair(symbol: str, taker: Tier, maker: Tier, currency: FeeCurrency) -> PairRates:
    after = None
    if taker.above is not None:
        volume, fee = taker.above
        # The maker's own step may lie elsewhere: until it is reached the maker rate stays.
        own = maker.above
        next_maker = own[1] if own is not None and own[0] <= volume else maker.fee
        after = NextRates(_sound(symbol, volume, Decimal(10) ** 15), _rate(symbol, next_maker), _rate(symbol, fee))
    return PairRates(_rate(symbol, maker.fee), _rate(symbol, taker.fee), currency, after)


def _rate(symbol: str, percent: Decimal) -> Decimal:
    """A fraction, to the last digit."""
    with exact():
        return _sound(symbol, percent, Decimal(100)) * _PERCENT


def _sound(symbol: str, number: Decimal, below: Decimal) -> Decimal:
    if not number.is_finite() or abs(number) >= below:
        raise RestError(f"TradeVolume: {symbol}: {number} makes no sense as a fee or a volume; nothing was stored")
    return number


# --- ladders --------------------------------------------------------------------------------------------------

_VOLUME = ("volume", "tier_volume", "tiervolume", "min_volume", "minvolume")
_TAKER = ("taker", "taker_fee", "fees", "fee")
_MAKER = ("maker", "maker_fee", "fees_maker", "fee_maker")


def _steps(told: Any) -> tuple[Step, ...] | None:
    """A pair's ladder. None: told in a shape that we do not know; then there is none, rather than a wrong one.

    Read are: an object of two lists (`fees`, `fees_maker`, or `taker`, `maker`) of `[volume, percent]` or of
    `{volume, fee}`, and one list of `{volume, taker, maker}`.
    """
    try:
        with exact():
            match told:
                case dict():
                    takers = _points(_first(told, _TAKER))
                    maker_side = _first(told, _MAKER)
                    makers = takers if not maker_side else _points(maker_side)
                case list():
                    takers = {_number(_first(row, _VOLUME)): _number(_first(row, _TAKER)) for row in told}
                    makers = {
                        _number(_first(row, _VOLUME)): _number(_first(row, _MAKER)) for row in told if _has_maker(row)
                    } or takers
                case _:
                    return None
            if not takers or not makers:
                return None
            volumes = sorted(takers.keys() | makers.keys())
            return tuple(
                Step(volume, _at(makers, volume) * _PERCENT, _at(takers, volume) * _PERCENT) for volume in volumes
            )
    except (AttributeError, InvalidOperation, LookupError, TypeError, ValueError):
        return None


def _points(side: Any) -> dict[Decimal, Decimal]:
    """Percent by volume."""
    points = {}
    for row in side:
        volume, fee = (_first(row, _VOLUME), _first(row, ("fee", "percent"))) if isinstance(row, dict) else row
        points[_number(volume)] = _number(fee)
    return points


def _at(points: Mapping[Decimal, Decimal], volume: Decimal) -> Decimal:
    """What holds at a volume: of the last step not above it. Raises ValueError below the first."""
    return points[max(each for each in points if each <= volume)]


def _has_maker(row: Mapping[str, Any]) -> bool:
    return any(row.get(name) is not None for name in _MAKER)


def _first(row: Mapping[str, Any], names: Iterable[str]) -> Any:
    """The first of these fields that there is."""
    return next((row[name] for name in names if row.get(name) is not None), None)


def _number(value: Any) -> Decimal:
    number = Decimal(str(value))
    if not number.is_finite():
        raise ValueError(value)
    return number


# --- as a file ------------------------------------------------------------------------------------------------


def schedule_file(schedule: FeeSchedule) -> dict[str, Any]:
    """What `kraken.fee_file` reads (`fees`). A pair that it does not name costs what the dearest one costs."""
    with exact():
        pairs = {symbol: _bps(each.maker, each.taker) for symbol, each in schedule.rates.items()}
        dearest = max(schedule.rates.values(), key=lambda each: (each.taker, each.maker))
        return {
            "account": schedule.account or schedule.source,
            "as_of": (_EPOCH + timedelta(microseconds=schedule.fetched_ns // 1_000)).isoformat(),
            "fee_currency": dearest.currency.value,
            "volume_currency": schedule.volume_currency,
            "crypto": _bps(dearest.maker, dearest.taker),
            "pairs": pairs,
            "ladder": [
                {
                    "pairs": ladder.symbols,
                    "steps": [{"volume": plain(step.volume), **_bps(step.maker, step.taker)} for step in ladder.steps],
                }
                for ladder in schedule.ladders
            ],
        }


def _bps(maker: Decimal, taker: Decimal) -> dict[str, str]:
    return {"maker_bps": plain(maker / BPS), "taker_bps": plain(taker / BPS)}
