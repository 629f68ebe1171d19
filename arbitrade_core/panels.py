"""What a plugin shows of itself: plain facts and tables.

Content is data, not HTML: the command line prints it, the API passes it on, and the dashboard draws it in its own
style, so a plugin can neither break a page nor put a script into it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from arbitrade_core.domain import Ns


class Tone(StrEnum):
    """How a fact is to be seen."""

    PLAIN = "plain"
    GOOD = "good"
    WARNING = "warning"
    BAD = "bad"


@dataclass(frozen=True, slots=True)
class Fact:
    """One labelled figure: `Fact("refused", "12", Tone.WARNING)`. Units stand in the text."""

    label: str
    value: str
    tone: Tone = Tone.PLAIN


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of text below headings; every row has as many cells as there are columns."""

    columns: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    caption: str = ""


@dataclass(frozen=True, slots=True)
class Content:
    facts: Sequence[Fact] = ()
    tables: Sequence[Table] = ()
    note: str = ""


class Panel(Protocol):
    """Asked when somebody looks, never on the hot path."""

    @property
    def name(self) -> str: ...
    @property
    def title(self) -> str: ...
    def content(self, now: Ns) -> Content: ...
