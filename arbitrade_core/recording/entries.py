"""What a recording is made of: the engine's inputs in arrival order, and marks that make it usable in part.

An exact replay takes the inputs alone. A replay that begins in the middle, or whose bot has other settings, reads the
frames and follows the marks: whose connection it is, what the books were, where something is missing.
"""

import msgspec

from arbitrade_core.domain import Ns
from arbitrade_core.events import ConnId, Input

SCHEMA = 1
"""Of recordings; that of the inputs in them is `inputs_codec.SCHEMA`."""


class Via(msgspec.Struct, gc=False):
    """Frames of this connection belong to this feed. It stands before the first of them."""

    conn: ConnId
    feed: str
    now: Ns


class State(msgspec.Struct, gc=False):
    """A frame that the exchange did not send: what it would say if it were asked now, made of what the feed knows.

    A reader that begins here has its books from these (`spi.Recordable.state`); no engine input.
    """

    conn: ConnId
    data: bytes
    now: Ns


class Gap(msgspec.Struct, gc=False):
    """Inputs are missing from here on: no book can be followed across it, and no run is the same after it."""

    since: Ns
    """of the last entry before"""
    now: Ns
    """of the first entry after"""
    dropped: int
    """inputs that were not recorded; 0: not known how many"""
    reason: str


type Entry = Input | Via | State | Gap


class Chunk(msgspec.Struct, frozen=True):
    """Entries that are stored together. Times are those of its first and last entry."""

    recording: int
    number: int
    """from 0, without holes: a missing one is a gap"""
    start_ns: Ns
    end_ns: Ns
    entries: int
    frames: int
    pairs: tuple[str, ...]
    """symbols of the pairs whose books were carried while it was recorded, sorted"""
    sha256: bytes
    """of `data`"""
    data: bytes
    """`chunks.decode` reads it"""


class Head(msgspec.Struct):
    """Where a recorded run began: all that its engine was composed of. Secrets, and where data lives, are left out."""

    schema: int
    inputs_schema: int
    now: Ns
    """when the engine was composed: plan ids begin with it"""
    desk_id: str
    system: str
    """name of the system stream"""
    halted: str | None
    plugins: dict[str, str]
    """the enabled ones, with their versions"""
    versions: dict[str, str]
    """of arbitrade and Python"""
    settings: dict[str, str]
    """variables that differ from their defaults, by name"""
    past: bytes
    """`composition.Past`, msgpack"""
    started: Ns = 0
    """when the engine was started"""


SOURCES = ("run", "record", "demo", "import")
"""Where recordings come from."""
