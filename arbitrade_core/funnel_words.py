"""The funnel in words: what its stages are called, and the sentence that says where it ends."""

from collections.abc import Mapping
from typing import Any

STAGES = {
    "evaluated": "cycles scored",
    "gross_positive": "gross > 1",
    "after_fees": "after fees",
    "candidates": "over the hurdle",
    "after_rounding": "after lots and minimums",
    "after_depth": "after depth",
    "after_buffers": "after buffers",
    "stale": "stale",
    "gone": "gone at the last look",
    "executed": "executed",
}
"""by stage, in the funnel's order"""

_NOTHING_SURVIVED = {
    "evaluated": "no cycle was evaluated yet: books are not live, or no cycle passes through a start asset",
    "gross_positive": "no cycle returned more than it cost even before fees",
    "after_fees": "cycles paid before fees, none after them",
    "candidates": "cycles paid after fees, none by the minimum edge or margin that is set",
    "after_rounding": "candidates did not survive lot sizes and minimums",
    "after_depth": "the books were too thin at profitable prices",
    "after_buffers": "slippage and fee buffers, minimum edge or profit took the rest",
}
"""Why that is, by stage, in the funnel's order."""


def why_no_trade(funnel: Mapping[str, Any]) -> str:
    """One plain sentence: the stage at which the nearest candidates stop; of stages that are not told, nothing."""
    nothing = next((words for stage, words in _NOTHING_SURVIVED.items() if not funnel.get(stage)), None)
    if nothing is not None:
        return f"why no trade: {nothing}"
    if funnel["executed"]:
        return f"{funnel['executed']} plans were executed"
    worst = max(funnel["refused"].items(), key=lambda item: item[1], default=None)
    if worst is not None:
        return f"why no trade: the risk check {worst[0]} refused {worst[1]} times"
    return "why no trade: plans were stale or gone at the last look"
