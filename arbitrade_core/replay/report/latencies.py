"""What would have been earned at other latencies."""

import re
from decimal import Decimal

from arbitrade_core.replay.curves import Answer, Curve, latency_curve
from arbitrade_core.replay.report.measured import Measured, meeting, places, surely
from arbitrade_core.replay.report.shapes import ExecutorCurve
from arbitrade_core.replay.results import DeskResult

_NAME = re.compile(r"latency (\d+(?:\.\d+)?) ms\b")


def curves(measured: Measured) -> tuple[ExecutorCurve, ...]:
    def place(desk: DeskResult) -> Decimal | None:
        if desk is measured.headline:
            return Decimal(measured.job.latency_ms)
        found = _NAME.match(desk.name)
        return None if found is None else Decimal(found[1])

    jitter_ms = Decimal(repr(measured.result.market.jitter_ms))
    found: list[ExecutorCurve] = []
    for executor, desks in measured.by_executor(place).items():
        curve = latency_curve(((at, measured.total(desk)) for at, desk in desks.items()), jitter_ms)
        found.append(ExecutorCurve(executor, curve, _words(curve)))
    return tuple(found)


def _words(curve: Curve) -> str:
    found = curve.break_even.estimate
    match found.answer:
        case Answer.WITHIN:
            pays = f"it stops to pay {meeting(found, lambda at: f'{places(at)} ms')}"
        case Answer.BEYOND_LAST:
            pays = f"it earned at every latency that was tried, up to {places(curve.points[-1].at)} ms"
        case Answer.BEFORE_FIRST:
            pays = "it earned at no latency that was tried"
        case Answer.UNKNOWN:
            pays = "where it stops to pay cannot be said"
    pays += surely(curve, lambda point: f"{places(point.at)} ms")
    extrapolated = [point.at for point in curve.points if point.extrapolated]
    if extrapolated:
        pays += (
            f"; up to {places(extrapolated[-1])} ms the points are extrapolated: closer than the recording's own jitter"
        )
    return pays
