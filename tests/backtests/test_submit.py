"""From what was asked to a job in the queue, or to everything that is wrong with it."""

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from arbitrade_core.backtests import api
from arbitrade_core.backtests.asked import Asked, JobRefused
from arbitrade_core.backtests.tools import Pairs
from arbitrade_core.errors import ArbitradeError
from arbitrade_core.replay.results import Coverage
from arbitrade_core.replay.stage import headline_wishes
from arbitrade_core.replay.statistics import Window
from arbitrade_core.settings.environment import variables
from arbitrade_core.settings.model import CoreSettings
from arbitrade_core.storage import backtests as storage
from arbitrade_core.storage import fee_schedules
from arbitrade_core.storage.connect import Pool
from arbitrade_core.storage.fee_schedules import FeeSchedule, Ladder, PairRates, Step
from arbitrade_core.storage.overrides import Change, Version, add
from tests.backtests.fakes import START, TOOLS, coverage
from tests.executors import PATIENT, patient_too

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 11, 20, 11, 30, tzinfo=UTC)
RATES = "rates:maker=16bps,taker=26bps"


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for variable in variables(CoreSettings):
        monkeypatch.delenv(variable.name, raising=False)
    monkeypatch.chdir(tmp_path)


def asked(**more: object) -> Asked:
    told: dict[str, object] = {
        "start": "2026-11-20T10:00",
        "end": "2026-11-20T11:00",
        "balances": ("USD=10000",),
        "min_profit": ("5bps",),
        "fees": RATES,
    }
    return Asked(**(told | more))  # type: ignore[arg-type]


async def submitted(pool: Pool, **more: object) -> api.Submitted:
    return await api.submit(pool, asked(**more), TOOLS, "me", NOW)


async def refused(pool: Pool, **more: object) -> list[str]:
    """Why; nothing is queued."""
    with pytest.raises(JobRefused) as caught:
        await submitted(pool, **more)
    assert await storage.jobs(pool, 10) == []
    assert await pool.fetchval("SELECT count(*) FROM recording_pins") == 0
    return caught.value.problems


async def test_a_job_holds_all_that_its_result_depends_on(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARBITRADE_RISK__MAX_OPEN_PLANS", "3")
    monkeypatch.setenv("ARBITRADE_LOG__LEVEL", "error")
    monkeypatch.setenv("ARBITRADE_SHADOWS", "tight.trading.min_edge_bps=10")
    monkeypatch.setenv("ARBITRADE_KRAKEN__FEE_KEY", "secret-canary")
    monkeypatch.setenv("ARBITRADE_KRAKEN__FEE_SECRET", "secret-canary")
    told = await submitted(pool, settings=("risk.cooldown_ms=50", "kraken.depth=25"), name="mine")
    job = await api.spec(pool, told.id)
    assert job.settings == {
        "ARBITRADE_RISK__MAX_OPEN_PLANS": "3",
        "ARBITRADE_RISK__COOLDOWN_MS": "50",
        "ARBITRADE_KRAKEN__DEPTH": "25",
    }
    assert (job.start, job.min_profit_bps, job.balances) == (START, Decimal(5), {"USD": Decimal(10_000)})
    assert job.fees.rates["ETH/BTC"].taker == Decimal("0.0026")
    row = await api.job(pool, told.id)
    assert (row.state, row.actor, row.name, row.about["fees"]["pairs"]) == ("queued", "me", "mine", 3)
    assert "secret-canary" not in await pool.fetchval("SELECT string_agg(t::text, '') FROM backtest_jobs AS t")
    assert [one.action for one in await api.audit(pool, told.id)] == ["submit"]


async def test_secrets_are_refused(pool: Pool) -> None:
    (told,) = await refused(pool, settings=("kraken.fee_secret=canary",))
    assert "it is a secret" in told
    assert "canary" not in told


async def test_its_days_stay_until_it_has_ended(pool: Pool) -> None:
    told = await submitted(pool)
    assert await pool.fetchval("SELECT count(*) FROM recording_pins") == 1
    await api.cancel(pool, told.id, TOOLS, "me")
    assert await pool.fetchval("SELECT count(*) FROM recording_pins") == 0


async def test_settings_that_were_overridden_count(pool: Pool) -> None:
    name = "ARBITRADE_RISK__MAX_OPEN_PLANS"
    values = {name: "2"}
    changes = {name: Change(None, "2")}
    await add(pool, Version(version=1, at_ns=1, actor="me", reason="", changes=changes, values=values))
    job = await api.spec(pool, (await submitted(pool)).id)
    assert job.settings[name] == "2"


async def test_everything_that_is_wrong_is_told_at_once(pool: Pool) -> None:
    told = await refused(
        pool,
        settings=("risk.max_open_plan=3", "risk.cooldown_ms=often", "trading.min_edge_bps=3", "log.level=info"),
        executor="magic",
        balances=(),
        pairs=("ETH/BTX",),
        sweep=("paper.latency_m=1,2",),
    )
    for words in (
        "Did you mean ARBITRADE_RISK__MAX_OPEN_PLANS",
        "ARBITRADE_RISK__COOLDOWN_MS is 'often' (the backtest)",
        "--min-profit 5bps",
        "log.level: it is the process's",
        "starting balances are required",
        "did you mean ETH/BTC?",
    ):
        assert any(words in one for one in told), (words, told)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"executor": "magic"}, "--executor is 'magic'; those that carry out cycles are sequential"),
        ({"plugins": ("kraken", "magic")}, "magic"),
        ({"sweep": ("paper.latency_m=1,2",)}, "Did you mean paper.latency_ms"),
        ({"sweep": ("paper.latency_ms=1,x",)}, "paper.latency_ms"),
        ({"start": "2026-01-01", "end": "2026-01-02"}, "nothing was recorded from 2026-01-01"),
        ({"recording": 7}, "there is no recording 7"),
        ({"recording": 1, "start": "2026-01-01", "end": "2026-01-02"}, "and nothing of the range"),
        ({"fees": "free"}, "--fees is 'free'; write api, settings"),
        ({"fees": "rates:maker=16,taker=26"}, "write rates:maker=16bps,taker=26bps"),
        ({"fees": "tier:none"}, "'none' is no tier known here"),
        ({"fees": "file:nowhere.toml"}, "nowhere.toml cannot be read"),
        ({"fees": "settings"}, "no fees are configured"),
        ({"strict": True, "end": "2026-11-20T12:00"}, "--strict: not recorded: 50.0% of the range"),
        ({"strict": True, "pairs": ("ETH/USD", "DOGE/USD")}, "never recorded in the range: DOGE/USD"),
    ],
)
async def test_what_cannot_run_is_refused(pool: Pool, more: dict[str, object], words: str) -> None:
    told = await refused(pool, **more)
    assert any(words in one for one in told), told


async def test_what_is_missing_is_told_and_kept(pool: Pool) -> None:
    told = await submitted(pool, end="2026-11-20T12:00", pairs=("ETH/USD", "ETH/BTC"))
    assert any(note.startswith("not recorded: 50.0% of the range") for note in told.notes)
    assert (await api.job(pool, told.id)).notes == list(told.notes)


async def test_a_whole_recording_lacks_nothing(pool: Pool) -> None:
    told = await submitted(pool, start=None, end=None, recording=1)
    assert told.notes == ()
    assert (await api.spec(pool, told.id)).start == START


# --- fees -----------------------------------------------------------------------------------------------------------


async def test_without_an_accounts_schedule_api_is_refused_with_the_alternatives(pool: Pool) -> None:
    (told,) = await refused(pool, fees="api")
    for words in ("arbitrade fees fetch", "tier:NAME", "file:PATH", "rates:maker=16bps"):
        assert words in told


async def test_the_accounts_schedule_is_told_with_its_age_and_ladder(pool: Pool) -> None:
    rate = PairRates(Decimal("0.001"), Decimal("0.002"))
    fetched_ns = int(NOW.timestamp() - 3 * 3_600) * 10**9
    symbols = ("BTC/USD", "ETH/BTC")
    steps = tuple(
        Step(Decimal(volume), Decimal("0.001"), Decimal(taker)) for volume, taker in ((0, "0.003"), (9, "0.002"))
    )
    schedule = FeeSchedule(
        source="account ...fees",
        account="...fees",
        fetched_ns=fetched_ns,
        rates=dict.fromkeys(symbols, rate),
        ladders=(Ladder(symbols, steps),),
    )
    await fee_schedules.store(pool, schedule)
    told = await submitted(pool, fees="api")
    job = await api.spec(pool, told.id)
    assert job.fees.rates["BTC/USD"].taker == Decimal("0.002")
    assert "account ...fees, fetched 3 h before" in job.fees.source
    assert [step.fees.rates["BTC/USD"].taker for step in job.ladder] == [Decimal("0.003"), Decimal("0.002")]
    assert any("no fee is known for ETH/USD" in note for note in told.notes)


async def test_a_tier_stands_instead_of_what_the_settings_say(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARBITRADE_KRAKEN__FEE_CRYPTO_MAKER_BPS", "1")
    monkeypatch.setenv("ARBITRADE_KRAKEN__FEE_CRYPTO_TAKER_BPS", "2")
    job = await api.spec(pool, (await submitted(pool, fees="settings")).id)
    assert job.fees.rates["BTC/USD"].taker == Decimal("0.0002")
    job = await api.spec(pool, (await submitted(pool, fees="tier:2024-03/50000")).id)
    assert "2024-03/50000" in job.fees.source
    assert len(job.ladder) > 3, "the published ladder before 2026-07 has all its steps"


# --- afterwards -----------------------------------------------------------------------------------------------------


async def test_what_is_not_there_is_said(pool: Pool) -> None:
    number = (await submitted(pool)).id
    for ask in (api.job(pool, 99), api.result(pool, 99), api.cancel(pool, 99, TOOLS, "me"), api.delete(pool, 99, "me")):
        with pytest.raises(ArbitradeError, match="there is no backtest 99"):
            await ask
    with pytest.raises(ArbitradeError, match=f"backtest {number} has no report: it is queued"):
        await api.result(pool, number)
    with pytest.raises(ArbitradeError, match="cancel it first"):
        await api.delete(pool, number, "me")
    with pytest.raises(ArbitradeError, match="no sweep"):
        await api.variants(pool, number)


def test_an_environment_file_keeps_what_else_it_says(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text("# mine\nA=1\nexport B=2\nA=3\nC=4\n")
    file.chmod(0o600)
    api.write_environment(file, {"A": "5", "D": 'a "quoted" one'})
    assert file.read_text() == "# mine\nexport B=2\nC=4\nA=5\nD='a \"quoted\" one'\n"
    assert file.stat().st_mode & 0o777 == 0o600
    with pytest.raises(ArbitradeError, match="cannot be written"):
        api.write_environment(tmp_path / "no" / "where", {"A": "5"})


async def test_recordings_that_another_one_overlaps_are_told_and_nothing_is_missing_for_them(pool: Pool) -> None:
    async def two(pool: Pool, window: Window, recording: int | None, pairs: Pairs) -> Coverage:
        return msgspec.structs.replace(await coverage(pool, window, recording, pairs), overlapped=(2, 5))

    tools = replace(TOOLS, coverage=two)
    told = await api.submit(pool, asked(strict=True), tools, "me", NOW)
    (note,) = [note for note in told.notes if "not read" in note]
    assert note.startswith("recording 2, 5 of the range is not read")
    assert "--recording" in note


async def test_balances_that_no_pair_values_are_told(pool: Pool) -> None:
    async def notes(pairs: tuple[str, ...], *balances: str) -> list[str]:
        told = await submitted(pool, pairs=pairs, balances=balances)
        return [note for note in told.notes if "values" in note]

    assert await notes(("BTC/USD", "ETH/BTC"), "USD=100", "ETH=1", "BTC=1") == []
    (note,) = await notes(("ETH/BTC",), "USD=100", "ETH=1", "BTC=1")
    assert "no pair of the backtest values ETH, BTC in USD" in note
    assert "ETH/USD" in note


async def test_every_executor_of_cycles_gets_curves_unless_one_is_named(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    patient_too(monkeypatch)

    async def executors(**more: object) -> tuple[str, ...]:
        return (await api.spec(pool, (await submitted(pool, **more)).id)).executors

    assert await executors() == ("sequential", PATIENT)
    assert await executors(settings=(f"execution.executors=cycle={PATIENT}",)) == (PATIENT, "sequential")
    assert await executors(executor=PATIENT) == (PATIENT,)


async def test_pairs_are_those_of_the_settings_where_none_are_named(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ARBITRADE_TRADING__PAIRS", "ETH/USD,BTC/USD,ETH/BTC")
    assert set((await api.spec(pool, (await submitted(pool)).id)).pairs or ()) == {"ETH/USD", "BTC/USD", "ETH/BTC"}
    assert (await api.spec(pool, (await submitted(pool, pairs=("ETH/USD",))).id)).pairs == ("ETH/USD",)


async def test_a_strategy_that_decides_from_what_all_desks_hold_has_one_desk_alone_and_no_sweep(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ARBITRADE_EXPERIMENTAL", "statarb")
    monkeypatch.setenv("ARBITRADE_STATARB__ALLOCATION", "BTC=0.1,ETH=1,USD=100")
    plugins = ("kraken", "triangular", "statarb")
    told = await submitted(pool, balances=("USD=10000,BTC=1,ETH=10",), plugins=plugins)
    assert [wish.name for wish in headline_wishes(await api.spec(pool, told.id))] == ["headline"]
    assert any("statarb decides from what all accounts of a replay hold" in note for note in told.notes)
    without = await submitted(pool, plugins=("kraken", "triangular"))
    assert len(headline_wishes(await api.spec(pool, without.id))) > 2
    with pytest.raises(JobRefused, match="--sweep: statarb decides from what all variants hold and pay"):
        await submitted(pool, plugins=plugins, sweep=("trading.min_edge_bps=2,5",))
    assert len(await storage.jobs(pool, 10)) == 2
