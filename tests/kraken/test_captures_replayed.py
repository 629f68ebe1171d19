"""Captures made elsewhere become recordings: every checksum right, and every candidate found that is there."""

import json
from collections.abc import Iterable, Iterator
from decimal import Decimal
from fractions import Fraction
from itertools import permutations
from pathlib import Path
from random import Random
from typing import Any
from zlib import crc32

import pytest

from arbitrade_core.composition import load
from arbitrade_core.domain import Candidate
from arbitrade_core.engine import Engine
from arbitrade_core.errors import ProtocolError
from arbitrade_core.events import Closed, FeesLoaded, Frame, StartAssets
from arbitrade_core.recording.transfer import Capture, read_capture
from arbitrade_core.spi import Finding
from arbitrade_kraken.feed import KrakenFeed
from arbitrade_kraken.follower import KrakenFollower
from arbitrade_kraken.reference import Reference, State, lexemes
from arbitrade_kraken.settings import KrakenSettings
from tests.kraken.recorded import Following

BOTH = "btcusd-ethusd-d10.ndjson"
RESYNCS = "btcusd-d10-resync.ndjson"


def read(path: Path, *, skip_bad: bool = False, **settings: object) -> Capture:
    return read_capture(path, [KrakenFeed(KrakenSettings(**settings))], skip_bad=skip_bad)  # type: ignore[arg-type]


def lines(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines(keepends=True)


@pytest.mark.parametrize(
    ("name", "checksums", "pairs"), [(BOTH, 2962, ("BTC/USD", "ETH/USD")), (RESYNCS, 301, ("BTC/USD",))]
)
def test_every_checksum_of_a_capture_is_right(shared: Path, name: str, checksums: int, pairs: tuple[str, ...]) -> None:
    capture = read(shared / "captures" / name)
    assert (capture.form, capture.checksums_ok, capture.checksums_bad) == ("kraken-v2", checksums, 0)
    assert capture.pairs == pairs
    assert (capture.bad_lines, capture.faults) == (0, {})
    times = [entry.now for entry in capture.entries()]
    assert times == sorted(times)
    assert (times[0], times[-1]) == (capture.start_ns, capture.end_ns)


def test_a_capture_tells_what_it_held_word_for_word(shared: Path) -> None:
    path = shared / "captures" / BOTH
    frames = [entry.data for entry in read(path).entries() if isinstance(entry, Frame)]
    made = [frame for frame in frames if frame.startswith(b'{"channel":"instrument"')]
    assert len(made) == 1
    assert [frame for frame in frames if frame not in made] == [line.strip() for line in lines(path)]


def test_a_bad_line_stops_the_import_with_its_place_and_value(shared: Path, tmp_path: Path) -> None:
    path = tmp_path / "bad.ndjson"
    original = lines(shared / "captures" / RESYNCS)
    path.write_bytes(b"".join([*original[:10], b'{"channel":"book","type":"odd"}\n', *original[10:]]))
    with pytest.raises(ProtocolError, match=r"bad\.ndjson:11: a book of type 'odd'") as caught:
        read(path)
    assert "Nothing was imported" in str(caught.value)
    capture = read(path, skip_bad=True)
    assert (capture.bad_lines, capture.checksums_ok, capture.checksums_bad) == (1, 301, 0)
    assert "bad.ndjson:11" in capture.complaints[0]


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "nothing to import"),
        (b"\n\n", "nothing to import"),
        (b"hello\nworld\n", "no known form"),
        (b'{"channel":"heartbeat"}\n', "cannot be dated"),
        (b'{"channel":"book","type":"update","data":[{"symbol":"AB","bids":[],"asks":[]}]}\n', "'AB' is no pair"),
        (
            b'{"channel":"book","type":"update","data":[{"symbol":"A/B","bids":[{"price":"x","qty":1}],"asks":[]}]}\n',
            "is not a number",
        ),
    ],
)
def test_what_is_no_capture_is_refused_in_words(tmp_path: Path, content: bytes, why: str) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(ProtocolError, match=why):
        read(path)


def test_a_file_that_is_not_there_is_refused_in_words(tmp_path: Path) -> None:
    with pytest.raises(ProtocolError, match="cannot be read: No such file"):
        read(tmp_path / "nothing")


def frame(kind: str, price: str, qty: str, ask: str, seconds: int) -> bytes:
    text = "".join(number.replace(".", "").lstrip("0") for number in (ask, "1.00", price, qty))
    return (
        f'{{"channel":"book","type":"{kind}","data":[{{"symbol":"A/B","bids":[{{"price":{price},"qty":{qty}}}],'
        f'"asks":[{{"price":{ask},"qty":1.00}}],"checksum":{crc32(text.encode())},'
        f'"timestamp":"2026-08-01T00:00:{seconds:02}.000000Z"}}]}}\n'
    ).encode()


def test_decimals_that_change_between_two_snapshots_are_listed_anew(tmp_path: Path) -> None:
    path = tmp_path / "capture"
    path.write_bytes(frame("snapshot", "7.1", "2.00", "8.1", 1) + frame("snapshot", "7.10", "3.00", "8.15", 2))
    capture = read(path)
    assert (capture.checksums_ok, capture.checksums_bad) == (2, 0)


def test_another_connection_ends_the_one_before(tmp_path: Path) -> None:
    def status(number: int) -> bytes:
        return b'{"channel":"status","type":"update","data":[{"system":"online","connection_id":%d}]}\n' % number

    path = tmp_path / "capture"
    book = frame("snapshot", "7.1", "2.00", "8.1", 1)
    path.write_bytes(status(1) + book + status(1) + status(2) + book)
    entries = list(read(path).entries())
    assert [entry.conn for entry in entries if isinstance(entry, Closed)] == [1]
    assert [entry.conn for entry in entries if isinstance(entry, Frame)] == [1, 1, 1, 1, 2, 2]


# --- with a third leg ---------------------------------------------------------------------------------------

THIRD = "ETH/BTC"
PRICE_DECIMALS, QTY_DECIMALS = 6, 8
type Ladder = dict[int, int]
"""lots by ticks"""


class ThirdLeg:
    """ETH/BTC as the two real books have it; now and then it is dear or cheap for a while, so that cycles pay."""

    def __init__(self, seed: int) -> None:
        self._chance = Random(seed)
        self._bids: Ladder = {}
        self._asks: Ladder = {}
        self._off = 0.0
        self._left = 0

    def frame(self, ether: State, bitcoin: State, timestamp: str) -> bytes:
        """Its next message: the book moved to where it belongs."""
        chance = self._chance
        if not self._left:
            self._off = chance.choice((0.0, 0.0, chance.uniform(-0.04, 0.04)))
            self._left = chance.randint(5, 60)
        self._left -= 1
        fair = middle(ether) / middle(bitcoin) * (1 + self._off) * 10**PRICE_DECIMALS
        kind = "update" if self._bids else "snapshot"
        bids = {int(fair) - rank: chance.randint(10**5, 10**9) for rank in range(10)}
        asks = {int(fair) + 1 + rank: chance.randint(10**5, 10**9) for rank in range(10)}
        changes = [
            ",".join(
                f'{{"price":{level(ticks, PRICE_DECIMALS)},"qty":{level(new.get(ticks, 0), QTY_DECIMALS)}}}'
                for ticks in [*sorted(old.keys() - new.keys()), *new]
            )
            for old, new in ((self._bids, bids), (self._asks, asks))
        ]
        self._bids, self._asks = bids, asks
        text = "".join(f"{ticks}{lots}" for side in (asks, bids) for ticks, lots in side.items())
        return (
            f'{{"channel":"book","type":"{kind}","data":[{{"symbol":"{THIRD}","bids":[{changes[0]}],'
            f'"asks":[{changes[1]}],"checksum":{crc32(text.encode())},"timestamp":"{timestamp}"}}]}}\n'
        ).encode()


def middle(state: State) -> float:
    bids, asks = state
    return float(bids[0][0] + asks[0][0]) / 2


def level(units: int, decimals: int) -> str:
    return f"{Decimal(units).scaleb(-decimals):.{decimals}f}"


def with_third_leg(path: Path, seed: int) -> list[bytes]:
    """The capture's lines, and messages of the third leg after some of them."""
    third, chance = ThirdLeg(seed), Random(seed)
    books = {symbol: Reference(symbol) for symbol in ("BTC/USD", "ETH/USD")}
    states: dict[str, State] = {}
    made: list[bytes] = []
    for line in lines(path):
        made.append(line)
        message = lexemes(line)
        if message.get("channel") != "book":
            continue
        symbol = message["data"][0]["symbol"]
        states[symbol] = books[symbol].apply(message)
        if len(states) == 2 and chance.random() < 0.5:
            made.append(third.frame(states["ETH/USD"], states["BTC/USD"], message["data"][0]["timestamp"]))
    return made


def every_rotation(books: dict[str, State]) -> dict[str, tuple[tuple[str, ...], float, Fraction]]:
    """By key: the legs, the product of their rates in the order of the key, and the same without rounding."""
    rates: dict[str, tuple[str, str, float, Fraction]] = {}
    for symbol, (bids, asks) in books.items():
        base, quote = symbol.split("/")
        bid, ask = bids[0][0], asks[0][0]
        rates[f"-{symbol}"] = base, quote, float(bid), Fraction(bid)
        rates[f"+{symbol}"] = quote, base, 1.0 / float(ask), 1 / Fraction(ask)
    found: dict[str, tuple[tuple[str, ...], float, Fraction]] = {}
    for legs in permutations(rates, 3):
        joins = all(rates[one][1] == rates[two][0] for one, two in zip(legs, (*legs[1:], legs[0]), strict=True))
        if joins and legs[0] == min(legs):
            rounded, exact = 1.0, Fraction(1)
            for leg in legs:
                rounded, exact = rounded * rates[leg][2], exact * rates[leg][3]
            found[" ".join(legs)] = legs, rounded, exact
    return found


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_every_candidate_is_found_and_no_other(shared: Path, tmp_path: Path, seed: int) -> None:
    path = tmp_path / "capture"
    path.write_bytes(b"".join(with_third_leg(shared / "captures" / BOTH, seed)))
    loaded = load().adjusted("kraken", ws_url="ws://simulated/v2", fee_tier="tier-1")
    capture = read(path)
    following = Following(loaded, KrakenFollower(KrakenSettings()), capture.start_ns)
    engine = following.engine
    offered: dict[str, float] = {}
    offer = engine.offer

    def noting(findings: Iterable[Finding], *rest: Any) -> None:
        findings = list(findings)
        for found in findings:
            if isinstance(found, Candidate):
                offered[found.key] = found.gross
            else:
                offered.pop(found.key, None)
        offer(findings, *rest)

    engine.offer = noting  # type: ignore[method-assign,assignment]
    books = {symbol: Reference(symbol) for symbol in ("BTC/USD", "ETH/USD", THIRD)}
    states: dict[str, State] = {}
    candidates = messages = 0
    for entry in capture.entries():
        offered.clear()
        if isinstance(entry, Frame) and engine.market.pairs and engine.desks[0].fees is None:
            fees = following.setup.fees(engine.market.pairs, entry.now)
            engine.step(FeesLoaded("main", fees, entry.now))
            engine.step(StartAssets("main", ("USD", "BTC", "ETH"), entry.now))
            offered.clear()
        following.take(entry)
        if not isinstance(entry, Frame) or (message := lexemes(entry.data)).get("channel") != "book":
            continue
        symbol = message["data"][0]["symbol"]
        states[symbol] = books[symbol].apply(message)
        if len(states) < 3:
            continue
        messages += 1
        cycles = every_rotation(states)
        assert len(cycles) == 2
        expected = {
            key: gross
            for key, (legs, gross, exact) in cycles.items()
            if gross > engine.desks[0].required([leg_id(engine, leg) for leg in legs])
        }
        assert offered == expected, f"message {messages}"
        assert all(abs(Fraction(gross) / cycles[key][2] - 1) < Fraction(1, 2**50) for key, gross in offered.items())
        candidates += len(offered)
    assert messages > 4_000
    assert candidates > 200
    assert engine.checksums_bad == 0


def leg_id(engine: Engine, leg: str) -> int:
    pair = engine.market.pair_id(leg[1:])
    assert pair is not None
    return 2 * pair + (leg[0] == "+")


# --- the older form -----------------------------------------------------------------------------------------

ASKS = [["5541.30000", "2.50700000", "1534614248.123678"], ["5541.80000", "0.33000000", "1534614098.345543"]]
BIDS = [["5541.20000", "1.52900000", "1534614248.765567"], ["5539.90000", "0.30000000", "1534614241.769870"]]


def checksum(asks: list[list[str]], bids: list[list[str]]) -> int:
    return crc32("".join(text.replace(".", "").lstrip("0") for row in (*asks, *bids) for text in row[:2]).encode())


def v1_lines() -> Iterator[str]:
    yield json.dumps({"connectionID": 8628615390848610000, "event": "systemStatus", "status": "online"})
    yield json.dumps({"channelID": 0, "channelName": "book-10", "event": "subscriptionStatus", "status": "subscribed"})
    yield json.dumps([0, {"as": ASKS, "bs": BIDS}, "book-10", "XBT/USD"])
    yield json.dumps({"event": "heartbeat"})
    yield json.dumps([1, [["5541.20000", "0.15850568", "1534614057.321597", "s", "l", ""]], "trade", "XBT/USD"])
    asks = [["5541.30000", "3.00000000", "1534614250.000000"], ASKS[1]]
    yield json.dumps([0, {"a": asks[:1], "c": str(checksum(asks, BIDS))}, "book-10", "XBT/USD"])
    bids = [["5541.25000", "1.00000000", "1534614251.000001"], *BIDS]
    less = asks[1:]
    gone = ["5541.30000", "0.00000000", "1534614251.000000", "r"]
    yield json.dumps([0, {"a": [gone]}, {"b": bids[:1], "c": str(checksum(less, bids))}, "book-10", "XBT/USD"])


def test_the_older_form_is_read_as_what_the_newer_one_would_have_said(tmp_path: Path) -> None:
    path = tmp_path / "v1"
    path.write_text("\n".join(v1_lines()))
    capture = read(path)
    assert (capture.form, capture.pairs) == ("kraken-v1", ("BTC/USD",))
    assert (capture.checksums_ok, capture.checksums_bad, capture.faults) == (3, 0, {})
    assert capture.start_ns == 1534614248765567000
    assert capture.end_ns == 1534614251000001000


def test_a_capture_of_another_depth_says_which(tmp_path: Path) -> None:
    path = tmp_path / "v1"
    path.write_text("\n".join(v1_lines()).replace("book-10", "book-25"))
    assert "depth 25" in read(path).faults["other_depth"]
    assert read(path, depth=25).faults == {}


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ('[0,{"a":[["1","2","3"]],"c":"x"},"book-10","XBT/USD"]', "checksum 'x'"),
        ('[0,{"a":[["1","2","3"]]},"book-10","XBT/USD"]', "checksum None"),
        ('[0,{"a":[["1","-2","3"]],"c":"1"},"book-10","XBT/USD"]', "quantity '-2'"),
        ('[0,{"a":[["1e9","2","3"]],"c":"1"},"book-10","XBT/USD"]', "price '1e9'"),
        ('[0,{"a":[["1","2"]],"c":"1"},"book-10","XBT/USD"]', "no price, quantity and time"),
        ('[0,{"q":[],"c":"1"},"book-10","XBT/USD"]', "a book of q, c"),
        ('[0,{"a":[]},"book-10",7]', "no channel and pair"),
        ('[0,{"a":[]},"bok-10","XBT/USD"]', "no channel is called 'bok-10'"),
        ('[0,{"a":[["1","2","3"]],"c":"1"},"book-10","XBTUSD"]', "'XBTUSD' is no pair"),
        ("[0]", "neither an event nor"),
    ],
)
def test_a_bad_line_of_the_older_form_is_told_in_words(tmp_path: Path, line: str, why: str) -> None:
    path = tmp_path / "v1"
    path.write_text("\n".join([*v1_lines(), line]))
    with pytest.raises(ProtocolError, match="v1:8: ") as caught:
        read(path)
    assert why in str(caught.value)
    assert read(path, skip_bad=True).bad_lines == 1
