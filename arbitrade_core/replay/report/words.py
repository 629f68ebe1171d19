"""Figures as people read them: rounded, with their units. What is exact stands in the JSON and the CSV files."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

from arbitrade_core.domain import Ns
from arbitrade_core.money import nearest_decimals, plain
from arbitrade_core.replay.statistics import Interval

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MOST_DECIMALS = 12
_US, _MS, _S = 1_000, 1_000_000, 1_000_000_000
_MIN, _H, _DAY = 60 * _S, 3600 * _S, 86_400 * _S


def amount(value: Decimal | None, asset: str = "", *, sign: bool = False) -> str:
    """Two decimals, or two digits where they come later; `unknown` for None."""
    if value is None:
        return "unknown"
    decimals = 2 if not value else min(max(2, 1 - value.adjusted()), _MOST_DECIMALS)
    rounded = nearest_decimals(value, decimals)
    text = f"{rounded if rounded else abs(rounded):{'+' if sign and rounded else ''},f}"
    return f"{text} {asset}" if asset else text


def gain(value: Decimal | None, asset: str = "") -> str:
    return amount(value, asset, sign=True)


def rate(found: Interval, asset: str = "") -> str:
    """Per hour; a few minutes are not made into hours."""
    return "unknown" if found.low is None else gain(found.estimate, asset)


def between(found: Interval, asset: str = "") -> str:
    """`+1.00 to +3.00 USD`, or that it cannot be said."""
    if found.low is None or found.high is None:
        return "cannot be said"
    return f"{gain(found.low)} to {gain(found.high, asset)}"


def bps(value: Decimal | float | None) -> str:
    if value is None:
        return "unknown"
    return f"{plain(nearest_decimals(Decimal(value), 2))} bps"


def share(value: Decimal | float | None) -> str:
    if value is None:
        return "none"
    percent = Decimal(value) * 100
    return f"{plain(nearest_decimals(percent, 1))} %"


def count(value: int, one: str = "", many: str = "") -> str:
    """`1 plan`, `1,200 plans`."""
    return f"{value:,} {one if value == 1 else many or one + 's'}" if one else f"{value:,}"


def duration(ns: Ns | None) -> str:
    if ns is None:
        return "unknown"
    for unit, name, until in ((_US, "us", _MS), (_MS, "ms", _S), (_S, "s", 2 * _MIN), (_MIN, "min", 2 * _H)):
        if abs(ns) < until:
            return f"{_three(ns / unit)} {name}"
    return f"{_three(ns / _H)} h" if abs(ns) < 2 * _DAY else f"{_three(ns / _DAY)} days"


def _three(value: float) -> str:
    """Three digits, more only before the point."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"  # noqa: PLR2004


def when(at_ns: Ns | None) -> str:
    """To the second, UTC."""
    return "unknown" if at_ns is None else f"{moment(at_ns):%Y-%m-%d %H:%M:%S}"


def clock(at_ns: Ns) -> str:
    """Time of the day with milliseconds, UTC."""
    return f"{moment(at_ns):%H:%M:%S.%f}"[:-3]


def moment(at_ns: Ns) -> datetime:
    return _EPOCH + timedelta(microseconds=at_ns // 1_000)


def at_ns(at: datetime) -> Ns:
    return (at - _EPOCH) // timedelta(microseconds=1) * 1_000


def chance(p: float) -> str:
    """A probability as `3 in 100`; never 0 and never certain."""
    if p < 0.001:  # noqa: PLR2004
        return "less than 1 in 1,000"
    if p > 0.99:  # noqa: PLR2004
        return "more than 99 in 100"
    return f"{p * 1000:.0f} in 1,000" if p < 0.01 else f"{p * 100:.0f} in 100"  # noqa: PLR2004


def once_in(level: float) -> str:
    """What lies beyond a bound of that level: `5 times in 100`."""
    return f"{(1.0 - level) * 100:.0f} times in 100"


def probability(p: float) -> str:
    """Rounded down, and never certain."""
    return "over 99 %" if p > 0.99 else "under 1 %" if p < 0.01 else f"{int(p * 100)} %"  # noqa: PLR2004


def sentence(text: str) -> str:
    """Begins large and ends with a stop."""
    return f"{text[:1].upper()}{text[1:]}{'' if text.endswith(('.', '!', '?')) else '.'}"
