"""What two runs fed the same inputs decided, side by side: by the input's number, the desk and the cycle. Pure.

Decisions are read from the journal records of a step, on either side by that side's own version.
"""

from collections import Counter, OrderedDict, deque
from collections.abc import Iterable, Sequence
from enum import StrEnum
from itertools import zip_longest
from typing import Any

import msgspec

from arbitrade_core.domain import Ns
from arbitrade_core.journal import Fields, Record

EXAMPLES = 20
"""of divergences, the newest"""
MINUTES = 60
"""for how long back rates are kept"""
DIVERGED_SHARE = 0.05
"""more than this share of decisions not the same is worth an alert ..."""
DIVERGED_FROM = 20
"""... once there are so many"""

_MINUTE_NS = 60_000_000_000


class Decision(msgspec.Struct, frozen=True, array_like=True):
    """One thing that a desk decided, in the step of input `seq` (0: at the start)."""

    seq: int
    at_ns: Ns
    desk: str
    kind: str
    """`approved`, `refused` (once an appearance), `dropped` (at the last look) or `ended`"""
    key: str
    """of the cycle"""
    what: dict[str, str]
    """its figures, by name; what matters most stands first"""


class Reader:
    """Reads decisions out of journal records, each once."""

    def __init__(self) -> None:
        self._key_of: dict[str, str] = {}
        """by plan"""
        self._seen: dict[str, int] = {}
        """by stream: number of its last record"""

    def read(self, records: Iterable[Record], seq: int) -> list[Decision]:
        """Decisions of step `seq`; records that were read before, as a journal is offered them again, are left out."""
        found: list[Decision] = []
        for record in records:
            if record.seq <= self._seen.get(record.stream, 0):
                continue
            self._seen[record.stream] = record.seq
            decision = self._decision(record, seq)
            if decision is not None:
                found.append(decision)
        return found

    def _decision(self, record: Record, seq: int) -> Decision | None:
        data = record.data
        match record.kind:
            case "plan":
                self._key_of[data["id"]] = data["key"]
                return Decision(seq, record.time_ns, data["desk"], "approved", data["key"], _plan(data))
            case "refusal":
                what = _texts(data, ("check", "reason"))
                return Decision(seq, record.time_ns, data["desk"], "refused", data["key"], what)
            case "drop" if (key := self._key_of.pop(data["plan"], None)) is not None:
                what = _texts(data, ("stage", "reason"))
                return Decision(seq, record.time_ns, data["desk"], "dropped", key, what)
            case "end" if (key := self._key_of.pop(data["plan"], None)) is not None:
                what = _texts(data, ("outcome", "realised_end", "profit_valued", "note"))
                return Decision(seq, record.time_ns, data["desk"], "ended", key, what)
            case _:
                return None


def _plan(data: Fields) -> dict[str, str]:
    what = _texts(data, ("path",))
    for number, leg in enumerate(data["legs"], start=1):
        what[f"leg {number}"] = f"{leg['side']} {leg['symbol']}"
        what[f"leg {number} qty"] = leg["qty"]
        what[f"leg {number} limit"] = leg["limit"]
    return what | _texts(data, ("edge_bps", "start", "end", "fees_id"))


def _texts(data: Fields, names: Sequence[str]) -> dict[str, str]:
    return {name: str(data[name]) for name in names if name in data}


class Verdict(StrEnum):
    SAME = "same"
    DIFFERENT = "different"
    ONLY_BOT = "only_bot"
    ONLY_SHADOW = "only_shadow"


class Comparison:
    """Takes both sides' decisions, each in order of `seq`, and compares those up to where the shadow has come."""

    def __init__(self) -> None:
        self.through_seq = 0
        self.counts: Counter[Verdict] = Counter()
        self._by_kind: dict[str, Counter[Verdict]] = {}
        self._fields: Counter[str] = Counter()
        self._minutes: OrderedDict[int, Counter[Verdict]] = OrderedDict()
        self._examples: deque[dict[str, Any]] = deque(maxlen=EXAMPLES)
        self._bot: deque[Decision] = deque()
        self._shadow: deque[Decision] = deque()

    def bot(self, decisions: Iterable[Decision]) -> None:
        """May be called on another thread than the rest."""
        self._bot.extend(decisions)

    def shadow(self, decisions: Iterable[Decision]) -> None:
        self._shadow.extend(decisions)

    def settle(self, seq: int) -> None:
        """The shadow has taken every input up to `seq`, as the bot had before."""
        self.through_seq = seq
        ours, theirs = _grouped(_until(self._bot, seq)), _grouped(_until(self._shadow, seq))
        for at in sorted(ours.keys() | theirs.keys()):
            for bot, shadow in zip_longest(ours.get(at, ()), theirs.get(at, ())):
                self._compare(bot, shadow)

    @property
    def compared(self) -> int:
        return self.counts.total()

    @property
    def same_share(self) -> float | None:
        """None: nothing was decided yet."""
        return self.counts[Verdict.SAME] / self.compared if self.compared else None

    @property
    def diverged(self) -> bool:
        share = self.same_share
        return share is not None and self.compared >= DIVERGED_FROM and 1.0 - share > DIVERGED_SHARE

    def view(self) -> dict[str, Any]:
        """JSON-able."""
        return {
            "through_seq": self.through_seq,
            "compared": self.compared,
            "same_share": self.same_share,
            **_counted(self.counts),
            "by_kind": {kind: _counted(counts) for kind, counts in sorted(self._by_kind.items())},
            "first_differing_field": dict(self._fields.most_common()),
            "by_minute": [
                {"minute_ns": minute * _MINUTE_NS, **_counted(counts)} for minute, counts in self._minutes.items()
            ],
            "examples": list(self._examples),
        }

    def _compare(self, bot: Decision | None, shadow: Decision | None) -> None:
        one = bot or shadow
        assert one is not None
        name = None
        if bot is None:
            verdict = Verdict.ONLY_SHADOW
        elif shadow is None:
            verdict = Verdict.ONLY_BOT
        else:
            name = first_difference(bot.what, shadow.what)
            verdict = Verdict.SAME if name is None else Verdict.DIFFERENT
        self.counts[verdict] += 1
        self._by_kind.setdefault(one.kind, Counter())[verdict] += 1
        self._in_minute(one.at_ns // _MINUTE_NS)[verdict] += 1
        if name is not None:
            self._fields[name] += 1
        if verdict is not Verdict.SAME:
            self._examples.append(_example(verdict, one, name, bot, shadow))

    def _in_minute(self, minute: int) -> Counter[Verdict]:
        if minute not in self._minutes:
            self._minutes[minute] = Counter()
            while len(self._minutes) > MINUTES:
                self._minutes.popitem(last=False)
        return self._minutes[minute]


def first_difference(bot: dict[str, str], shadow: dict[str, str]) -> str | None:
    """The name of the first figure that is not the same on both sides; None when all are."""
    return next((name for name in [*bot, *shadow] if bot.get(name) != shadow.get(name)), None)


def _example(
    verdict: Verdict, one: Decision, name: str | None, bot: Decision | None, shadow: Decision | None
) -> dict[str, Any]:
    told: dict[str, Any] = {"verdict": verdict.value, "seq": one.seq, "desk": one.desk, "kind": one.kind}
    told["key"] = one.key
    if name is not None:
        told["field"] = name
    for side, decision in (("bot", bot), ("shadow", shadow)):
        if decision is not None:
            told[side] = decision.what if name is None else decision.what.get(name)
    return told


def _until(waiting: deque[Decision], seq: int) -> list[Decision]:
    taken: list[Decision] = []
    while waiting and waiting[0].seq <= seq:
        taken.append(waiting.popleft())
    return taken


type _Where = tuple[int, str, str, str]


def _grouped(decisions: Iterable[Decision]) -> dict[_Where, list[Decision]]:
    groups: dict[_Where, list[Decision]] = {}
    for one in decisions:
        groups.setdefault((one.seq, one.desk, one.kind, one.key), []).append(one)
    return groups


def _counted(counts: Counter[Verdict]) -> dict[str, int]:
    return {verdict.value: counts[verdict] for verdict in Verdict}
