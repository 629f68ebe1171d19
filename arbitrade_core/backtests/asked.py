"""What somebody asks of a backtest, in words, and what the words mean. Nothing is looked up here.

Whatever is wrong is added to a list of problems, and something harmless stands in for it, so that one submission tells
all that is wrong with it.
"""

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

import msgspec
from pydantic import ValidationError

from arbitrade_core.errors import ArbitradeError
from arbitrade_core.replay.job import Range, SweepSpec

_DURATION = re.compile(r"(?:\d+(?:\.\d+)?[smhdw])+")
_PART = re.compile(r"(\d+(?:\.\d+)?)([smhdw])")
_YEARS = range(2000, 2200)
_UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_THRESHOLD = re.compile(r"(\d+(?:\.\d+)?)\s*([A-Za-z][A-Za-z0-9.]*)")
_RANGE = re.compile(r"[^:,\[{]+:[^:,]+(?::[^:,]+){0,2}")


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """A submission as it is told: text, as the command line and a form have it. Not set: as the settings say."""

    name: str = ""
    start: str | None = None
    """ISO 8601; without a zone it is UTC"""
    end: str | None = None
    """not set: now"""
    last: str | None = None
    """`2h`, `1d12h`: instead of start and end"""
    recording: int | None = None
    """only this one; alone, the whole of it"""
    pairs: tuple[str, ...] | None = None
    balances: tuple[str, ...] = ()
    """`USD=10000`"""
    min_profit: tuple[str, ...] = ()
    """`5bps`, `0.05USD`, or both"""
    fees: str = "api"
    slippage_bps: str | None = None
    latency_ms: str | None = None
    executor: str | None = None
    plugins: tuple[str, ...] | None = None
    seed: int = 0
    settings: tuple[str, ...] = ()
    """`risk.max_open_plans=3`"""
    curves: bool = True
    sweep: tuple[str, ...] = ()
    """`trading.min_edge_bps=2,5,10`, `paper.latency_ms=5:100:5`, `risk.cooldown_ms=10:10000:log`"""
    method: str = "grid"
    variants: int | None = None
    batch: int = 100
    objective: str = "profit"
    folds: int = 5
    strict: bool = False
    """refuse when anything of the range is missing"""
    processes: int | None = None
    dask: str | None = None


class JobRefused(ArbitradeError):
    """What was asked for cannot be run. `problems` are all there are; nothing was queued."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = list(dict.fromkeys(problems))
        many = len(self.problems) > 1
        head = f"the backtest has {len(self.problems)} problems, and nothing was queued:\n" if many else ""
        super().__init__(head + "\n".join(self.problems))


class Told(msgspec.Struct, frozen=True):
    """`Asked`, understood. What could not be understood is something harmless."""

    start: datetime | None
    """None: the beginning of the recording"""
    end: datetime | None
    balances: dict[str, Decimal]
    min_profit_bps: Decimal | None
    min_profit_valued: Decimal | None
    slippage_bps: Decimal
    latency_ms: int
    settings: dict[str, str]
    """by `section.setting`"""
    sweep: SweepSpec | None


def understood(asked: Asked, valuation_asset: str, now: datetime, problems: list[str]) -> Told:
    start, end = _times(asked, now, problems)
    bps, valued = _thresholds(asked.min_profit, valuation_asset, problems)
    return Told(
        start=start,
        end=end,
        balances=_balances(asked.balances, problems),
        min_profit_bps=bps,
        min_profit_valued=valued,
        slippage_bps=_number(asked.slippage_bps, Decimal(4), "--slippage-bps", "4", problems),
        latency_ms=int(_number(asked.latency_ms, Decimal(20), "--latency-ms", "20", problems)),
        settings=_settings(asked.settings, "--set", problems),
        sweep=_sweep(asked, problems),
    )


# --- times ----------------------------------------------------------------------------------------------------------


def _times(asked: Asked, now: datetime, problems: list[str]) -> tuple[datetime | None, datetime | None]:
    if asked.last is not None:
        if asked.start is not None or asked.end is not None:
            problems.append("--last and --from or --to exclude each other: give one range")
        return now - duration(asked.last, problems), now
    if asked.start is None and asked.recording is None:
        problems.append(
            "a time range is required: --last 2h, --from 2026-11-22T10:00 with or without --to, or --recording NUMBER"
        )
    start = None if asked.start is None else _time(asked.start, "--from", problems)
    end = None if asked.end is None else _time(asked.end, "--to", problems)
    if start is not None and end is None and asked.recording is None:
        end = now
    if start is not None and end is not None and end <= start:
        problems.append(
            f"the range from {start:%Y-%m-%d %H:%M:%S} to {end:%Y-%m-%d %H:%M:%S} UTC is empty: swap its ends"
        )
    return start, end


def duration(text: str, problems: list[str]) -> timedelta:
    if not _DURATION.fullmatch(text.strip()):
        problems.append(f"--last is {text!r}; write a duration such as 30m, 2h or 1d12h")
        return timedelta(hours=1)
    seconds = sum(float(count) * _UNITS[unit] for count, unit in _PART.findall(text))
    if not 0 < seconds < 20 * 366 * 86_400:
        problems.append(f"--last is {text!r}, which is no range of time; write 30m, 2h or 1d12h")
        return timedelta(hours=1)
    return timedelta(seconds=seconds)


def _time(text: str, option: str, problems: list[str]) -> datetime | None:
    try:
        found = datetime.fromisoformat(text.strip())
        found = found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
        if found.year in _YEARS:
            return found
    except (ValueError, OverflowError):
        pass
    problems.append(
        f"{option} is {text!r}; write a time such as 2026-11-22T10:00, 2026-11-22T10:00+01:00 or 2026-11-22"
    )
    return None


# --- amounts --------------------------------------------------------------------------------------------------------


def _balances(told: Iterable[str], problems: list[str]) -> dict[str, Decimal]:
    found: dict[str, Decimal] = {}
    for item in _items(told):
        asset, equals, text = (part.strip() for part in item.partition("="))
        amount = _decimal(text)
        if not asset or not equals or amount is None or amount < 0:
            problems.append(f"--balance is {item!r}; write an asset and an amount, such as USD=10000")
        elif asset in found:
            problems.append(f"--balance names {asset} twice; give it one amount")
        else:
            found[asset] = amount
    if not found and not any("--balance" in problem for problem in problems):
        problems.append("starting balances are required: --balance USD=10000, for several assets USD=10000,BTC=0.1")
    return found or {"USD": Decimal(1)}


def _thresholds(
    told: Iterable[str], valuation_asset: str, problems: list[str]
) -> tuple[Decimal | None, Decimal | None]:
    """In basis points, and in the valuation asset."""
    bps: Decimal | None = None
    valued: Decimal | None = None
    form = f"write 5bps, 0.05{valuation_asset}, or both: 5bps,0.05{valuation_asset}"
    before = len(problems)
    for item in _items(told):
        match = _THRESHOLD.fullmatch(item)
        amount = None if match is None else _decimal(match[1])
        if match is None or amount is None:
            problems.append(f"--min-profit is {item!r}; {form}")
        elif match[2].lower() == "bps":
            if amount >= 10_000:  # noqa: PLR2004 - everything
                problems.append(f"--min-profit is {item!r}, more than everything; {form}")
            elif bps is not None:
                problems.append("--min-profit gives basis points twice; give them once")
            bps = amount
        elif match[2] != valuation_asset:
            problems.append(f"--min-profit is {item!r}, but profits are stated in {valuation_asset}; {form}")
        elif valued is not None:
            problems.append(f"--min-profit gives {valuation_asset} twice; give it once")
        else:
            valued = amount
    if bps is None and valued is None:
        if len(problems) == before:
            problems.append(f"a least profit is required: --min-profit; {form}")
        bps = Decimal(0)
    return bps, valued


def _number(text: str | None, default: Decimal, option: str, example: str, problems: list[str]) -> Decimal:
    if text is None:
        return default
    unit = option.rpartition("-")[2]
    amount = _decimal(text.strip().removesuffix(unit).strip())
    whole = unit == "ms"
    if amount is None or not 0 <= amount < 10_000_000 or (whole and amount != int(amount)):  # noqa: PLR2004 - absurd
        kind = "a whole number" if whole else "a number"
        problems.append(f"{option} is {text!r}; write {kind}, such as {example}")
        return default
    return amount


def _decimal(text: str) -> Decimal | None:
    try:
        found = Decimal(text)
    except InvalidOperation:
        return None
    return found if found.is_finite() else None


# --- settings and sweeps --------------------------------------------------------------------------------------------


def _settings(told: Iterable[str], option: str, problems: list[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for item in told:
        path, equals, value = (part.strip() for part in item.partition("="))
        section, dot, name = path.partition(".")
        if not equals or not section or not dot or not name or not value:
            problems.append(f"{option} is {item!r}; write <section>.<setting>=<value>, such as risk.max_open_plans=3")
        elif path.lower() in found:
            problems.append(f"{option} names {path} twice; give it once")
        else:
            found[path.lower()] = value
    return found


def _sweep(asked: Asked, problems: list[str]) -> SweepSpec | None:
    if not asked.sweep:
        told = [
            option
            for option, given in (
                ("--variants", asked.variants is not None),
                ("--method", asked.method != "grid"),
                ("--dask", asked.dask is not None),
            )
            if given
        ]
        if told:
            problems.append(
                f"{' and '.join(told)} without a --sweep: name what to search, as --sweep paper.latency_ms=5,20"
            )
        return None
    space: dict[str, tuple[str, ...] | dict[str, Any]] = {
        path: _values(path, text, problems) for path, text in _settings(asked.sweep, "--sweep", problems).items()
    }
    raw: Mapping[str, Any] = {
        "space": space,
        "method": asked.method,
        "variants": asked.variants,
        "batch": asked.batch,
        "objective": asked.objective,
        "folds": asked.folds,
    }
    try:
        return SweepSpec.model_validate(raw)
    except ValidationError as error:
        for one in error.errors(include_url=False):
            where = ".".join(map(str, one["loc"]))
            problems.append(f"the sweep's {where} is {one['input']!r}: {one['msg'].removeprefix('Value error, ')}")
    return None


def _values(path: str, text: str, problems: list[str]) -> tuple[str, ...] | dict[str, Any]:
    if not _RANGE.fullmatch(text):
        values = tuple(item.strip() for item in text.split(",") if item.strip())
        if len(set(values)) < len(values):
            problems.append(f"--sweep {path} names a value twice: {text!r}")
        return values
    parts = [part.strip() for part in text.split(":")]
    log = parts[-1].lower() == "log"
    bounds = [_decimal(part) for part in (parts[:-1] if log else parts)]
    if None in bounds or len(bounds) not in (2, 3):
        problems.append(
            f"--sweep {path} is {text!r}; write values as 2,5,10, or a range as low:high, low:high:step, low:high:log"
        )
        return ("",)
    raw = dict(zip(("low", "high", "step"), bounds, strict=False)) | {"log": log}
    try:
        Range.model_validate(raw)
    except ValidationError as error:
        problems += [
            f"--sweep {path}: {one['msg'].removeprefix('Value error, ')}" for one in error.errors(include_url=False)
        ]
        return ("",)
    return raw


def _items(told: Iterable[str]) -> list[str]:
    return [item.strip() for text in told for item in text.split(",") if item.strip()]
