"""FEED: what every feed must hold."""

from collections.abc import Iterator, Sequence
from random import Random

from arbitrade_core.domain import PairId
from arbitrade_core.events import BookUpdate
from arbitrade_core.market import IGNORED
from arbitrade_core.spi import Feed
from arbitrade_core.testing.contracts.rules import Contract, holds, holds_name, rule, skip
from arbitrade_core.testing.feed_port import FakeFeedPort
from arbitrade_core.testing.guard import watched

NO_SUCH_PAIR: PairId = 1_000_000
NO_SUCH_CONNECTION = 1_000_000
_MUTANTS = 150
_REFUSALS = 30
_CONNECTS_A_MINUTE = 40
"""Sees a feed that hammers. Kraken bans at about 150 in 10 minutes, which is less: a feed keeps its own bound."""


class FeedContract(Contract[Feed]):
    KIND = "feed"

    def samples(self) -> Sequence[bytes]:
        """Frames as the exchange sends them: override it, and they are played, cut short and mixed up as well."""
        return ()

    @rule("FEED-01", source="DESIGN 3")
    def test_feed_01_has_a_name(self) -> None:
        """It has a name: its faults, costs and quarantine are told by that."""
        holds_name(self.make(), self.KIND)

    @rule("FEED-02", source="STYLE 5, DESIGN 4")
    def test_feed_02_bytes_never_raise(self) -> None:
        """Whatever bytes come in, `on_frame` does not raise: a bad frame is a fault or nothing, never an exception."""
        playing = Playing(self.make())
        for frame in [*hostile(), *mutants(self.samples())]:
            for conn in playing.connections():
                try:
                    playing.frame(conn, frame)
                except Exception as error:  # noqa: BLE001 - that it raises at all is what is looked for
                    words = f"{frame[:60]!r}{'...' if len(frame) > 60 else ''} ({len(frame)} bytes)"  # noqa: PLR2004
                    holds(False, f"{words} raised {type(error).__name__}: {str(error)[:200]}")

    @rule("FEED-03", source="DESIGN 4")
    def test_feed_03_updates_are_of_listed_pairs(self) -> None:
        """Updates are of pairs it listed, and before that there are none: ids come from `list_pairs` alone."""
        playing = Playing(self.make())
        for frame in [*self.samples(), *hostile()]:
            for conn in playing.connections():
                for update in playing.feed.on_frame(conn, frame, playing.port.clock.now):
                    holds(isinstance(update, BookUpdate), f"{frame[:60]!r} gave {update!r}; give BookUpdates")
                    known = len(playing.port.market.pairs)
                    holds(
                        0 <= update.pair < known, f"{frame[:60]!r}: an update of pair {update.pair}, {known} are listed"
                    )

    @rule("FEED-04", source="STYLE 5")
    def test_feed_04_unknown_connections_are_harmless(self) -> None:
        """What comes of a connection that is gone, or that never was, changes nothing and raises nothing."""
        playing = Playing(self.make())
        feed, now = playing.feed, playing.port.clock.now
        before = list(playing.port.calls)
        feed.on_open(NO_SUCH_CONNECTION, now)
        given = feed.on_frame(NO_SUCH_CONNECTION, b"{}", now)
        feed.on_close(NO_SUCH_CONNECTION, 1006, "gone", now)
        holds(not given, f"a frame of a connection that never was gave {given!r}")
        holds(playing.port.calls == before, f"it answered with {playing.port.calls[len(before) :][:3]}")

    @rule("FEED-05", source="DESIGN 3")
    def test_feed_05_unknown_pairs_are_harmless(self) -> None:
        """`resync` and `carry` of a pair that it never listed change nothing: several feeds share a market."""
        playing = Playing(self.make())
        sent = len(playing.port.sent)
        playing.feed.resync(NO_SUCH_PAIR, playing.port.clock.now)
        playing.feed.carry([NO_SUCH_PAIR], playing.port.clock.now)
        holds(NO_SUCH_PAIR not in playing.port.carrier, "it says that it carries a pair that it never listed")
        holds(len(playing.port.sent) == sent, f"it sent {playing.port.sent[sent:][:1]}")

    @rule("FEED-06", source="DESIGN 3")
    def test_feed_06_carries_only_what_it_was_told(self) -> None:
        """It carries the pairs that `carry` named, and none that it did not: books cost, and the operator chose."""
        playing = Playing(self.make(), wants=False)
        self._play_samples(playing)
        carried = {pair for pair, conn in playing.port.carrier.items() if conn is not None}
        holds(not carried, f"nothing is wanted yet, and it carries {sorted(carried)}")
        listed = range(len(playing.port.market.pairs))
        wanted = set(listed[::2])
        playing.feed.carry(sorted(wanted), playing.port.clock.now)
        playing.passes(s=2)
        carried = {pair for pair, conn in playing.port.carrier.items() if conn is not None}
        holds(carried <= wanted, f"it carries {sorted(carried - wanted)}, which was not asked for")
        playing.feed.carry([], playing.port.clock.now)
        playing.passes(s=2)
        carried = {pair for pair, conn in playing.port.carrier.items() if conn is not None}
        holds(not carried, f"nothing is wanted any more, and it still carries {sorted(carried)}")

    @rule("FEED-07", source="DESIGN 3")
    def test_feed_07_stops_for_good(self) -> None:
        """After `stop`, once or twice, nothing is connected, and an hour of timers and late frames wakes nothing."""
        playing = Playing(self.make())
        self._play_samples(playing)
        conns = playing.connections()
        for _ in range(2):
            playing.feed.stop(playing.port.clock.now)
        holds(not playing.port.open, f"connections {sorted(playing.port.open)} are still open")
        before = len(playing.port.connections), len(playing.port.sent)
        for conn in conns:
            playing.feed.on_frame(conn, b"{}", playing.port.clock.now)
            playing.feed.on_close(conn, 1000, "closed by us", playing.port.clock.now)
        playing.passes(s=3600)
        after = len(playing.port.connections), len(playing.port.sent)
        holds(after == before, f"(connections, frames sent) were {before} at the stop and are {after} an hour later")

    @rule("FEED-08", source="RELIABILITY 14")
    def test_feed_08_starts_anew(self) -> None:
        """`stop` and `start` again lead to the same connections as at first: a plugin is disabled and enabled."""
        playing = Playing(self.make())
        first = [one.url for one in playing.port.connections]
        playing.feed.stop(playing.port.clock.now)
        again = Playing(playing.feed)
        holds([one.url for one in again.port.connections] == first, "a second start does not connect as the first did")

    @rule("FEED-09", source="RELIABILITY 11")
    def test_feed_09_is_deterministic(self) -> None:
        """One made alike, fed alike, asks and tells the same in the same order: a replay must see the same market."""
        runs = []
        for _ in range(2):
            playing = Playing(self.make())
            self._play_samples(playing)
            for conn in playing.connections():
                playing.refuses(conn)
            playing.passes(s=30)
            runs.append(playing.port.calls)
        holds(runs[0] == runs[1], _first_difference(*runs))

    @rule("FEED-10", source="STYLE 5, 9")
    def test_feed_10_does_no_io_and_reads_no_clock(self) -> None:
        """No I/O, no clock, no chance, no threads: the shell moves bytes, and time comes with every call."""
        frames = [*self.samples(), *hostile()]
        self._play_all(Playing(self.make()), frames)  # what is imported when first used is read from disk
        playing = Playing(self.make())
        with watched() as seen:
            self._play_all(playing, frames)
        holds(not seen, f"called {seen.first}")

    @rule("FEED-11", source="Kraken PROTOCOL 1.1")
    def test_feed_11_reconnects_at_a_pace(self) -> None:
        """When every connection is refused it waits longer and longer: exchanges ban who knocks without end."""
        playing = Playing(self.make(), opens=False)
        if not playing.port.connections:
            skip("it needs no connection")
        began, first = playing.port.clock.now, len(playing.port.connections)
        for _ in range(_REFUSALS * 10):
            for conn in sorted(playing.port.open):
                playing.refuses(conn)
            if playing.port.clock.next_due is None or playing.port.clock.now - began > 60 * 10**9:
                break
            playing.passes(s=0.25)
        asked = len(playing.port.connections) - first
        most = _CONNECTS_A_MINUTE * first
        holds(asked <= most, f"refused each time, it asked {asked} times within a minute; at most {most}")

    def _play_samples(self, playing: "Playing") -> None:
        for frame in self.samples():
            for conn in playing.connections()[:1]:
                playing.frame(conn, frame)

    def _play_all(self, playing: "Playing", frames: Sequence[bytes]) -> None:
        for frame in frames:
            for conn in playing.connections():
                playing.frame(conn, frame)
        playing.feed.carry(range(len(playing.port.market.pairs)), playing.port.clock.now)
        for conn in playing.connections():
            playing.refuses(conn)
        playing.passes(s=30)
        playing.feed.stop(playing.port.clock.now)


class Playing:
    """A feed that was started, its connections open, and every pair wanted that it lists."""

    def __init__(self, feed: Feed, *, opens: bool = True, wants: bool = True) -> None:
        self.feed = feed
        self.port = FakeFeedPort()
        self._wants = wants
        self._wanted = 0
        feed.start(self.port, self.port.clock.now)
        if opens:
            for conn in self.connections():
                feed.on_open(conn, self.port.clock.now)

    def connections(self) -> list[int]:
        return sorted(self.port.open)

    def frame(self, conn: int, data: bytes) -> Sequence[BookUpdate]:
        """As the engine does: what is handed over is applied and proven, and a pair that is not gets a resync."""
        self.port.clock.passes(ms=1)
        now, market = self.port.clock.now, self.port.market
        updates = self.feed.on_frame(conn, data, now)
        for update in updates:
            update.exchange_ns()
            if not 0 <= update.pair < len(market.pairs):
                continue
            if update.snapshot:
                proven = market.restore(update, now) != IGNORED
            else:
                proven = market.apply(update, now) == IGNORED or update.verify(market.books[update.pair])
            if not proven and market.quarantine(update.pair, "a test"):
                self.feed.resync(update.pair, now)
        if self._wants and len(market.pairs) > self._wanted:
            self._wanted = len(market.pairs)
            self.feed.carry(range(self._wanted), now)
        return updates

    def refuses(self, conn: int) -> None:
        """The other side ends a connection."""
        self.port.closes(conn)
        self.feed.on_close(conn, 1006, "refused", self.port.clock.now)

    def passes(self, *, s: float) -> None:
        self.port.clock.passes(s=s)


def hostile() -> Iterator[bytes]:
    """Bytes that no exchange should send, always the same."""
    rng = Random(7)  # noqa: S311 - noise that repeats
    yield from (b"", b" ", b"\x00", b"null", b"true", b"0", b'""', b"[]", b"{}", b"[[]]", b"[{}]", b"NaN", b"1e999999")
    yield from (
        b'{"a"',
        b"}{",
        b'{"channel":1}',
        b'{"channel":"book","data":[]}',
        b'{"channel":"book","type":5,"data":{}}',
    )
    yield b"\xff\xfe\xfa"
    yield b"[" * 100_000
    yield b'{"data":' * 20_000
    yield b'"' + b"x" * 1_000_000 + b'"'
    yield b"9" * 100_000
    yield b"\xf0\x9f\x92\xa5" * 1000
    for _ in range(60):
        yield rng.randbytes(rng.randint(1, 400))


def mutants(samples: Sequence[bytes]) -> Iterator[bytes]:
    """Samples cut short, with bytes changed, doubled and joined, always the same."""
    rng = Random(11)  # noqa: S311 - noise that repeats
    yield from samples
    for _ in range(_MUTANTS if samples else 0):
        data = bytearray(rng.choice(samples))
        for _ in range(rng.randint(1, 4)):
            at = rng.randrange(len(data) + 1)
            match rng.randrange(4):
                case 0:
                    del data[at:]
                case 1:
                    data[at : at + 1] = rng.randbytes(1)
                case 2:
                    data[at:at] = data[: rng.randint(0, 40)]
                case _:
                    data[at:at] = rng.choice([b"-", b"null", b"1e400", b'"', b"0.0000000000000000000001", b"}", b"["])
        yield bytes(data)


def _first_difference(one: list[str], other: list[str]) -> str:
    for number, (mine, theirs) in enumerate(zip(one, other, strict=False)):
        if mine != theirs:
            return f"call {number} was {mine[:120]!r}, of one made alike {theirs[:120]!r}"
    return f"one made {len(one)} calls, one made alike {len(other)}"
