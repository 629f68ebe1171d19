"""What damaged frames can do: recorded frames are damaged one by one; no wrong book may ever be in use.

    python -m arbitrade_kraken.mutations --count 5000 [--seed 1] CAPTURE...

The frames go through the real feed and the real market; a small exchange behind them answers requests with
the truth, which a reference book of its own knows. For each kind of damage the share that was noticed is
printed, and every one that was not is explained by what it did to the book.
"""

import argparse
import random
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import orjson

from arbitrade_core.book import Book
from arbitrade_core.clock import Timers
from arbitrade_core.domain import Asset, Ns, Pair, PairId, Severity
from arbitrade_core.events import ConnId
from arbitrade_core.market import IGNORED, Market
from arbitrade_kraken.feed import KrakenFeed
from arbitrade_kraken.reference import DEPTH, Message, Reference, State, instruments_of, lexemes, read_capture
from arbitrade_kraken.settings import KrakenSettings

KINDS = ("dropped", "doubled", "swapped", "cut", "digit changed", "field removed")
_SECOND = 1_000_000_000
_STEP: Ns = 10_000_000
_START: Ns = 1_780_000_000 * _SECOND


# --- feed, market, and an exchange that knows the truth -----------------------------------------------------


class Rig:
    """The bot's feed and market, fed by hand. Implements `spi.FeedPort`."""

    def __init__(self, instruments: dict[str, dict[str, Any]]) -> None:
        self.clockwork = Timers()
        self.market = Market(DEPTH)
        self.now = _START
        self.faults: Counter[str] = Counter()
        self.quarantines = 0
        self.truth = {symbol: Reference(symbol) for symbol in instruments}
        self._instruments = instruments
        self._conn: ConnId = 0
        self._requests: list[dict[str, Any]] = []
        # Patient about silence, so that whole minutes can be skipped between two damages.
        settings = KrakenSettings(dead_after_ms=60_000, ping_every_ms=50_000, depth=10)
        self.feed = KrakenFeed(settings)
        self.feed.start(self, self.now)
        self.feed.on_open(self._conn, self.now)
        self.deliver(b'{"channel":"status","type":"update","data":[{"system":"online","api_version":"v2"}]}')
        self.answer()

    # spi.FeedPort

    def connect(self, url: str) -> ConnId:
        self._conn += 1
        return self._conn

    def transmit(self, conn: ConnId, data: bytes) -> None:
        self._requests.append(orjson.loads(data))

    def disconnect(self, conn: ConnId) -> None:
        self.feed.on_close(conn, 1000, "asked", self.now)

    def list_assets(self, assets: Sequence[Asset]) -> None:
        pass

    def list_pairs(self, pairs: Sequence[Pair], now: Ns) -> list[PairId]:
        return [self.market.list_pair(pair)[0] for pair in pairs]

    def book(self, pair: PairId) -> Book:
        return self.market.books[pair]

    def carried_by(self, pair: PairId, conn: ConnId | None, now: Ns) -> None:
        self.market.carried_by(pair, conn)

    def quarantine(self, pair: PairId, reason: str, now: Ns) -> None:
        self.quarantines += 1
        self.market.quarantine(pair, reason)
        self.feed.resync(pair, now)

    def clock_offset(self, offset_ns: int) -> None:
        pass

    def exchange_status(self, status: str, now: Ns) -> None:
        pass

    def fault(self, kind: str, detail: str, now: Ns) -> None:
        self.faults[kind] += 1

    def alert(self, severity: Severity, topic: str, text: str, now: Ns) -> None:
        pass

    # by hand

    def deliver(self, data: bytes) -> set[str]:
        """A frame arrives. Returns the pairs of which a message was verified and whose book is in use."""
        self._advance(_STEP)
        proven: set[str] = set()
        for update in self.feed.on_frame(self._conn, data, self.now):
            pair = update.pair
            if update.snapshot:
                verified = self.market.restore(update, self.now) != IGNORED
            elif self.market.apply(update, self.now) == IGNORED:
                continue
            else:
                verified = update.verify(self.market.books[pair])
            if not verified:
                self.quarantine(pair, "checksum mismatch", self.now)
            elif self.market.usable(pair):
                proven.add(self.market.pairs[pair].symbol)
        return proven

    def answer(self) -> None:
        """The exchange answers what was asked, with the truth as it is now."""
        while self._requests:
            requests, self._requests = self._requests, []
            for request in requests:
                for frame in self._answers(request):
                    self.deliver(frame)
            wanted = [pair_id for symbol in self._instruments if (pair_id := self.market.pair_id(symbol)) is not None]
            self.feed.carry(wanted, self.now)

    def _answers(self, request: dict[str, Any]) -> Iterator[bytes]:
        method, req_id = request["method"], request["req_id"]
        if method == "ping":
            yield orjson.dumps({"method": "pong", "req_id": req_id})
            return
        channel = request["params"]["channel"]
        if channel == "instrument":
            yield orjson.dumps({"method": method, "result": {"channel": channel}, "success": True, "req_id": req_id})
            data = {"assets": [], "pairs": list(self._instruments.values())}
            yield orjson.dumps({"channel": "instrument", "type": "snapshot", "data": data})
            return
        for symbol in request["params"]["symbol"]:
            result = {"channel": channel, "symbol": symbol, "depth": DEPTH}
            yield orjson.dumps({"method": method, "result": result, "success": True, "req_id": req_id})
            if method == "subscribe":
                yield self.truth[symbol].snapshot()

    def settle(self) -> None:
        """Time passes until every book has held long enough to start over with the shortest delay."""
        for _ in range(3):
            self._advance(31 * _SECOND)
            self.deliver(b'{"channel":"heartbeat"}')
            self.answer()

    def _advance(self, by: Ns) -> None:
        self.now += by
        while (due := self.clockwork.pop(self.now)) is not None:
            due[1](due[0])

    def usable(self, symbol: str) -> bool:
        pair = self.market.pair_id(symbol)
        return pair is not None and self.market.usable(pair)

    def state(self, symbol: str) -> State:
        """The bot's book, in decimals."""
        pair_id = self.market.pair_id(symbol)
        if pair_id is None:
            return (), ()
        pair, book = self.market.pairs[pair_id], self.market.books[pair_id]
        return (
            tuple((pair.price(ticks), pair.qty(lots)) for ticks, lots in book.bids.levels()),
            tuple((pair.price(ticks), pair.qty(lots)) for ticks, lots in book.asks.levels()),
        )


# --- damage -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Damage:
    """What arrives instead of one or two messages: frames, each with the message it was made from."""

    kind: str
    arrives: tuple[tuple[bytes, Message], ...]
    messages: tuple[Message, ...]
    """the originals, in their order"""
    note: str = ""


_FIELDS = ("channel", "type", "data", "symbol", "bids", "asks", "checksum", "timestamp", "price", "qty")


def damage(kind: str, messages: Sequence[Message], rng: random.Random) -> Damage | None:
    """Damage the first of `messages` (a swap takes its successor too); None when it cannot be done to it."""
    first = messages[0]
    damaged: Damage | None = None
    match kind:
        case "dropped":
            damaged = Damage(kind, (), (first,))
        case "doubled":
            damaged = Damage(kind, ((first.data, first),) * 2, (first,))
        case "swapped" if len(messages) > 1:
            second = messages[1]
            damaged = Damage(kind, ((second.data, second), (first.data, first)), (first, second))
        case "cut":
            damaged = _one(kind, first, first.data[: rng.randrange(1, len(first.data))])
        case "digit changed":
            places = [place for place, byte in enumerate(first.data) if chr(byte).isdigit()]
            place = rng.choice(places)
            digit = rng.choice([byte for byte in b"0123456789" if byte != first.data[place]])
            damaged = _one(kind, first, first.data[:place] + bytes([digit]) + first.data[place + 1 :])
        case "field removed":
            damaged = _without_field(first, rng)
        case _:
            pass  # the last message has nothing to be swapped with
    return damaged


def _one(kind: str, message: Message, data: bytes, note: str = "") -> Damage:
    return Damage(kind, ((data, message),), (message,), note)


def _without_field(message: Message, rng: random.Random) -> Damage | None:
    name = rng.choice(_FIELDS)
    frame = orjson.loads(message.data)
    book = frame["data"][0]
    levels = [level for side in ("bids", "asks") for level in book[side]]
    holder = next((part for part in (frame, book, *(levels and [rng.choice(levels)])) if name in part), None)
    if holder is None:
        return None
    # Taken out of the text, so that all other numbers keep their lexemes.
    del holder[name]
    return _one("field removed", message, _withlexemes(frame, message.data), name)


def _withlexemes(frame: dict[str, Any], original: bytes) -> bytes:
    """The frame as JSON, numbers written as they stood in the original message."""
    book = lexemes(original)["data"][0]
    texts = {float(level[name]): level[name] for side in ("bids", "asks") for level in book[side] for name in level}

    def text(value: object) -> str:
        match value:
            case dict():
                return "{" + ",".join(f'"{key}":{text(inner)}' for key, inner in value.items()) + "}"
            case list():
                return "[" + ",".join(map(text, value)) + "]"
            case float():
                return str(texts[value])
            case _:
                return orjson.dumps(value).decode()

    return text(frame).encode()


def explain(damaged: Damage) -> str | None:
    """Why nobody could notice, or need to: what the damage did to the book. None: no explanation."""
    first, last = damaged.messages[0], damaged.messages[-1]
    reason: str | None = None
    match damaged.kind:
        case "dropped" if first.before == first.after:
            reason = "the message changed nothing"
        case "doubled":
            reason = "applying a message twice changes nothing"
        case "swapped" if first.symbol != last.symbol:
            reason = "the two messages are of different pairs"
        case "swapped" if first.before == first.after or last.before == last.after:
            reason = "one of the two messages changed nothing"
        case "swapped" if first.before == last.after:
            reason = "the two messages cancel: each order leads through the same two books"
        case "field removed" if damaged.note == "timestamp":
            reason = "the timestamp says nothing about the book"
        case "digit changed" if _same_but_timestamp(damaged):
            reason = "the digit was in the timestamp, which says nothing about the book"
        case "digit changed" if _applied(first, damaged.arrives[0][0]) == first.after:
            reason = "the level is set again later in the same message, or was not in the book"
        case _:
            pass
    return reason


def _same_but_timestamp(damaged: Damage) -> bool:
    frames = [lexemes(data) for data in (damaged.arrives[0][0], damaged.messages[0].data)]
    for frame in frames:
        frame["data"][0].pop("timestamp", None)
    return frames[0] == frames[1]


def _applied(message: Message, data: bytes) -> State:
    """The book that a damaged message makes of the one before it."""
    reference = Reference(message.symbol)
    levels = [[{"price": f"{p:f}", "qty": f"{q:f}"} for p, q in side] for side in message.before]
    reference.apply({"type": "snapshot", "data": [{"bids": levels[0], "asks": levels[1]}]})
    return reference.apply(lexemes(data))


# --- the run ------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Tally:
    """What became of one kind of damage."""

    done: int = 0
    noticed: int = 0
    missed: Counter[str] = field(default_factory=Counter)
    """by explanation"""


@dataclass(slots=True)
class Result:
    tallies: dict[str, Tally] = field(default_factory=lambda: {kind: Tally() for kind in KINDS})
    violations: list[str] = field(default_factory=list)
    """books that were in use, verified, and wrong"""
    unexplained: list[str] = field(default_factory=list)

    @property
    def done(self) -> int:
        return sum(tally.done for tally in self.tallies.values())

    def lines(self) -> Iterator[str]:
        yield f"{'damage':<14} {'done':>7} {'noticed':>8} {'rate':>8}   missed, and why that is harmless"
        for kind, tally in self.tallies.items():
            rate = tally.noticed / tally.done if tally.done else 0.0
            yield f"{kind:<14} {tally.done:>7} {tally.noticed:>8} {rate:>8.2%}"
            for reason, count in tally.missed.most_common():
                yield f"{count:>40}   {reason}"
        yield f"{self.done} damages: {len(self.violations)} wrong in use, {len(self.unexplained)} unexplained"
        yield from self.violations[:20]
        yield from self.unexplained[:20]


class Run:
    """One pass over one recording, damaging a message every now and then."""

    def __init__(self, messages: Sequence[Message], rng: random.Random, result: Result, count: int) -> None:
        self._messages = messages
        self._rng = rng
        self._result = result
        self._count = count
        self._rig = Rig(instruments_of(messages))

    def run(self) -> None:
        at = 0
        until_damage = 8  # both books have their first snapshots by then
        while at < len(self._messages):
            damaged = None
            if until_damage <= 0 and self._result.done < self._count:
                kind = KINDS[self._result.done % len(KINDS)]
                damaged = damage(kind, self._messages[at : at + 2], self._rng)
            if damaged is None:
                self._play(self._messages[at])
                at += 1
                until_damage -= 1
            else:
                at = self._try(damaged, at + len(damaged.messages))
                until_damage = self._rng.randrange(4)

    def _play(self, message: Message) -> None:
        self._deliver(message.data, message)
        self._happened(message)
        self._rig.answer()

    def _happened(self, message: Message) -> None:
        self._rig.truth[message.symbol].apply(lexemes(message.data))

    def _deliver(self, data: bytes, message: Message) -> None:
        if message.symbol in self._rig.deliver(data) and self._rig.state(message.symbol) != message.after:
            self._result.violations.append(f"{message.symbol}: {data[:200]!r} left a wrong book in use")

    def _try(self, damaged: Damage, at: int) -> int:
        """Do the damage, then play on until every pair it touched had a message. Returns where to go on."""
        rig, result = self._rig, self._result
        before = rig.quarantines + rig.faults.total()
        for data, message in damaged.arrives:
            self._deliver(data, message)
        for message in damaged.messages:
            self._happened(message)
        rig.answer()
        waiting = {message.symbol for message in damaged.messages}
        after: dict[str, Message] = {}
        for message in islice(self._messages, at, None):
            if not waiting:
                break
            self._play(message)
            waiting.discard(message.symbol)
            after.setdefault(message.symbol, message)
            at += 1
        tally = result.tallies[damaged.kind]
        tally.done += 1
        if rig.quarantines + rig.faults.total() > before:
            tally.noticed += 1
            rig.settle()
            return at
        reason = explain(damaged) or self._healed(damaged, after)
        if reason is None:
            result.unexplained.append(f"{damaged.kind}: {damaged.messages[0].data[:300]!r}")
        else:
            tally.missed[reason] += 1
        return at

    def _healed(self, damaged: Damage, after: dict[str, Message]) -> str | None:
        """A book that lagged until the pair's next message, which verified: it is right again."""
        symbol = damaged.messages[0].symbol
        if symbol not in after:
            return "the recording ends before the pair's next message"
        if self._rig.state(symbol) == after[symbol].after:
            return "the book lagged until the pair's next message set the same levels"
        return None


def run(captures: Sequence[Sequence[Message]], count: int, seed: int) -> Result:
    """Damage `count` messages, passing over the recordings as often as that takes."""
    rng = random.Random(seed)  # noqa: S311 - repeatable, not secret
    result = Result()
    while result.done < count:
        before = result.done
        for messages in captures:
            Run(messages, rng, result, count).run()
        if result.done == before:
            break  # too short to damage
    return result


def main(arguments: Sequence[str] | None = None, write: Callable[[str], object] = sys.stdout.write) -> int:
    """Command line; 1 when a wrong book was in use or a miss has no explanation."""
    parser = argparse.ArgumentParser(prog="python -m arbitrade_kraken.mutations", description=__doc__)
    parser.add_argument("--count", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("captures", nargs="+", type=Path, metavar="CAPTURE")
    options = parser.parse_args(arguments)
    captures: list[list[Message]] = []
    for path in options.captures:
        with path.open("rb") as lines:
            captures.append(read_capture(lines))
    result = run(captures, options.count, options.seed)
    for line in result.lines():
        write(line + "\n")
    return 1 if result.violations or result.unexplained else 0


if __name__ == "__main__":
    sys.exit(main())
