"""Results as the job table holds them: packed as bytes, and a headline for lists."""

from typing import Any

import msgspec
import zstandard

from arbitrade_core.errors import StorageError
from arbitrade_core.money import plain
from arbitrade_core.replay.results import HEADLINE, DeskResult, ReplayResult
from arbitrade_core.replay.searched import SweepResult

type Result = ReplayResult | SweepResult

SCHEMA = 1
"""Stands before everything packed."""


def pack(result: Result | DeskResult) -> bytes:
    return bytes((SCHEMA,)) + zstandard.compress(msgspec.msgpack.encode(result), 6)


def unpack(data: bytes, kind: str) -> Result:
    """The result of a job of that kind.

    Raises:
        StorageError: another version wrote it, or it is damaged.
    """
    return _unpacked(data, SweepResult) if kind == "sweep" else _unpacked(data, ReplayResult)


def unpack_desk(data: bytes) -> DeskResult:
    """One variant's. Raises StorageError as `unpack` does."""
    return _unpacked(data, DeskResult)


def _unpacked[T](data: bytes, of: type[T]) -> T:
    if data[:1] != bytes((SCHEMA,)):
        raise StorageError(
            f"this result has the form {data[:1].hex() or 'of nothing'}, this program reads {SCHEMA:02x}: another "
            "version made it; run the job again"
        )
    try:
        return msgspec.msgpack.decode(zstandard.decompress(data[1:]), type=of)
    except (zstandard.ZstdError, msgspec.MsgspecError, UnicodeError) as error:
        raise StorageError(f"a stored result cannot be read ({error}); run the job again") from error


def headline(result: Result) -> dict[str, Any]:
    """What a list shows of it, as JSON holds it."""
    match result:
        case ReplayResult(market=market, desks=desks):
            return {**desk_headline(desks[HEADLINE]), "frames": market.frames}
        case SweepResult(market=market, variants=variants, desks=desks, ranking=ranking):
            told: dict[str, Any] = {
                "variants": len(variants),
                "objective": result.objective,
                "frames": market.frames,
                "forward_valued": None if result.forward_valued is None else plain(result.forward_valued),
            }
            if ranking:
                at = [variant.number for variant in variants].index(ranking[0])
                score = result.scores[at]
                told |= desk_headline(desks[at]) | {
                    "best": ranking[0],
                    "best_settings": variants[at].settings,
                    "score": None if score is None else plain(score),
                }
            return told


def desk_headline(desk: DeskResult) -> dict[str, Any]:
    return {
        "valuation_asset": desk.valuation_asset,
        "trading_valued": plain(desk.trading_valued),
        "revaluation_valued": None if desk.revaluation_valued is None else plain(desk.revaluation_valued),
        "drawdown_valued": plain(desk.drawdown_valued),
        "plans": sum(desk.outcomes.values()),
        "completed": desk.outcomes.get("completed", 0),
        "halted": desk.halted,
    }
