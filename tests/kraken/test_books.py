"""Wire bytes to a proven book: equal to a reference book of decimal texts, whatever the stream."""

from decimal import Decimal
from zlib import crc32

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sortedcontainers import SortedDict  # type: ignore[import-untyped]

from arbitrade_core.book import Book
from arbitrade_core.errors import ProtocolError
from arbitrade_kraken.books import BookReader, decimals_of, units
from arbitrade_kraken.checksum import book_checksum
from arbitrade_kraken.wire import decode_book_frame, decode_lexeme_book, parse_time_ns
from tests.kraken.exchange import Bench, instrument, instruments

SYMBOL = "AAA/BBB"

type Changes = list[tuple[int, int, bool]]
"""ticks, lots, and whether to write them with an exponent"""


class ReferenceBook:
    """As PROTOCOL 1.7 words it: sorted dicts of decimals, numbers as texts with all their decimals."""

    def __init__(self, depth: int, price_decimals: int, qty_decimals: int) -> None:
        self.depth = depth
        self.decimals = (price_decimals, qty_decimals)
        self.bids = SortedDict(lambda price: -price)
        self.asks = SortedDict()

    def apply(self, bids: Changes, asks: Changes, snapshot: bool) -> None:
        for side, changes in ((self.bids, bids), (self.asks, asks)):
            if snapshot:
                side.clear()
            for ticks, lots, _ in changes:
                price, qty = self.texts(ticks, lots)
                if lots:
                    side[Decimal(price)] = qty
                else:
                    side.pop(Decimal(price), None)
            while len(side) > self.depth:
                side.popitem()

    def texts(self, ticks: int, lots: int) -> tuple[str, str]:
        price, qty = (f"{Decimal(n).scaleb(-d):f}" for n, d in zip((ticks, lots), self.decimals, strict=True))
        return price, qty

    def checksum(self) -> int:
        parts: list[str] = []
        for side in (self.asks, self.bids):
            for price, qty in side.items()[:10]:
                parts += [f"{price:.{self.decimals[0]}f}", qty]
        return crc32("".join(part.replace(".", "").lstrip("0") for part in parts).encode())

    def levels(self) -> list[list[tuple[Decimal, Decimal]]]:
        return [[(price, Decimal(qty)) for price, qty in side.items()] for side in (self.bids, self.asks)]

    def frame(self, bids: Changes, asks: Changes, snapshot: bool) -> bytes:
        def side(changes: Changes) -> str:
            return ",".join(self._level(*change) for change in changes)

        kind = "snapshot" if snapshot else "update"
        return (
            f'{{"data":[{{"checksum":{self.checksum()},"bids":[{side(bids)}],"symbol":"{SYMBOL}",'
            f'"asks":[{side(asks)}],"new_field":[{{}}]}}],"channel":"book","type":"{kind}"}}'
        ).encode()

    def _level(self, ticks: int, lots: int, exponent: bool) -> str:
        price, qty = self.texts(ticks, lots)
        if exponent:
            price, qty = f"{ticks}e-{self.decimals[0]}", f"{lots}E-0{self.decimals[1]}"
        return f'{{"price":{price},"qty":{qty}}}'


@st.composite
def streams(draw: st.DrawFn) -> tuple[int, int, int, list[tuple[Changes, Changes, bool]]]:
    depth = draw(st.sampled_from([10, 25]))
    price_decimals = draw(st.sampled_from([0, 1, 5, 10]))
    qty_decimals = draw(st.sampled_from([0, 5, 8]))
    middle = draw(st.sampled_from([41, 63_005, 2**51 - 20, 2**51 + 7, 2**53, 10**19]))
    lots = st.one_of(st.just(0), st.integers(1, 10**10), st.sampled_from([2**51 - 1, 2**51, 2**53 + 1, 10**20 + 1]))

    def changes(above: bool, most: int) -> st.SearchStrategy[Changes]:
        away = st.integers(0, 29) if above else st.integers(-40, -1)
        level = st.tuples(away.map(lambda distance: middle + distance), lots, st.booleans())
        return st.lists(level, max_size=most)

    def message(snapshot: bool) -> st.SearchStrategy[tuple[Changes, Changes, bool]]:
        most = depth if snapshot else 14
        return st.tuples(changes(False, most), changes(True, most), st.just(snapshot))

    rest = draw(st.lists(st.one_of(message(False), message(False), message(False), message(True)), max_size=12))
    return depth, price_decimals, qty_decimals, [draw(message(True)), *rest]


@settings(max_examples=250, deadline=None)
@given(streams())
def test_any_stream_gives_the_reference_book_and_verifies(
    stream: tuple[int, int, int, list[tuple[Changes, Changes, bool]]],
) -> None:
    depth, price_decimals, qty_decimals, messages = stream
    bench = Bench(depth=depth).start().online()
    listing = instrument(
        SYMBOL,
        price_precision=price_decimals,
        price_increment=float(Decimal(1).scaleb(-price_decimals)),
        qty_precision=qty_decimals,
        qty_increment=float(Decimal(1).scaleb(-qty_decimals)),
    )
    bench.frame(1, instruments(listing, kind="update"))
    bench.feed.carry([0], bench.now)
    bench.answer(bench.asked("subscribe")[0])
    reference = ReferenceBook(depth, price_decimals, qty_decimals)
    pair = bench.market.pairs[0]
    for bids, asks, snapshot in messages:
        reference.apply(bids, asks, snapshot)
        bench.frame(1, reference.frame(bids, asks, snapshot))
        assert bench.faults == []
        assert bench.usable(SYMBOL)
        book = bench.market.books[0]
        ours = [
            [(pair.price(ticks), pair.qty(lots)) for ticks, lots in side.levels()] for side in (book.bids, book.asks)
        ]
        assert ours == reference.levels()


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_what_is_kept_of_a_side_never_outlives_what_it_stands_for(data: st.DataObject) -> None:
    """Updates that nobody proved, snapshots, emptied books: always the checksum of what is there."""
    depth = data.draw(st.sampled_from([10, 25]))
    book = Book(depth)
    level = st.tuples(st.integers(1, 40), st.one_of(st.integers(0, 3), st.sampled_from([2**63, 10**20])))
    for _ in range(data.draw(st.integers(2, 25))):
        bids, asks = data.draw(st.lists(level, max_size=9)), data.draw(st.lists(level, max_size=9))
        if data.draw(st.integers(0, 9)) == 0:
            book.clear()
        book.apply(bids, asks, snapshot=data.draw(st.integers(0, 7)) == 0)
        if data.draw(st.integers(0, 4)):
            anew = Book(depth)
            anew.apply(book.bids.levels(), book.asks.levels(), snapshot=True)
            assert book_checksum(book) == book_checksum(anew)
            text = "".join(f"{ticks}{lots}" for side in (book.asks, book.bids) for ticks, lots in side.levels(10))
            assert book_checksum(book) == crc32(text.encode())


@given(
    decimals=st.integers(0, 12),
    count=st.one_of(st.integers(0, 2**51 - 1), st.integers(2**51 - 2000, 2**51 - 1), st.integers(0, 10**6)),
)
@settings(max_examples=600, deadline=None)
def test_every_grid_value_below_the_bound_is_read_exactly_by_the_fast_path(decimals: int, count: int) -> None:
    text = f"{Decimal(count).scaleb(-decimals):f}"
    data = (
        '{"channel":"book","type":"update","data":[{"symbol":"A","checksum":1,"asks":[],'
        f'"bids":[{{"price":1,"qty":{text}}}]}}]}}'
    )
    update = BookReader(0, 0, decimals, 10).read(decode_book_frame(data.encode()).data[0], snapshot=False)
    assert update is not None
    assert update.bids == [(1, count)]


@given(decimals=st.integers(0, 10), count=st.integers(1, 2**46), digit=st.integers(1, 9))
def test_a_value_between_grid_points_is_refused_with_its_text(decimals: int, count: int, digit: int) -> None:
    text = f"{Decimal(count * 10 + digit).scaleb(-decimals - 1):f}"
    level = f'{{"price":{text},"qty":1}}'
    data = f'{{"channel":"book","type":"update","data":[{{"symbol":"A","checksum":1,"asks":[{level}],"bids":[]}}]}}'
    reader = BookReader(0, decimals, 0, 10)
    assert reader.read(decode_book_frame(data.encode()).data[0], snapshot=False) is None
    exact = decode_lexeme_book(f'{{"symbol":"A","asks":[{level}],"bids":[]}}'.encode())
    with pytest.raises(ProtocolError, match=f"{text} has more than {decimals} decimals"):
        reader.read_exactly(exact, snapshot=False)


@pytest.mark.parametrize(
    ("text", "decimals", "expected"),
    [
        ("0.10000000", 8, 10**7),
        ("1e-08", 8, 1),
        ("5E-5", 8, 5000),
        ("9312345", 0, 9312345),
        ("2.50e1", 0, 25),
        ("-0.0", 1, 0),
    ],
)
def test_units(text: str, decimals: int, expected: int) -> None:
    assert units(text, decimals, "price") == expected


@pytest.mark.parametrize(
    "text", ["", '"1"', "null", "true", "NaN", "Infinity", "1e999999999", "-1", "1e-999999999", "9" * 65, "1-2", "1.5"]
)
def test_what_is_no_amount_is_refused(text: str) -> None:
    with pytest.raises(ProtocolError, match="price"):
        units(text, 0, "price")


def test_decimals_of_a_text() -> None:
    assert [decimals_of(text) for text in ("0.50", "7", "1e-08", "5.0e3")] == [2, 0, 8, 0]


def test_the_exchange_time_is_optional_and_never_raises() -> None:
    assert parse_time_ns("2026-07-07T23:00:03.501510Z") == 1_783_465_203_501_510_000
    assert parse_time_ns("1970-01-01T00:00:00Z") == 0
    for bad in (None, 7, "", "yesterday", "2026-13-01T00:00:00Z", "2026-07-07T23:00:03"):
        assert parse_time_ns(bad) is None
    reader = BookReader(0, 1, 8, 10)
    book = decode_lexeme_book(b'{"symbol":"A","asks":[],"bids":[],"checksum":0,"timestamp":5}')
    update = reader.read_exactly(book, snapshot=True)
    assert update.exchange_ns() is None
    assert update.verify(Book(10))


@settings(max_examples=300, deadline=None)
@given(
    st.one_of(
        st.binary(max_size=80),
        st.text(max_size=60).map(str.encode),
        st.from_regex(rb'\{"channel":"book","data":\[.{0,60}\]\}'),
    )
)
def test_feeding_bytes_never_raises(data: bytes) -> None:
    bench = Bench().start().online(SYMBOL)
    bench.frame(1, data)
    bench.frame(1, b'{"channel":"book","type":"update","data":[' + data + b"]}")


@settings(max_examples=200, deadline=None)
@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(max_size=5)
        | st.sampled_from(["book", "subscribe", "status", SYMBOL, "snapshot"]),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    [
                        "channel",
                        "method",
                        "data",
                        "type",
                        "result",
                        "symbol",
                        "success",
                        "req_id",
                        "error",
                        "bids",
                        "asks",
                        "price",
                        "qty",
                        "system",
                        "warnings",
                        "depth",
                    ]
                ),
                inner,
                max_size=5,
            )
        ),
        max_leaves=12,
    )
)
def test_feeding_json_of_any_shape_never_raises(value: object) -> None:
    bench = Bench().start().online(SYMBOL)
    bench.frame(1, msgspec.json.encode(value))
    for channel in ("book", "status", "instrument"):
        bench.frame(1, msgspec.json.encode({"channel": channel, "type": "update", "data": value}))
    bench.frame(
        1, msgspec.json.encode({"method": "subscribe", "req_id": 3, "result": value, "success": value, "error": value})
    )
