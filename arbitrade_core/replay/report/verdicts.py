"""What a search was worth, in words that are never more confident than the statistics behind them."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Literal

from arbitrade_core.replay.job import JobSpec
from arbitrade_core.replay.report import words
from arbitrade_core.replay.report.grounds import cautions
from arbitrade_core.replay.report.shapes import Answer, Grounds
from arbitrade_core.replay.searched import SweepResult
from arbitrade_core.replay.selection import RealityCheck
from arbitrade_core.replay.statistics import LEAST

SURE = 0.95
"""from where on the deflated Sharpe ratio counts as significant"""


def answer(job: JobSpec, result: SweepResult, found: Grounds, asset: str, notes: Sequence[str]) -> Answer:
    said = [*notes, *cautions(job, found)]
    halted = sum(desk.halted is not None for desk in result.desks)
    if halted:
        said.append(f"{words.count(halted, 'variant')} of {len(result.desks):,} halted and took no further part")
    return Answer(
        earned=words.sentence(verdict(result, asset)),
        sure=" ".join(words.sentence(each) for each in _sure(result, asset)),
        why=" ".join(words.sentence(each) for each in _why(result)),
        cautions=tuple(words.sentence(each) for each in said),
    )


def finding(result: SweepResult) -> Literal["nothing", "unproven", "found"]:
    """What `verdict` says, in one word."""
    if result.reality is None or not result.reality.significant:
        return "nothing"
    stands = result.deflated is not None and result.deflated.probability >= SURE
    return "found" if stands and result.forward_valued is not None and result.forward_valued > 0 else "unproven"


def verdict(result: SweepResult, asset: str) -> str:
    """One sentence: was something found?"""
    desks, reality = result.desks, result.reality
    if not desks:
        return "no variant was run, so there is nothing to choose from"
    if not any(desk.earned for desk in desks):
        return f"none of {words.count(len(desks), 'variant')} traded: nothing was found"
    most = max(desk.trading_valued for desk in desks)
    best = f"the best of {words.count(len(desks), 'variant')}"
    if most <= 0:
        lost = "earned nothing" if not most else f"lost {words.amount(-most, asset)}"
        return f"{best} {lost}: nothing was found"
    earned = f"{best} earned {words.amount(most, asset)}"
    if reality is None:
        return f"{earned}; there is too little data to tell that from luck: nothing can be said to be found"
    luck = f"{earned}; by luck alone the best would have earned {words.amount(reality.luck, asset)}"
    if reality.significant:
        return f"{luck}{_beyond_luck(result, asset)}"
    if reality.total > reality.luck:
        luck += f", and by chance {words.once_in(reality.level)} more than {words.amount(reality.luck_high, asset)}"
    return f"{luck}: nothing was found"


def _beyond_luck(result: SweepResult, asset: str) -> str:
    """The best total passed the luck of the best; two more things may speak against it."""
    forward = result.forward_valued
    if forward is not None and forward <= 0:
        return ", but chosen on the past and judged on what followed it did not earn: nothing to rely on was found"
    if result.deflated is None or result.deflated.probability < SURE:
        return ": more than luck, but too uneven to rely on"
    if forward is None:
        return ": better than luck in this recording, not yet judged on time that it was not chosen on"
    return f": better than luck, and chosen on the past it earned {words.amount(forward, asset)} on what followed"


def _sure(result: SweepResult, asset: str) -> list[str]:
    reality, deflated = result.reality, result.deflated
    if reality is None:
        return [
            f"at least {LEAST} periods with results that vary are needed to tell a winner from the luck of having "
            f"searched"
        ]
    said = [
        f"if no variant had any merit, a best total this high would come up {words.chance(reality.hansen_p)} times "
        f"(Hansen's test; {words.chance(reality.white_p)} by White's)",
        _left(reality, asset),
    ]
    if deflated is not None:
        said.append(
            f"the best Sharpe ratio, {deflated.sharpe.ratio:.2f} per period, has a chance of "
            f"{words.chance(deflated.probability)} to be truly above the {deflated.luck:.2f} that luck gives "
            f"to the best of {words.count(deflated.trials, 'trial')}"
        )
    return said


def _left(reality: RealityCheck, asset: str) -> str:
    if reality.deflated_low > 0:
        return f"at least {words.amount(reality.deflated_low, asset)} of it is more than luck, at {_level(reality)}"
    return f"at {_level(reality)} none of it is surely more than luck"


def _level(reality: RealityCheck) -> str:
    return f"{reality.level:.0%}".replace("%", " %")


def _why(result: SweepResult) -> list[str]:
    idle = sum(not desk.earned for desk in result.desks)
    said = [f"{words.count(idle)} of {words.count(len(result.desks), 'variant')} traded nothing"] if idle else []
    if result.reality is not None:
        said.append(
            f"judged over {words.count(result.reality.periods, 'period')} of one recording; other days are other "
            f"markets"
        )
    return said


def cost(result: SweepResult, asset: str) -> tuple[str, ...]:
    """What searching cost: the part of the winner's result that is owed to having looked at many."""
    said: list[str] = []
    reality, deflated = result.reality, result.deflated
    if reality is not None:
        said.append(
            f"of the {words.amount(reality.total, asset)} that the best variant earned, "
            f"{words.amount(reality.luck, asset)} is what the best of {reality.variants:,} variants without any merit "
            f"would show; {words.gain(reality.deflated, asset)} is left"
        )
    if deflated is not None:
        said.append(
            f"{words.count(deflated.trials, 'variant')} had results that vary, as much worth as "
            f"{deflated.independent_trials:.0f} that have nothing to do with each other"
        )
    if result.folds and result.forward_valued is not None:
        best = sum((fold.best_tested_valued for fold in result.folds), Decimal(0))
        said.append(
            f"choosing anew before each of {words.count(len(result.folds), 'test')} would have earned "
            f"{words.gain(result.forward_valued, asset)}; whoever had known each test's best variant beforehand, "
            f"{words.gain(best, asset)}"
        )
    if result.forward_valued is None and len(result.variants) > 1:
        said.append("nothing was judged on time that it was not chosen on, so the ranking flatters its winner")
    return tuple(words.sentence(each) for each in said)
