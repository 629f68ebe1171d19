"""The contracts of a plugin's objects: numbered rules, one class a kind.

Subclass one with a `make` and pytest runs its rules; `arbitrade plugins check` runs them on what is installed. Each
rule says in its docstring what must hold and why, and names where that comes from.
"""

from arbitrade_core.testing.contracts.detector import DetectorContract
from arbitrade_core.testing.contracts.executor import ExecutorContract
from arbitrade_core.testing.contracts.feed import FeedContract
from arbitrade_core.testing.contracts.notifier import NotifierContract
from arbitrade_core.testing.contracts.risk import RiskCheckContract
from arbitrade_core.testing.contracts.rules import Broken, Contract, Result, Rule, Verdict, examine, holds, rule, skip
from arbitrade_core.testing.contracts.venue import VenueContract

CONTRACTS: tuple[type[Contract[object]], ...] = (
    FeedContract,
    DetectorContract,
    RiskCheckContract,
    ExecutorContract,
    VenueContract,
    NotifierContract,
)
"""In the order of the way of a frame."""

__all__ = [
    "CONTRACTS",
    "Broken",
    "Contract",
    "DetectorContract",
    "ExecutorContract",
    "FeedContract",
    "NotifierContract",
    "Result",
    "RiskCheckContract",
    "Rule",
    "VenueContract",
    "Verdict",
    "examine",
    "holds",
    "rule",
    "skip",
]
