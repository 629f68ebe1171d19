"""What the feed's tests share: a port that plays the engine's part, and Kraken's side of a conversation, by hand."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from zlib import crc32

import orjson

from arbitrade_core.book import Book
from arbitrade_core.clock import Timers
from arbitrade_core.domain import Asset, Ns, Pair, PairId, Severity
from arbitrade_core.events import BookUpdate, ConnId
from arbitrade_core.market import IGNORED, Market
from arbitrade_kraken.feed import KrakenFeed
from arbitrade_kraken.settings import KrakenSettings

SECOND: Ns = 1_000_000_000
MS: Ns = 1_000_000
START: Ns = 1_790_000_000 * SECOND

STATUS = b'{"channel":"status","type":"update","data":[{"system":"online","api_version":"v2","version":"2.0.10"}]}'
HEARTBEAT = b'{"channel":"heartbeat"}'


def instrument(symbol: str, **changes: object) -> dict[str, Any]:
    base, quote = symbol.split("/")
    return {
        "symbol": symbol,
        "base": base,
        "quote": quote,
        "status": "online",
        "price_precision": 1,
        "price_increment": 0.1,
        "qty_precision": 8,
        "qty_increment": 1e-08,
        "qty_min": 0.0001,
        "cost_min": 0.5,
        "cost_precision": 5,
    } | changes


def instruments(*pairs: dict[str, Any], kind: str = "snapshot") -> bytes:
    return orjson.dumps({"channel": "instrument", "type": kind, "data": {"assets": [], "pairs": list(pairs)}})


def book(
    symbol: str,
    bids: Sequence[tuple[str, str]] = (),
    asks: Sequence[tuple[str, str]] = (),
    *,
    kind: str = "snapshot",
    checksum: int | None = None,
) -> bytes:
    """A book frame with numbers as written; the checksum is that of these levels, as in a snapshot."""

    def side(levels: Sequence[tuple[str, str]]) -> str:
        return ",".join(f'{{"price":{price},"qty":{qty}}}' for price, qty in levels)

    def text(levels: Sequence[tuple[str, str]]) -> str:
        return "".join(number.replace(".", "").lstrip("0") for level in levels for number in level)

    crc = crc32((text(asks) + text(bids)).encode()) if checksum is None else checksum
    return (
        f'{{"channel":"book","type":"{kind}","data":[{{"symbol":"{symbol}","bids":[{side(bids)}],'
        f'"asks":[{side(asks)}],"checksum":{crc},"timestamp":"2026-09-21T13:00:00.123456Z"}}]}}'
    ).encode()


BIDS = (("100.0", "1.00000000"), ("99.9", "2.00000000"))
ASKS = (("100.1", "1.50000000"), ("100.2", "0.50000000"))


def snapshot(symbol: str) -> bytes:
    return book(symbol, BIDS, ASKS)


@dataclass(slots=True)
class Sent:
    conn: ConnId
    at: Ns
    request: dict[str, Any]


class Bench:
    """A feed on a port that does what the engine does with a market, time moved by hand."""

    def __init__(self, **settings: Any) -> None:
        self.clockwork = Timers()
        self.market = Market(settings.get("depth", 10))
        self.now = START
        self.connects: list[tuple[ConnId, Ns]] = []
        self.disconnects: list[ConnId] = []
        self.sent: list[Sent] = []
        self.faults: list[tuple[str, str]] = []
        self.alerts: list[tuple[Severity, str, str]] = []
        self.statuses: list[str] = []
        self.offsets: list[int] = []
        self.carried: list[tuple[str, ConnId | None]] = []
        self.listed: list[str] = []
        self.assets: list[Asset] = []
        self.quarantined: list[tuple[str, str]] = []
        self.feed = KrakenFeed(KrakenSettings(**settings))

    # spi.FeedPort

    def connect(self, url: str) -> ConnId:
        assert url.startswith("ws")
        self.connects.append((len(self.connects) + 1, self.now))
        return len(self.connects)

    def transmit(self, conn: ConnId, data: bytes) -> None:
        self.sent.append(Sent(conn, self.now, orjson.loads(data)))

    def disconnect(self, conn: ConnId) -> None:
        self.disconnects.append(conn)

    def list_assets(self, assets: Sequence[Asset]) -> None:
        self.assets += assets

    def list_pairs(self, pairs: Sequence[Pair], now: Ns) -> list[PairId]:
        assert now <= self.now
        self.listed += [pair.symbol for pair in pairs]
        return [self.market.list_pair(pair)[0] for pair in pairs]

    def book(self, pair: PairId) -> Book:
        return self.market.books[pair]

    def carried_by(self, pair: PairId, conn: ConnId | None, now: Ns) -> None:
        assert now <= self.now
        self.carried.append((self.market.pairs[pair].symbol, conn))
        self.market.carried_by(pair, conn)

    def quarantine(self, pair: PairId, reason: str, now: Ns) -> None:
        self.quarantined.append((self.market.pairs[pair].symbol, reason))
        self.market.quarantine(pair, reason)
        self.feed.resync(pair, now)

    def clock_offset(self, offset_ns: int) -> None:
        self.offsets.append(offset_ns)

    def exchange_status(self, status: str, now: Ns) -> None:
        assert now <= self.now
        self.statuses.append(status)

    def fault(self, kind: str, detail: str, now: Ns) -> None:
        assert now <= self.now
        self.faults.append((kind, detail))

    def alert(self, severity: Severity, topic: str, text: str, now: Ns) -> None:
        assert now <= self.now
        self.alerts.append((severity, topic, text))

    # the shell's part

    def start(self) -> "Bench":
        self.feed.start(self, self.now)
        return self

    def wait(self, ns: Ns, *, heartbeats: Sequence[ConnId] = ()) -> None:
        """Time passes, timers run at their due times; a heartbeat a second on these connections."""
        until = self.now + ns
        beat = self.now + SECOND
        while self.now < until:
            step = min(until, beat)
            while (due := self.clockwork.pop(step)) is not None:
                self.now = max(self.now, due[0])
                due[1](self.now)
            self.now = step
            if step == beat:
                beat += SECOND
                for conn in heartbeats:
                    self.feed.on_frame(conn, HEARTBEAT, self.now)

    def open(self, conn: ConnId) -> None:
        self.feed.on_open(conn, self.now)

    def close(self, conn: ConnId, code: int = 1006) -> None:
        self.feed.on_close(conn, code, "gone", self.now)

    def frame(self, conn: ConnId, data: bytes) -> Sequence[BookUpdate]:
        updates = self.feed.on_frame(conn, data, self.now)
        for update in updates:
            if update.snapshot:
                verified = self.market.restore(update, self.now) != IGNORED
            elif self.market.apply(update, self.now) == IGNORED:
                continue
            else:
                verified = update.verify(self.market.books[update.pair])
            if not verified:
                self.quarantine(update.pair, "checksum mismatch", self.now)
        return updates

    # Kraken's part

    def online(self, *symbols: str, conn: ConnId = 1) -> "Bench":
        """Open the first connection and list these pairs, and carry all of them."""
        self.open(conn)
        self.frame(conn, STATUS)
        self.answer(self.asked("subscribe", "instrument")[-1])
        self.frame(conn, instruments(*map(instrument, symbols)))
        self.feed.carry(range(len(self.market.pairs)), self.now)
        return self

    def asked(self, method: str, channel: str | None = "book", since: int = 0) -> list[Sent]:
        return [
            sent
            for sent in self.sent[since:]
            if sent.request["method"] == method and sent.request.get("params", {}).get("channel") == channel
        ]

    def answer(self, sent: Sent, **changes: object) -> None:
        """Confirm a request, one answer a symbol."""
        params = sent.request["params"]
        for symbol in params.get("symbol", [None]):
            result = {"channel": params["channel"]}
            if symbol is not None:
                result |= {"symbol": symbol, "depth": params["depth"]}
            reply = {"method": sent.request["method"], "result": result, "success": True}
            self.frame(sent.conn, orjson.dumps(reply | {"req_id": sent.request["req_id"]} | changes))

    def go_live(self, since: int = 0) -> None:
        """Confirm every book subscription sent since, and deliver its snapshots."""
        for sent in self.asked("subscribe", since=since):
            self.answer(sent)
            for symbol in sent.request["params"]["symbol"]:
                self.frame(sent.conn, snapshot(symbol))

    def usable(self, symbol: str) -> bool:
        pair = self.market.pair_id(symbol)
        return pair is not None and self.market.usable(pair)

    def id(self, symbol: str) -> PairId:
        pair = self.market.pair_id(symbol)
        assert pair is not None
        return pair

    def fault_kinds(self) -> Counter[str]:
        return Counter(kind for kind, _ in self.faults)

    def topics(self) -> Counter[str]:
        return Counter(topic for _, topic, _ in self.alerts)


def symbols_of(requests: Sequence[Sent]) -> list[str]:
    return [symbol for sent in requests for symbol in sent.request["params"]["symbol"]]
