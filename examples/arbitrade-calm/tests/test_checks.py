"""What the plugin registers, together: the listener, the two checks, the panel, the doctor."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest
from arbitrade_core.domain import Ns
from arbitrade_core.hooks import Finding, Grade, PluginContext
from arbitrade_core.panels import Content
from arbitrade_core.spi import Detector, Listening, Refused, RiskCheck
from worlds import NO_PORT, NOW, SECOND, Market, desk, plan

from arbitrade_calm.plugin import doctor, register_detectors, register_panels, register_risk_checks
from arbitrade_calm.settings import CalmSettings

TRIANGLE = ("BTC/USD", "ETH/BTC", "ETH/USD")
ASIDE = ("DOGE/GBP", "ADA/DOT", "ADA/XRP", "XRP/DOT")
"""Pairs that no price is ever seen of."""


@dataclass
class Bot:
    """The plugin as a bot uses it."""

    market: Market
    ctx: PluginContext[CalmSettings]
    watch: Detector
    checks: Sequence[RiskCheck]
    now: Ns = NOW

    def passes(self, seconds: float, **prices: float) -> "Bot":
        """Time passes, then these mids are seen (`BTC_USD=50000.0`), with a spread of 2 bps."""
        self.now += int(seconds * SECOND)
        for name, mid in prices.items():
            self.watch.on_change(self.market.sees(name.replace("_", "/"), mid * 0.9999, mid * 1.0001), 3, self.now)
        return self

    def loses(self, symbol: str) -> None:
        self.watch.on_change(self.market.loses(symbol), 0, self.now)

    def asked(self, *symbols: str) -> Refused | None:
        asked = plan(self.market, *(symbols or TRIANGLE))
        answers = (check.check(asked, desk(self.market), self.now) for check in self.checks)
        return next((refused for refused in answers if refused is not None), None)

    def shown(self) -> Content:
        (panel,) = register_panels(self.ctx)
        return panel.content(self.now)


def bot(*, sees: bool = True, **settings: object) -> Bot:
    ctx = PluginContext("calm", CalmSettings.model_validate(settings), "USD", ("USD",))
    market = Market((*TRIANGLE, *ASIDE))
    (watch,) = register_detectors(ctx)
    started = Bot(market, ctx, watch, register_risk_checks(ctx))
    watch.rebuild(market, NO_PORT, NOW)
    return started.passes(0, BTC_USD=50_000.0, ETH_BTC=0.05, ETH_USD=2_500.0) if sees else started


def quiet(one: Bot, seconds: int) -> Bot:
    for _ in range(0, seconds, 10):
        one.passes(10, BTC_USD=50_000.0, ETH_BTC=0.05, ETH_USD=2_500.0)
    return one


# --- the listener ---


def test_it_listens_to_every_tradable_pair_and_finds_nothing() -> None:
    one = bot()
    assert isinstance(one.watch, Listening)
    assert one.watch.listens_only, "no book is fetched for its sake"
    watched = one.watch.rebuild(one.market, NO_PORT, one.now)
    assert {one.market.symbols[at] for at in watched} == {*TRIANGLE, *ASIDE}
    assert list(one.watch.on_change(0, 3, one.now)) == []
    assert (list(one.watch.active()), dict(one.watch.detections()), list(one.watch.ranked(9))) == ([], {}, [])
    one.market.delisted.add("ETH/BTC")
    assert {one.market.symbols[at] for at in one.watch.rebuild(one.market, NO_PORT, one.now)} == {
        "BTC/USD",
        "ETH/USD",
        *ASIDE,
    }


def test_the_same_messages_give_the_same_answers() -> None:
    told = [(0.3, 50_010.0), (4.9, 49_990.0), (5.1, 50_100.0), (0.1, 50_400.0), (60.0, 50_000.0)]

    def answers() -> list[Refused | None]:
        one = bot(max_volatility_bps=20)
        return [one.passes(seconds, BTC_USD=mid).asked() for seconds, mid in told]

    assert answers() == answers()


# --- hours ---


def test_outside_hours_a_plan_is_refused_until_the_opening() -> None:
    one = quiet(bot(hours="mon 14:30-15:00"), 60)  # it is Monday, 14:14
    words = "outside trading hours until Mon 2026-09-21 14:30 UTC"
    opening = int(datetime(2026, 9, 21, 14, 30, tzinfo=UTC).timestamp()) * SECOND
    assert one.asked() == Refused("calm_hours", words, opening)
    one.now = opening - 1
    assert one.asked() == Refused("calm_hours", words, opening)
    one.now = opening
    assert one.asked() is None


# --- volatility ---


def test_a_calm_market_lets_plans_pass_once_it_has_been_watched() -> None:
    one = bot(min_seen_s=60)
    early = quiet(one, 30).asked()
    assert early is not None
    assert (early.check, early.reason) == ("calm_volatility", "BTC/USD has been watched for 30 s, at least 60 s")
    assert early.until_ns == one.now + 30 * SECOND
    assert quiet(one, 30).asked() is None


def test_one_wild_pair_refuses_the_plans_through_it_alone() -> None:
    one = quiet(bot(max_volatility_bps=30), 120)
    for mid in (50_300.0, 49_900.0, 50_200.0):
        one.passes(10, BTC_USD=mid, ETH_BTC=0.05, ETH_USD=2_500.0)
    refused = one.asked()
    assert refused is not None
    assert refused.check == "calm_volatility"
    assert refused.reason.startswith("BTC/USD moves by ")
    assert refused.reason.endswith(" bps per sqrt(minute), limit 30 bps")
    assert one.asked("ETH/BTC", "ETH/USD") is None
    quiet(one, 3_600)
    assert one.asked() is None, "calm again"


def test_a_mispricing_is_not_held_against_the_plan_that_it_makes() -> None:
    one = quiet(bot(max_volatility_bps=30, sample_s=5), 120)
    assert one.passes(8, BTC_USD=52_000.0).asked() is None, "the price was calm before"
    assert one.passes(4.9).asked() is None
    assert one.passes(0.1).asked() is not None, "by now it is a movement like any other"


def test_a_message_that_puts_the_pair_out_of_use_leaves_no_trace() -> None:
    one = quiet(bot(max_volatility_bps=30, sample_s=5), 120)
    one.passes(8, BTC_USD=90_000.0).loses("BTC/USD")  # as when its checksum fails
    one.passes(2, BTC_USD=50_000.0)
    assert quiet(one, 60).asked() is None


def test_a_plan_rests_as_long_as_the_pair_must_stay_wild_and_no_longer() -> None:
    one = quiet(bot(max_volatility_bps=30, sample_s=1, half_life_s=60), 120)
    one.passes(1, BTC_USD=50_500.0).passes(1)
    refused = one.asked()
    assert refused is not None
    assert refused.until_ns is not None
    assert refused.until_ns > one.now + 60 * SECOND, "far away"
    one.now = refused.until_ns - 1
    assert one.asked() is not None
    one.now = refused.until_ns + 1  # floats are a nanosecond off at most
    assert one.asked() is None


def test_what_has_no_price_is_refused() -> None:
    one = quiet(bot(), 120)
    one.loses("ETH/USD")
    refused = one.asked()
    assert refused is not None
    assert "ETH/USD has no bid or no ask" in refused.reason
    never = one.asked("DOGE/GBP")
    assert never is not None
    assert "DOGE/GBP has no bid or no ask" in never.reason


@pytest.mark.parametrize(("outage_s", "passes"), [(20, True), (90, False)])
def test_a_short_outage_is_forgiven_and_a_long_one_starts_anew(outage_s: int, passes: bool) -> None:
    one = quiet(bot(min_seen_s=60), 120)
    one.loses("ETH/USD")
    one.passes(outage_s, ETH_USD=2_500.0)
    assert (one.asked() is None) is passes


def test_a_quiet_pair_is_no_outage() -> None:
    one = quiet(bot(min_seen_s=60), 60)
    assert one.passes(7_200).asked() is None


def test_a_pair_that_is_quiet_when_the_plugin_is_enabled_is_watched_from_then_on() -> None:
    one = bot(sees=False)
    for symbol, mid in zip(TRIANGLE, (50_000.0, 0.05, 2_500.0), strict=True):
        one.market.sees(symbol, mid * 0.9999, mid * 1.0001)
    one.watch.rebuild(one.market, NO_PORT, one.now)
    assert one.passes(60).asked() is None


# --- what people see ---


def test_the_panel_shows_hours_refusals_and_the_wildest_pairs_first() -> None:
    one = quiet(bot(max_volatility_bps=30), 120)
    one.passes(5, ETH_USD=2_600.0).passes(5)
    one.loses("ETH/BTC")
    one.asked("ETH/USD")
    shown = one.shown()
    refusals, volatility = shown.tables
    assert [(fact.label, fact.value) for fact in shown.facts] == [
        ("hours", "open"),
        ("calm pairs", "1 of 3"),
        ("limit", "30 bps per sqrt(minute)"),
    ]
    assert list(refusals.rows) == [("volatile", "1")]
    assert [(row[0], row[3]) for row in volatility.rows] == [
        ("ETH/USD", "volatile"),
        ("BTC/USD", "calm"),
        ("ETH/BTC", "no price"),
    ]
    for table in shown.tables:
        assert all(len(row) == len(table.columns) for row in table.rows)
    assert bot(hours="tue 00:00-24:00").shown().facts[0].value == "closed until Tue 2026-09-22 00:00 UTC"
    assert list(bot(sees=False).shown().tables[1].rows) == [], "pairs that never had a price are left out"


def test_doctor_says_whether_it_is_open_and_whether_the_samples_are_too_few() -> None:
    def found(**settings: object) -> list[Finding]:
        async def collect() -> list[Finding]:
            ctx = PluginContext("calm", CalmSettings.model_validate(settings), "USD", ("USD",))
            return [finding async for finding in doctor(ctx)]

        return asyncio.run(collect())

    assert [finding.grade for finding in found()] == [Grade.OK, Grade.OK]
    today = datetime.now(UTC)
    other_day = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")[(today.weekday() + 3) % 7]
    closed, sparse = found(hours=f"{other_day} 10:00-11:00", sample_s=900)
    assert (closed.grade, sparse.grade) == (Grade.WARNING, Grade.WARNING)
    assert "so every plan is refused" in closed.detail
    assert sparse.remedy == "set ARBITRADE_CALM__SAMPLE_S to 30 or less"
