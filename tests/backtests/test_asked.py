"""What people write, and what is told of it when it is wrong."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arbitrade_core.backtests.asked import Asked, Told, understood
from arbitrade_core.replay.job import Range

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


def asked(**more: object) -> Asked:
    told: dict[str, object] = {"last": "2h", "balances": ("USD=10000",), "min_profit": ("5bps",)}
    return Asked(**(told | more))  # type: ignore[arg-type]


def read(told: Asked) -> Told:
    problems: list[str] = []
    found = understood(told, "USD", NOW, problems)
    assert problems == []
    return found


def wrong(told: Asked) -> list[str]:
    problems: list[str] = []
    understood(told, "USD", NOW, problems)
    return problems


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("30m", timedelta(minutes=30)),
        ("1d12h", timedelta(hours=36)),
        ("90s", timedelta(seconds=90)),
        ("1.5h", timedelta(minutes=90)),
    ],
)
def test_a_duration_is_up_to_now(text: str, span: timedelta) -> None:
    told = read(asked(last=text))
    assert (told.start, told.end) == (NOW - span, NOW)


def test_times_are_utc_unless_they_say_otherwise() -> None:
    told = read(asked(last=None, start="2026-11-22T10:00", end="2026-11-22T12:30+01:00"))
    assert told.start == datetime(2026, 11, 22, 10, tzinfo=UTC)
    assert told.end == datetime(2026, 11, 22, 11, 30, tzinfo=UTC)
    assert read(asked(last=None, start="2026-11-22")).end == NOW
    assert read(asked(last=None, recording=3)).start is None


def test_amounts_are_exact() -> None:
    told = read(asked(balances=("USD=10000, BTC=0.1", "EUR=5"), min_profit=("2.5bps,0.05USD",), slippage_bps="3bps"))
    assert told.balances == {"USD": Decimal(10_000), "BTC": Decimal("0.1"), "EUR": Decimal(5)}
    assert (told.min_profit_bps, told.min_profit_valued) == (Decimal("2.5"), Decimal("0.05"))
    assert (told.slippage_bps, told.latency_ms) == (Decimal(3), 20)
    assert read(asked(min_profit=("0.05USD",))).min_profit_bps is None
    assert read(asked(latency_ms="7ms")).latency_ms == 7


def test_a_sweep_reads_values_and_ranges() -> None:
    values = ("trading.min_edge_bps=2,5,10", "paper.latency_ms=5:100:5", "risk.cooldown_ms=10:10000:log")
    told = read(asked(sweep=(*values, "risk.max_open_plans=1:9"), method="random", variants=20)).sweep
    assert told is not None
    assert told.space == {
        "trading.min_edge_bps": ("2", "5", "10"),
        "paper.latency_ms": Range(low=Decimal(5), high=Decimal(100), step=Decimal(5)),
        "risk.cooldown_ms": Range(low=Decimal(10), high=Decimal(10_000), log=True),
        "risk.max_open_plans": Range(low=Decimal(1), high=Decimal(9)),
    }
    assert told.variants == 20


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"last": None}, "a time range is required"),
        ({"last": "soon"}, "--last is 'soon'"),
        ({"last": "0h"}, "no range of time"),
        ({"start": "2026-11-22"}, "exclude each other"),
        ({"last": None, "start": "yesterday"}, "--from is 'yesterday'"),
        ({"last": None, "start": "0001-01-01"}, "--from is '0001-01-01'"),
        ({"last": None, "start": "2026-11-22T11:00", "end": "2026-11-22T10:00"}, "swap its ends"),
        ({"balances": ()}, "starting balances are required"),
        ({"balances": ("USD",)}, "--balance is 'USD'"),
        ({"balances": ("USD=-1",)}, "--balance is 'USD=-1'"),
        ({"balances": ("USD=nan",)}, "--balance is 'USD=nan'"),
        ({"balances": ("USD=1,USD=2",)}, "twice"),
        ({"min_profit": ()}, "a least profit is required"),
        ({"min_profit": ("5",)}, "--min-profit is '5'; write 5bps, 0.05USD"),
        ({"min_profit": ("5EUR",)}, "profits are stated in USD"),
        ({"min_profit": ("20000bps",)}, "more than everything"),
        ({"latency_ms": "1.5"}, "--latency-ms is '1.5'; write a whole number"),
        ({"slippage_bps": "much"}, "--slippage-bps is 'much'"),
        ({"settings": ("risk.max_open_plans",)}, "--set is 'risk.max_open_plans'"),
        ({"settings": ("a.b=1", "a.b=2")}, "twice"),
        ({"sweep": ("paper.latency_ms=9:1",)}, "holds nothing"),
        ({"sweep": ("paper.latency_ms=1:2:3:4",)}, "low:high:step"),
        ({"sweep": ("paper.latency_ms=5,5",)}, "names a value twice"),
        ({"variants": 3}, "--variants without a --sweep"),
    ],
)
def test_what_is_wrong_is_said(more: dict[str, object], words: str) -> None:
    assert any(words in problem for problem in wrong(asked(**more))), wrong(asked(**more))


def test_everything_that_is_wrong_is_said_at_once() -> None:
    told = wrong(Asked(min_profit=("x",), settings=("y",), latency_ms="z", sweep=("paper.latency_ms=3:1",)))
    assert len(told) == 6


@given(st.text(max_size=30), st.text(max_size=30), st.text(max_size=30))
def test_nothing_that_is_written_breaks_it(one: str, two: str, three: str) -> None:
    problems: list[str] = []
    told = Asked(
        start=one,
        end=two,
        balances=(three, f"USD={one}"),
        min_profit=(two,),
        sweep=(f"a.b={one}:{two}",),
        settings=(one,),
    )
    understood(told, "USD", NOW, problems)
    understood(Asked(last=one, sweep=(two, f"a.b={three}"), latency_ms=one, slippage_bps=two), "USD", NOW, problems)
