"""`arbitrade fees`: fetch an account's fees with a query-only key, and show what is known of them."""

import json
import os
import subprocess
import sys
import time
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from arbitrade_core.commandline import (
    DemoOption,
    FeeSchedule,
    JsonOption,
    StoredSchedule,
    core_settings,
    keep_fees,
    kept_fees,
    print_json,
    print_table,
)
from arbitrade_core.domain import Ns
from arbitrade_core.errors import ArbitradeError
from arbitrade_core.money import BPS, ONE, ZERO, exact, plain, ratio
from arbitrade_kraken.account import schedule_file

app = typer.Typer(name="fees", no_args_is_help=True, help="An account's fees: fetch them, and show what is stored.")

_FETCHER = "arbitrade_kraken.fee_process"
_LONGEST_S = 600.0
_HOUR_NS = 3_600_000_000_000
_LEGS = 3
_SOLD_ON = Decimal(1_000)

AccountOption = Annotated[str | None, typer.Option(help="Of this account, as `list` shows it. Not set: of any.")]


class _Answer(msgspec.Struct):
    schedule: FeeSchedule | None = None
    refused: str | None = None


@app.command("fetch")
def fetch_fees(
    file: Annotated[
        Path | None,
        typer.Option(dir_okay=False, help="Write them to this file too, for ARBITRADE_KRAKEN__FEE_FILE."),
    ] = None,
    demo: DemoOption = False,
    as_json: JsonOption = False,
) -> None:
    """Ask Kraken for your account's fees and store them. Needs a key that can look and do nothing else.

    The key is read by a process of its own, which ends with the answer; a bot never has it (docs/fees.md).
    """
    schedule = _asked()
    stored = keep_fees(schedule, demo=demo)
    if file is not None:
        _write(file, schedule)
    now = time.time_ns()
    if as_json:
        print_json({**_told(schedule, now), "id": stored})
        return
    typer.echo(f"stored as number {stored}" + (f", and written to {file}" if file is not None else "") + "\n")
    _show(schedule, now)


@app.command("show")
def show_fees(account: AccountOption = None, demo: DemoOption = False, as_json: JsonOption = False) -> None:
    """Show the account's fees in force: those fetched last, how old they are, and what the next tier is worth."""
    known = kept_fees(1, account, demo=demo)
    now = time.time_ns()
    if as_json:
        print_json({"in_force": _told(known[0], now) if known else None})
    elif known:
        _show(known[0], now)
    else:
        typer.echo("no fees are stored; fetch them with `arbitrade fees fetch` (docs/fees.md says which key it needs)")


@app.command("list")
def list_fees(
    account: AccountOption = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many, newest first.")] = 20,
    demo: DemoOption = False,
    as_json: JsonOption = False,
) -> None:
    """Show every stored schedule: each is kept, so that a backtest can use the fees of its time."""
    known = kept_fees(limit, account, demo=demo)
    now = time.time_ns()
    if as_json:
        print_json({"schedules": [_head(one, now) for one in known]})
    elif not known:
        typer.echo("no fees are stored")
    else:
        print_table(
            ("id", "fetched (UTC)", "age", "account", "pairs", "taker bps", "30-day volume"),
            [
                (
                    one.id,
                    _utc(one.fetched_ns),
                    _age(now - one.fetched_ns),
                    one.account or one.source,
                    len(one.rates),
                    plain(_usual(one)[1] / BPS),
                    _money(one.volume, one.volume_currency),
                )
                for one in known
            ],
            right=("id", "pairs", "taker bps", "30-day volume"),
        )


# --- the process that has the key -----------------------------------------------------------------------------


def _asked() -> FeeSchedule:
    """What the process that has the key answers. Raises ArbitradeError."""
    # -P: what lies in the working directory must not stand in for what is installed.
    command = [sys.executable, "-P", "-m", _FETCHER]
    try:
        done = subprocess.run(  # noqa: S603 - our own module; the key is not among the arguments
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=_LONGEST_S, check=False
        )
    except subprocess.TimeoutExpired:
        raise ArbitradeError(f"Kraken's fees were not there within {_LONGEST_S:.0f} s; try again later") from None
    try:
        answer = msgspec.json.decode(done.stdout, type=_Answer)
    except msgspec.DecodeError:
        raise ArbitradeError(f"the process that asks Kraken ended with code {done.returncode} and no answer") from None
    if answer.schedule is None:
        raise ArbitradeError(answer.refused or "the process that asks Kraken gave no answer")
    return answer.schedule


def _write(file: Path, schedule: FeeSchedule) -> None:
    """In one move, so that a bot that reads it meanwhile sees the old one or the new one."""
    beside = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        beside.write_text(json.dumps(schedule_file(schedule), indent=1) + "\n", encoding="utf-8")
        beside.replace(file)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise ArbitradeError(f"the fees are stored, but {file} cannot be written: {error.strerror}") from error


# --- what is shown --------------------------------------------------------------------------------------------


def _show(schedule: FeeSchedule, now: Ns) -> None:
    typer.echo(f"{schedule.source}, fetched {_utc(schedule.fetched_ns)} UTC, {_age(now - schedule.fetched_ns)} ago")
    typer.echo(f"30-day volume: {_money(schedule.volume, schedule.volume_currency)}")
    for sentence in (_staleness(schedule, now), *_oddities(schedule)):
        if sentence:
            typer.echo(sentence)
    typer.echo()
    counted = Counter((each.taker, each.maker) for each in schedule.rates.values())
    print_table(
        ("taker bps", "maker bps", "pairs", "such as"),
        [
            (plain(taker / BPS), plain(maker / BPS), pairs, _such_as(schedule, taker, maker))
            for (taker, maker), pairs in counted.most_common()
        ],
        right=("taker bps", "maker bps", "pairs"),
    )
    typer.echo(f"\n{_break_even_words(schedule)}\n{_next_words(schedule)}")
    steps = len(schedule.steps())
    typer.echo(f"The account was told a ladder of {steps} steps." if steps else "The account was told no ladder.")


def _told(schedule: FeeSchedule, now: Ns) -> dict[str, Any]:
    _, taker = _usual(schedule)
    return {
        **_head(schedule, now),
        "rates": schedule.rates,
        "ladder": schedule.ladders,
        "details": schedule.details,
        "break_even": {"legs": _LEGS, "taker_bps": taker / BPS, "gain_bps": _break_even_bps([taker] * _LEGS)},
        "next_tier": _next(schedule),
    }


def _head(schedule: FeeSchedule, now: Ns) -> dict[str, Any]:
    return {
        "id": schedule.id if isinstance(schedule, StoredSchedule) else None,
        "source": schedule.source,
        "account": schedule.account,
        "fees_id": schedule.fees_id,
        "fetched_ns": schedule.fetched_ns,
        "age_h": round((now - schedule.fetched_ns) / _HOUR_NS, 3),
        "too_old": bool(_staleness(schedule, now)),
        "pairs": len(schedule.rates),
        "volume": schedule.volume,
        "volume_currency": schedule.volume_currency,
    }


def _staleness(schedule: FeeSchedule, now: Ns) -> str:
    longest_h = core_settings().risk.max_fees_age_h
    if now - schedule.fetched_ns <= longest_h * _HOUR_NS:
        return ""
    return (
        f"Too old to trade on: more than ARBITRADE_RISK__MAX_FEES_AGE_H ({plain(longest_h)} h). Fetch them anew with"
        " `arbitrade fees fetch`. Backtests still take them, and say their age."
    )


def _oddities(schedule: FeeSchedule) -> list[str]:
    without = schedule.details.get("pairs_without_fees", [])
    unread = schedule.details.get("ladders_not_understood", 0)
    return [
        sentence
        for sentence in (
            f"{len(without)} pairs have no fees and do not trade with these: {', '.join(without[:5])}"
            if without
            else "",
            f"The ladders of {unread} pairs came in a form that is not known here and are left out." if unread else "",
        )
        if sentence
    ]


def _such_as(schedule: FeeSchedule, taker: Decimal, maker: Decimal) -> str:
    symbols = [symbol for symbol, each in schedule.rates.items() if (each.taker, each.maker) == (taker, maker)]
    return ", ".join(symbols[:3])


def _usual(schedule: FeeSchedule) -> tuple[Decimal, Decimal]:
    """Maker and taker of most pairs."""
    return Counter((each.maker, each.taker) for each in schedule.rates.values()).most_common(1)[0][0]


def _break_even_bps(takers: list[Decimal]) -> Decimal:
    """What legs must gain before fees to lose nothing: the first buys, and its fee comes on top (PROTOCOL 4.2)."""
    with exact():
        spent, left = ONE + takers[0], ONE
        for fee in takers[1:]:
            left *= ONE - fee
    return (ratio(spent, left) - ONE) / BPS


def _break_even_words(schedule: FeeSchedule) -> str:
    _, taker = _usual(schedule)
    words = (
        f"Break-even: a cycle of three taker legs at {plain(taker / BPS)} bps must gain "
        f"{_break_even_bps([taker] * _LEGS):.1f} bps before fees"
    )
    cheapest = min(each.taker for each in schedule.rates.values())
    if cheapest < taker:
        words += (
            f"; with one leg at {plain(cheapest / BPS)} bps, the cheapest, "
            f"{_break_even_bps([taker, taker, cheapest]):.1f} bps"
        )
    return f"{words}."


def _next(schedule: FeeSchedule) -> dict[str, Any] | None:
    """The nearest tier above, and what it would be worth where most of its pairs are."""
    tier = schedule.next_tier()
    if not tier:
        return None
    now = Counter(
        (schedule.rates[symbol].taker, each.taker, schedule.rates[symbol].maker, each.maker, each.volume)
        for symbol, each in tier.items()
    )
    taker, next_taker, maker, next_maker, volume = now.most_common(1)[0][0]
    return {
        "volume": volume,
        "missing": None if schedule.volume is None else max(volume - schedule.volume, ZERO),
        "pairs": len(tier),
        "taker_bps": taker / BPS,
        "next_taker_bps": next_taker / BPS,
        "maker_bps": maker / BPS,
        "next_maker_bps": next_maker / BPS,
        "break_even_bps": _break_even_bps([taker] * _LEGS),
        "next_break_even_bps": _break_even_bps([next_taker] * _LEGS),
        "saved_per_1000": (taker - next_taker) * _SOLD_ON,
    }


def _next_words(schedule: FeeSchedule) -> str:
    tier = _next(schedule)
    if tier is None:
        return "Next tier: Kraken names none above this one."
    missing = "" if tier["missing"] is None else f" ({_money(tier['missing'], schedule.volume_currency)} more)"
    return (
        f"Next tier: from {_money(tier['volume'], schedule.volume_currency)} in 30 days{missing}, {tier['pairs']} pairs"
        f" change. On most of them a taker pays {plain(tier['next_taker_bps'])} bps instead of"
        f" {plain(tier['taker_bps'])}, a maker {plain(tier['next_maker_bps'])} instead of {plain(tier['maker_bps'])}:"
        f" {plain(tier['saved_per_1000'])} less for every 1,000 taken, and a cycle of three taker legs breaks even at"
        f" {tier['next_break_even_bps']:.1f} bps instead of {tier['break_even_bps']:.1f}."
    )


def _money(amount: Decimal | None, currency: str) -> str:
    return "not known" if amount is None else f"{amount:,.2f} {currency}"


def _age(age_ns: Ns) -> str:
    hours = age_ns / _HOUR_NS
    if hours < 1:
        return f"{hours * 60:.0f} min"
    return f"{hours:.1f} h" if hours < 48 else f"{hours / 24:.1f} days"  # noqa: PLR2004 - from there days say more


def _utc(at_ns: Ns) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(at_ns // 1_000_000_000))
