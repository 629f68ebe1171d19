"""The fee profile of a job: `api`, `settings`, `recorded`, `tier:NAME`, `file:PATH`, `rates:maker=16bps,taker=26bps`.

`api` is the account's own schedule as it was fetched last. `tier` and `file` are what an enabled fee source makes of
its settings `fee_tier` and `fee_file`; `settings` what the bot would reckon with now, `recorded` what
the one did that recorded. `rates` are the same for every pair.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

from arbitrade_core.backtests.tools import Recorded
from arbitrade_core.composition import Loaded, load
from arbitrade_core.domain import Ns, Pair
from arbitrade_core.errors import ArbitradeError, SettingsError
from arbitrade_core.hooks import FeeLadder
from arbitrade_core.money import BPS, plain
from arbitrade_core.plugins.setup import Setup
from arbitrade_core.replay.fees import fees_of, steps_of
from arbitrade_core.replay.job import FeeRates, Fees, FeeStep
from arbitrade_core.settings.environment import instead_of_environment
from arbitrade_core.storage import fee_schedules
from arbitrade_core.storage.connect import Pool

PROFILES = "api, settings, recorded, tier:NAME, file:PATH, or rates:maker=16bps,taker=26bps"
ALTERNATIVES = (
    "fetch it once with a query-only key (`arbitrade fees fetch`), or name the fees: --fees tier:NAME, "
    "--fees file:PATH, --fees rates:maker=16bps,taker=26bps, or --fees settings for those that the bot is told"
)
_DESK = "fees"
_HOUR_NS = 3_600_000_000_000


@dataclass(frozen=True, slots=True)
class Profile:
    """A profile resolved."""

    fees: Fees
    ladder: tuple[FeeStep, ...] = ()
    notes: tuple[str, ...] = ()


def known(profile: str, problems: list[str]) -> None:
    """What can be said against it before anything is looked up."""
    kind, _, rest = profile.partition(":")
    match kind:
        case "api" | "settings" | "recorded" if not rest:
            pass
        case "tier" | "file" if rest:
            pass
        case "rates":
            _rates(rest, problems)
        case _:
            problems.append(f"--fees is {profile!r}; write {PROFILES}")


async def resolve(  # noqa: PLR0917 - each is something else
    profile: str, loaded: Loaded, pairs: Sequence[Pair], pool: Pool, now: Ns, recorded: Sequence[Recorded]
) -> Profile:
    """The fees of these pairs.

    Raises:
        SettingsError: there are none, with what to do.
    """
    kind, _, rest = profile.partition(":")
    match kind:
        case "api":
            return await _of_account(pool, now, loaded)
        case "rates":
            return Profile(_stated(rest, pairs, now))
        case "tier" | "file":
            return _of_plugin(_told(loaded, f"fee_{kind}", rest, profile), pairs, now, profile)
        case "recorded":
            # Those of the bot that recorded last, whatever the settings say now.
            told = dict(recorded[-1].settings) if recorded else {}
            return _of_plugin(told, pairs, now, profile)
        case _:
            return _of_plugin(loaded.settings.given.values, pairs, now, profile)


async def _of_account(pool: Pool, now: Ns, loaded: Loaded) -> Profile:
    schedule = await fee_schedules.newest(pool)
    if schedule is None:
        raise SettingsError([f"--fees api: no account's schedule is stored; {ALTERNATIVES}"])
    age_ns = max(0, now - schedule.fetched_ns)
    told = f"{schedule.source}, fetched {_age(age_ns)} before the job was submitted"
    notes = [f"fees: {told}"]
    most_h = loaded.core.risk.max_fees_age_h
    if Decimal(age_ns) > most_h * _HOUR_NS:
        notes.append(
            f"those fees are older than the {plain(most_h)} h that trading allows; `arbitrade fees fetch` renews them"
        )
    fees = fees_of(schedule.snapshot()).model_copy(update={"source": told})
    return Profile(fees, steps_of(schedule.steps()), tuple(notes))


def _age(age_ns: int) -> str:
    minutes = age_ns // 60_000_000_000
    if minutes < 120:  # noqa: PLR2004 - two hours
        return f"{minutes} min"
    return f"{minutes // 60} h" if minutes < 2 * 1440 else f"{minutes // 1440} days"


# --- of plugins -----------------------------------------------------------------------------------------------------


def _told(loaded: Loaded, setting: str, value: str, profile: str) -> Mapping[str, str]:
    """The environment's variables with this one source of fees instead of any other of its plugin."""
    owner = next(
        (name for name, section in loaded.settings.sections.items() if setting in type(section).model_fields), None
    )
    if owner is None:
        raise SettingsError([f"--fees {profile}: no enabled plugin has the setting {setting}; write {PROFILES}"])
    told = dict(loaded.settings.given.values)
    for variable in loaded.settings.variables:
        last = variable.path[-1]
        if variable.path[0] != owner:
            continue
        if last == setting:
            told[variable.name] = value
        elif last in ("fee_tier", "fee_file") or (last.startswith("fee_") and last.endswith("_bps")):
            told.pop(variable.name, None)
    return told


def _of_plugin(told: Mapping[str, str], pairs: Sequence[Pair], now: Ns, profile: str) -> Profile:
    with instead_of_environment(told, f"--fees {profile}"):
        fresh = load()
        setup = Setup(fresh.catalogue, fresh.settings, {_DESK: fresh.settings})
        setup.register_all()
        fees = fees_of(setup.fees(pairs, now))
        ladder: tuple[FeeStep, ...] = ()
        for sources in setup.fee_sources.values():
            for source in sources:
                if isinstance(source, FeeLadder) and not ladder:
                    ladder = _steps(source, pairs, now)
    return Profile(fees, ladder, (f"fees: {fees.source}",))


def _steps(source: FeeLadder, pairs: Sequence[Pair], now: Ns) -> tuple[FeeStep, ...]:
    try:
        return steps_of(source.ladder(pairs, now))
    except ArbitradeError:
        return ()  # this one has no fees; another one had


# --- stated ---------------------------------------------------------------------------------------------------------


def _stated(text: str, pairs: Sequence[Pair], now: Ns) -> Fees:
    problems: list[str] = []
    rates = _rates(text, problems)
    if problems:
        raise SettingsError(problems)
    told = f"{plain(rates.maker / BPS)} bps maker, {plain(rates.taker / BPS)} bps taker, stated for every pair"
    return Fees(
        id=hashlib.sha256(f"{told} {rates.currency}".encode()).hexdigest()[:16],
        source=told,
        as_of_ns=now,
        rates={pair.symbol: rates for pair in sorted(pairs, key=lambda pair: pair.symbol)},
    )


def _rates(text: str, problems: list[str]) -> FeeRates:
    parts = {
        name.strip(): value for part in text.split(",") if part.strip() for name, _, value in (part.partition("="),)
    }
    currency = parts.pop("currency", "quote").strip()
    maker, taker = (_fraction(parts.pop(name, "")) for name in ("maker", "taker"))
    if (
        parts
        or taker is None
        or maker is None
        or not 0 <= taker < 1
        or not -1 < maker < 1
        or currency not in _CURRENCIES
    ):
        problems.append(
            f"--fees is 'rates:{text}'; write rates:maker=16bps,taker=26bps, where it matters with currency=quote, "
            "base or either"
        )
        return FeeRates(maker=Decimal(0), taker=Decimal(0))
    return FeeRates.model_validate({"maker": maker, "taker": taker, "currency": currency})


_CURRENCIES = ("quote", "base", "either")


def _fraction(text: str) -> Decimal | None:
    """`16bps` or `0.16%`; None: neither."""
    text = text.strip()
    for suffix, factor in (("bps", BPS), ("%", Decimal("0.01"))):
        if text.endswith(suffix):
            try:
                found = Decimal(text.removesuffix(suffix).strip())
            except InvalidOperation:
                return None
            return found * factor if found.is_finite() else None
    return None
