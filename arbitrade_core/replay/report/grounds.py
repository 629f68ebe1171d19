"""What a result stands on: coverage, checksums, fees, settings, code. For reports of both kinds."""

import re
from collections.abc import Mapping
from decimal import Decimal

from arbitrade_core.domain import Ns
from arbitrade_core.money import ZERO, plain, ratio
from arbitrade_core.replay.job import Fees, JobSpec
from arbitrade_core.replay.report import words
from arbitrade_core.replay.report.shapes import CoverageFigures, FeesUsed, Grounds, RateRow, bounded
from arbitrade_core.replay.results import Coverage, MarketResult

MOST_ROWS = 50
MOST_PAIRS = 500
_OLD_NS: Ns = 30 * 86_400_000_000_000
_SECRET = re.compile(r"KEY|SECRET|PASSWORD|TOKEN|DATABASE_URL|CREDENTIAL")


def grounds(
    job: JobSpec,
    coverage: Coverage,
    market: MarketResult,
    *,
    decisions: str,
    took_s: float,
    code: Mapping[str, str],
    ran_ns: Ns | None,
) -> Grounds:
    return Grounds(
        coverage=_coverage(job, coverage),
        frames=market.frames,
        updates=market.updates,
        checksums_ok=market.checksums_ok,
        checksums_bad=market.checksums_bad,
        faults=dict(sorted(market.faults.items())),
        jitter_ms=market.jitter_ms,
        pairs_live=market.pairs_live,
        fees=_fees(job.fees, coverage.wanted.start_ns, ran_ns),
        conditions=_conditions(job),
        # Jobs hold no secrets; a report is handed on, so it looks again.
        settings={name: job.settings[name] for name in sorted(job.settings) if not _SECRET.search(name.upper())},
        code=dict(sorted(code.items())),
        seed=job.seed,
        decisions=decisions,
        took_s=took_s,
    )


def _coverage(job: JobSpec, coverage: Coverage) -> CoverageFigures:
    length = coverage.wanted.end_ns - coverage.wanted.start_ns
    known = set(coverage.pairs)
    longest = sorted(coverage.gaps, key=lambda gap: gap[0] - gap[1])
    return CoverageFigures(
        wanted=coverage.wanted,
        covered_ns=coverage.covered_ns,
        share=ratio(Decimal(coverage.covered_ns), Decimal(length)) if length else ZERO,
        stretches=bounded(coverage.stretches, MOST_ROWS, "oldest first"),
        gaps=bounded(longest, MOST_ROWS, "longest first"),
        recordings=coverage.recordings,
        pairs=bounded(coverage.pairs, MOST_PAIRS, "by symbol"),
        pairs_never_recorded=tuple(symbol for symbol in job.pairs or () if symbol not in known),
    )


def _fees(fees: Fees, start_ns: Ns, ran_ns: Ns | None) -> FeesUsed:
    rates = [RateRow(symbol, rate.maker, rate.taker, rate.currency) for symbol, rate in sorted(fees.rates.items())]
    return FeesUsed(
        id=fees.id,
        source=fees.source,
        as_of_ns=fees.as_of_ns,
        age_at_range_ns=start_ns - fees.as_of_ns,
        age_at_run_ns=None if ran_ns is None else ran_ns - fees.as_of_ns,
        rates=bounded(rates, MOST_ROWS, "by symbol"),
    )


def _conditions(job: JobSpec) -> dict[str, str]:
    thresholds = [
        *([] if job.min_profit_bps is None else [f"{plain(job.min_profit_bps)} bps"]),
        *([] if job.min_profit_valued is None else [f"{plain(job.min_profit_valued)} in the valuation asset"]),
    ]
    return {
        "range": f"{job.start:%Y-%m-%d %H:%M:%S %Z} to {job.end:%Y-%m-%d %H:%M:%S %Z}",
        "recording": "whatever was recorded in the range" if job.recording is None else str(job.recording),
        "pairs": "all that were recorded" if job.pairs is None else ", ".join(job.pairs),
        "starting balances": ", ".join(f"{plain(amount)} {asset}" for asset, amount in sorted(job.balances.items())),
        "minimum profit": " and ".join(thresholds),
        "latency": f"{job.latency_ms} ms",
        "journal commit": f"{plain(job.commit_ms)} ms",
        "slippage": f"{plain(job.slippage_bps)} bps",
        "executor": job.executor or next(iter(job.executors), "as the settings say"),
        "plugins": "as the settings say" if job.plugins is None else ", ".join(job.plugins),
    }


def cautions(job: JobSpec, found: Grounds) -> list[str]:
    """What a reader must know before believing the figures."""
    coverage, fees = found.coverage, found.fees
    said: list[str] = []
    if not found.frames:
        said.append("nothing was recorded in this range")
    elif coverage.share < 1:
        gaps = len(coverage.gaps.rows) + coverage.gaps.left_out
        said.append(
            f"{words.share(coverage.share)} of the range was recorded; the rest, {words.count(gaps, 'gap')}, "
            f"counts for nothing"
        )
    if coverage.pairs_never_recorded:
        named = ", ".join(coverage.pairs_never_recorded[:5])
        more = len(coverage.pairs_never_recorded) - 5
        said.append(f"never recorded: {named}{f' and {more} more' if more > 0 else ''}")
    if found.checksums_bad:
        said.append(
            f"{words.count(found.checksums_bad, 'checksum')} of {found.checksums_ok + found.checksums_bad:,} wrong"
        )
    if fees.age_at_range_ns < 0:
        said.append(
            f"the fees are of {words.when(fees.as_of_ns)} UTC, after the range began: a substitute for those in force "
            f"then"
        )
    elif fees.age_at_range_ns > _OLD_NS:
        said.append(f"the fees were {words.duration(fees.age_at_range_ns)} old when the range began")
    if Decimal(repr(found.jitter_ms)) > job.latency_ms:
        said.append(
            f"the latency of {job.latency_ms} ms is below the recording's own jitter of {found.jitter_ms:.1f} ms, so "
            f"the result is extrapolated"
        )
    return said
