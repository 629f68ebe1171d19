"""A recording followed by other desks: what they decide is what the running bot would have decided."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace as with_other
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from arbitrade_core.errors import ArbitradeError, ProtocolError, SettingsError
from arbitrade_core.events import Closed, Frame
from arbitrade_core.recording.entries import Chunk, Entry, Gap, State
from arbitrade_core.replay.driver import Cancelled, listing, replay
from arbitrade_core.replay.job import JobSpec
from arbitrade_core.replay.report.figures import report
from arbitrade_core.replay.results import DeskResult, ReplayResult
from arbitrade_core.replay.stage import DeskWish, headline_wishes
from tests.executors import PATIENT, patient_too
from tests.replay.recordings import CHUNK_ENTRIES, SECOND, Recorded, chunked, moment, recorded

ALONE = DeskWish("alone")


@pytest.fixture(scope="module")
def run() -> Recorded:
    return recorded(20)


def replayed(run: Recorded, *wishes: DeskWish, chunks: Sequence[Chunk] | None = None, **told: Any) -> ReplayResult:
    job = run.job(curves=False, **told)
    return replay(job, wishes or (ALONE,), run.chunks if chunks is None else chunks, run.coverage)


def traded(desk: DeskResult) -> list[tuple[Any, ...]]:
    return [(plan.key, plan.decided_ns, plan.outcome, plan.profit_valued, plan.ended_ns) for plan in desk.plans]


# --- one truth ----------------------------------------------------------------------------------------------


def test_following_a_run_with_its_own_settings_trades_what_it_traded(run: Recorded) -> None:
    """Same plans, same ends, to the last digit: the live run's commits took 1 ms, so the replay's do."""
    desk = replayed(run, commit_ms=Decimal(1)).desks["alone"]
    plans = {record.data["id"]: record.data for record in run.records if record.kind == "plan"}
    ends = [record for record in run.records if record.kind in ("end", "drop")]
    live = [
        (
            plans[end.data["plan"]]["key"],
            plans[end.data["plan"]]["decided_ns"],
            end.data.get("outcome", "gone"),
            None if end.data.get("profit_valued") is None else Decimal(end.data["profit_valued"]),
            end.time_ns,
        )
        for end in ends
    ]
    assert len(live) > 30
    assert sorted(traded(desk)) == sorted(live)


def test_every_checksum_is_right(run: Recorded) -> None:
    market = replayed(run).market
    assert market.frames == sum(isinstance(entry, Frame) for entry in run.entries if entry.now < run.end_ns)
    assert market.checksums_ok == market.updates > 3_000
    assert market.checksums_bad == 0
    assert not market.faults


def test_the_same_job_has_the_same_hash_whatever_the_process(run: Recorded, tmp_path: Any) -> None:
    here = replayed(run)
    assert replayed(run).decisions == here.decisions
    told = tmp_path / "job"
    told.write_bytes(msgspec.msgpack.encode((run.job(curves=False).model_dump_json(), run.chunks)))
    code = (
        "import msgspec, sys, pathlib\n"
        "from arbitrade_core.recording.entries import Chunk\n"
        "from arbitrade_core.replay.driver import replay\n"
        "from arbitrade_core.replay.job import JobSpec\n"
        "from arbitrade_core.replay.results import Coverage\n"
        "from arbitrade_core.replay.stage import DeskWish\n"
        "from arbitrade_core.replay.statistics import Window\n"
        "job, chunks = msgspec.msgpack.decode(pathlib.Path(sys.argv[1]).read_bytes(), type=tuple[str, list[Chunk]])\n"
        "result = replay(JobSpec.model_validate_json(job), [DeskWish('alone')], chunks,"
        " Coverage(Window(0, 1), (), (), (), ()))\n"
        "print(result.decisions)\n"
    )
    environment = os.environ | {"PYTHONHASHSEED": "1", "ARBITRADE_TRADING__MIN_EDGE_BPS": "400"}
    done = subprocess.run(
        [sys.executable, "-c", code, told], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == here.decisions


@pytest.mark.parametrize("size", [1, 37, 10**6])
def test_how_it_is_cut_into_chunks_changes_nothing(run: Recorded, size: int) -> None:
    few = recorded_part(run, 2)
    whole = replayed(few)
    assert replayed(few, chunks=chunked(few.entries, (), size=size)).decisions == whole.decisions


def recorded_part(run: Recorded, seconds: int) -> Recorded:
    """Its first seconds."""
    end_ns = run.start_ns + seconds * SECOND
    entries = [entry for entry in run.entries if entry.now < end_ns]
    return with_other(run, entries=entries, end_ns=end_ns, chunks=chunked(entries, ()))


def test_thresholds_latency_fees_and_balances_are_the_desks(run: Recorded) -> None:
    free = run.job().fees
    rates = {symbol: each.model_copy(update={"taker": Decimal(0)}) for symbol, each in free.rates.items()}
    result = replayed(
        run,
        DeskWish("as the job says"),
        DeskWish("strict", {"trading.min_edge_bps": "90"}),
        DeskWish("late", {"paper.latency_ms": "250"}),
        DeskWish("free", {}, free.model_copy(update={"id": "free", "rates": rates})),
        DeskWish("poor", {"paper.starting_balances": "USD=20"}),
    )
    desks = result.desks
    plain = desks["as the job says"]
    assert sum(desks["strict"].outcomes.values()) < sum(plain.outcomes.values())
    assert desks["late"].trading_valued < plain.trading_valued
    assert desks["free"].fees_valued == 0 < plain.fees_valued
    assert desks["poor"].exposure_valued < plain.exposure_valued / 10
    assert len({desk.decisions for desk in desks.values()}) == 5


def test_a_report_says_what_the_journal_says(run: Recorded) -> None:
    desk = replayed(run).desks["alone"]
    ended = [plan for plan in desk.plans if plan.profit_valued is not None]
    assert desk.trading_valued == sum(plan.profit_valued or 0 for plan in ended)
    assert [(plan.decided_ns, plan.ended_ns, plan.profit_valued) for plan in ended] == list(desk.earned)
    assert sum(desk.outcomes.values()) == len(desk.plans) == desk.funnel["executed"] + desk.funnel["gone"]
    assert desk.orders == sum(plan.orders for plan in desk.plans)
    assert desk.fees_valued == sum(plan.fees_valued for plan in desk.plans) > 0
    assert desk.filled_valued == sum(plan.filled_valued for plan in desk.plans)
    changes = {asset: desk.closing.get(asset, Decimal(0)) - held for asset, held in desk.opening.items()}
    assert changes["USD"] == sum((plan.pnl.get("USD", Decimal(0)) for plan in desk.plans), Decimal(0))


# --- parts of a recording -----------------------------------------------------------------------------------


def test_a_range_in_the_middle_has_its_books_from_state_frames(run: Recorded) -> None:
    """Read from the chunk before the range on: books fill, and nothing trades until it begins."""
    start_ns = run.start_ns + 12 * SECOND
    chunks = chunked(run.entries, (), size=400)
    first = next(chunk.number for chunk in chunks if chunk.end_ns >= start_ns - 6 * SECOND)
    result = replayed(run, chunks=chunks[first:], start=moment(start_ns))
    desk = result.desks["alone"]
    assert first > 0
    assert result.market.checksums_bad == 0
    assert desk.plans
    assert all(plan.decided_ns >= start_ns for plan in desk.plans)
    whole = replayed(run, start=moment(start_ns)).desks["alone"].plans
    assert [(plan.key, plan.decided_ns) for plan in desk.plans] == [(plan.key, plan.decided_ns) for plan in whole]


def test_nothing_new_begins_after_the_range(run: Recorded) -> None:
    end_ns = run.start_ns + 10 * SECOND
    desk = replayed(run, end=moment(end_ns)).desks["alone"]
    assert desk.plans
    assert all(plan.decided_ns < end_ns for plan in desk.plans)
    assert "open" not in desk.outcomes


def test_books_end_at_a_gap_and_come_back_with_the_next_snapshots(run: Recorded) -> None:
    at_ns = run.start_ns + 11 * SECOND
    lost = [entry for entry in run.entries if at_ns <= entry.now < at_ns + 2 * SECOND and not isinstance(entry, State)]
    entries: list[Entry] = [entry for entry in run.entries if entry not in lost]
    place = next(number for number, entry in enumerate(entries) if entry.now >= at_ns)
    entries.insert(place, Gap(entries[place - 1].now, at_ns + 2 * SECOND, len(lost), "the writer was behind"))
    result = replayed(run, chunks=chunked(entries, ()))
    back_ns = next(entry.now for entry in entries[place + 1 :] if isinstance(entry, State))
    between = [plan for plan in result.desks["alone"].plans if at_ns < plan.decided_ns < back_ns]
    after = [plan for plan in result.desks["alone"].plans if plan.decided_ns >= back_ns]
    assert not between
    assert after
    assert result.market.checksums_bad == 0


def test_a_missing_chunk_is_a_gap(run: Recorded) -> None:
    without = [chunk for chunk in run.chunks if chunk.number != 1]
    result = replayed(run, chunks=without)
    assert result.market.checksums_bad == 0
    assert result.market.frames < replayed(run).market.frames


def test_a_connection_that_closed_takes_its_books_along(run: Recorded) -> None:
    at_ns = run.start_ns + 10 * SECOND
    entries: list[Entry] = [entry for entry in run.entries if entry.now <= at_ns]
    entries.append(Closed(1, 1006, "gone", at_ns))
    # What is said on it afterwards is nobody's.
    entries += [entry for entry in run.entries if entry.now > at_ns and isinstance(entry, Frame)]
    result = replayed(run, chunks=chunked(entries, ()))
    assert all(plan.decided_ns <= at_ns for plan in result.desks["alone"].plans)


def test_pairs_narrow_the_market(run: Recorded) -> None:
    pairs = ("BTC/USD", "ETH/USD", "ETH/BTC")
    result = replayed(run, pairs=pairs)
    assert {symbol for plan in result.desks["alone"].plans for symbol in plan.pairs} <= set(pairs)
    assert result.market.pairs_live == len(pairs), "other books are not even followed"
    assert result.market.updates < replayed(run).market.updates / 3


def test_the_listing_is_known_before_anything_runs(run: Recorded) -> None:
    pairs = listing(run.job(), run.chunks)
    assert len(pairs) == 30
    assert {pair.symbol for pair in pairs} >= {"BTC/USD", "ETH/USD"}
    assert listing(run.job(), []) == []


# --- what goes wrong ----------------------------------------------------------------------------------------


def test_a_damaged_chunk_is_named(run: Recorded) -> None:
    bad = msgspec.structs.replace(run.chunks[1], data=run.chunks[1].data[:-9] + b"123456789")
    with pytest.raises(ProtocolError, match="chunk 1 of recording 1 is damaged"):
        replayed(run, chunks=[run.chunks[0], bad])


def test_nothing_recorded_is_said(run: Recorded) -> None:
    with pytest.raises(ProtocolError, match="nothing was recorded in the range"):
        replayed(run, chunks=[])


@pytest.mark.parametrize(
    ("told", "says"),
    [
        ({"settings": {"ARBITRADE_TRADING__MIN_EDGE": "5"}}, "ARBITRADE_TRADING__MIN_EDGE (the job) is not a setting"),
        ({"plugins": ("kraken", "nowhere")}, "nowhere"),
        ({"plugins": ("triangular",)}, "feed"),
        ({"executor": "slow"}, "'slow'"),
        ({"balances": {}}, "balances"),
        ({"min_profit_bps": None}, "a threshold is required"),
        ({"end": moment(0)}, "is empty"),
        ({"version": 9}, "job version 9"),
    ],
)
def test_a_job_that_cannot_be_is_refused_with_the_reason(run: Recorded, told: dict[str, Any], says: str) -> None:
    with pytest.raises((ValueError, ArbitradeError)) as caught:
        replayed(run, **told)
    assert says in str(caught.value)


def test_a_desk_with_an_unknown_setting_is_refused(run: Recorded) -> None:
    with pytest.raises(SettingsError, match=r"such as trading\.min_edge_bps"):
        replayed(run, DeskWish("one", {"trading.min_edge_bp": "5"}))


def test_it_ends_when_it_is_told_to(run: Recorded) -> None:
    told: list[int] = []

    def tell(now: int, frames: int) -> None:
        told.append(frames)
        raise Cancelled("by an operator")

    with pytest.raises(Cancelled):
        replay(run.job(curves=False), [ALONE], run.chunks, run.coverage, tell)
    assert len(told) == 1
    assert 0 < told[0] <= CHUNK_ENTRIES


def test_a_job_is_the_same_as_text() -> None:
    spec = recorded(1, mispricings_per_s=0).job(name="one", pairs=("BTC/USD",))
    assert JobSpec.model_validate_json(spec.model_dump_json()) == spec
    assert json.loads(spec.model_dump_json())["balances"] == {"USD": "10000"}


# --- curves -------------------------------------------------------------------------------------------------


def test_each_executor_has_curves_of_its_own(run: Recorded, monkeypatch: pytest.MonkeyPatch) -> None:
    patient_too(monkeypatch)
    told = run.settings | {"ARBITRADE_EXECUTION__EXECUTORS": '{"position": "rotation"}'}
    job = run.job(executors=("sequential", PATIENT), settings=told)
    result = replay(job, headline_wishes(job), run.chunks, run.coverage)
    assert all(sum(result.desks[f"latency 5 ms{whose}"].outcomes.values()) > 10 for whose in ("", f", {PATIENT}"))
    found = report(job, result)
    for curves in (found.latency, found.fees.by_factor):
        assert [curve.executor for curve in curves] == [PATIENT, "sequential"]
        places = [[point.at for point in each.curve.points] for each in curves]
        assert places[0] == places[1]
        assert len(places[0]) >= 5


def test_the_largest_drawdown_is_the_deepest_fall_of_the_series(run: Recorded) -> None:
    job = run.job(curves=False)
    result = replay(job, headline_wishes(job), run.chunks, run.coverage)
    found = report(job, result)
    assert found.deepest is not None
    assert found.deepest.depth == result.desks["headline"].drawdown_valued > 0
