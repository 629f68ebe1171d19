"""Chunks: whatever goes in comes out to the last bit, and damage is one error."""

import zlib
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from arbitrade_core.domain import Fee, FeeSnapshot
from arbitrade_core.errors import ProtocolError
from arbitrade_core.events import Closed, Durable, FeesLoaded, Frame, Halt, Opened, StartAssets, Thresholds, Tick
from arbitrade_core.recording import chunks
from arbitrade_core.recording.chunks import Encoder, decode, encode
from arbitrade_core.recording.entries import Entry, Gap, State, Via
from tests.house.repository import ROOT

CAPTURES = sorted((ROOT.parent / "shared/kraken/captures").glob("*.ndjson"))

now = st.integers(0, 2**62)
conns = st.integers(0, 2**40)
numbers = st.decimals(-(10**9), 10**9, places=8).map(lambda value: f"{value:f}")
text = st.text(max_size=12)
json_frames = st.builds(
    lambda symbol, levels, more: (
        b'{"channel":"book","data":[{"symbol":%s,"bids":[%s],"x":%s}]}'
        % (
            msgspec.json.encode(symbol),
            b",".join(f'{{"price":{price},"qty":{qty}}}'.encode() for price, qty in levels),
            msgspec.json.encode(more),
        )
    ),
    text,
    st.lists(st.tuples(numbers, numbers), max_size=6),
    st.recursive(st.none() | st.booleans() | st.integers(-(2**53), 2**53) | text, st.lists, max_leaves=6),
)
awkward = st.lists(
    st.sampled_from([b":", b"\0", b"\n", b"%", b"%b", b"{", b"}", b",", b'"', b"[", b"1.5", b":7", b"\xff", b""]),
    max_size=30,
).map(b"".join)
data = st.one_of(st.binary(max_size=200), awkward, json_frames)
entries = st.one_of(
    st.builds(Frame, conns, data, now),
    st.builds(Frame, conns, data, now),
    st.builds(State, conns, data, now),
    st.builds(Via, conns, text, now),
    st.builds(Gap, now, now, st.integers(0, 2**40), text),
    st.builds(Opened, conns, now),
    st.builds(Closed, conns, st.integers(0, 5000), text, now),
    st.builds(Tick, now),
    st.builds(Durable, text, st.integers(0, 2**40), now),
    st.builds(Halt, text, text, now),
    st.builds(StartAssets, text, st.lists(text, max_size=3).map(tuple), now),
)


@settings(deadline=None)
@given(st.lists(entries, max_size=40))
def test_any_entries_survive_the_round_trip(given_entries: list[Entry]) -> None:
    assert decode(encode(given_entries)) == given_entries


def test_money_and_fees_stay_exact() -> None:
    fees = FeeSnapshot("id", "source", 5, {"BTC/USD": Fee(Decimal("0.0040"))})
    given_entries: list[Entry] = [
        FeesLoaded("paper", fees, 1),
        Thresholds("paper", Decimal("5.0"), Decimal(1), Decimal("0.010"), 2),
    ]
    back = decode(encode(given_entries))
    assert back == given_entries
    assert str(back[1].min_edge_bps) == "5.0"  # type: ignore[union-attr]


def test_long_frames_and_many_shapes_are_kept_whole() -> None:
    long = b'{"a":' + b"1" * chunks.LONGEST_SPLIT + b"}"
    shapes: list[Entry] = [Frame(1, b'{"%d":%d}' % (number, number), number) for number in range(3_000)]
    given_entries = [Frame(1, long, 0), State(1, long * 100, 0), *shapes]
    assert decode(encode(given_entries)) == given_entries


@pytest.mark.skipif(not CAPTURES, reason="no captures beside the checkout")
@pytest.mark.parametrize("path", CAPTURES, ids=lambda path: path.stem)
def test_real_frames_come_back_and_take_little(path: Path) -> None:
    frames: list[Entry] = [Frame(3, line, number) for number, line in enumerate(path.read_bytes().splitlines())]
    packed = encode(frames)
    assert decode(packed) == frames
    assert len(packed) <= 20 * len(frames)


def test_it_does_not_matter_how_entries_come() -> None:
    frames: list[Entry] = [Frame(number % 3, b'{"n":%d}' % number, 7 * number) for number in range(1_000)]
    encoder, pauses = Encoder(), []
    for start in range(0, 1_000, 64):
        encoder.add(frames[start : start + 64])
    assert (encoder.entries, encoder.frames) == (1_000, 1_000)
    assert encoder.finish(lambda: pauses.append(1)) == encode(frames)
    assert pauses


SAMPLE: list[Entry] = [
    Via(1, "kraken", 5),
    *[Frame(1, b'{"channel":"book","data":[{"price":%d.5,"qty":0.25}]}' % number, 10 * number) for number in range(50)],
    Gap(490, 500, 3, "slow"),
    State(1, b"{}", 600),
]


def test_every_flipped_byte_is_noticed() -> None:
    packed = encode(SAMPLE)
    for place in range(len(packed)):
        for mask in (0x01, 0x80, 0xFF):
            bad = bytearray(packed)
            bad[place] ^= mask
            with pytest.raises(ProtocolError):
                decode(bytes(bad))


def test_every_cut_is_noticed() -> None:
    packed = encode(SAMPLE)
    for length in range(len(packed)):
        with pytest.raises(ProtocolError, match="cannot be read"):
            decode(packed[:length])


def test_another_version_is_named() -> None:
    packed = bytearray(encode(SAMPLE))
    packed[4] = 9
    with pytest.raises(ProtocolError, match="version 9, and this program reads 1"):
        decode(bytes(packed))


def sealed(packed: bytes) -> bytes:
    """With the head that fits, so that only what is inside is wrong."""
    return chunks.MAGIC + bytes([chunks.VERSION]) + zlib.crc32(packed).to_bytes(4, "big") + packed


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_what_is_wrong_inside_is_an_error_and_no_crash(draw: st.DataObject) -> None:
    """A CRC-32 can be right by design; then every table may say anything."""
    tables = msgspec.msgpack.decode(zstandard.ZstdDecompressor().decompress(encode(SAMPLE)[9:]))
    place = draw.draw(st.integers(0, len(tables) - 1))
    table = tables[place]
    if isinstance(table, bytes):
        bad = bytearray(table or b"\0")
        for _ in range(draw.draw(st.integers(1, 3))):
            bad[draw.draw(st.integers(0, len(bad) - 1))] = draw.draw(st.integers(0, 255))
        tables[place] = bytes(bad[: draw.draw(st.integers(0, len(bad)))])
    else:
        tables[place] = draw.draw(st.lists(st.one_of(st.binary(max_size=20), st.integers(0, 9), st.none()), max_size=4))
    packed = sealed(zstandard.ZstdCompressor().compress(msgspec.msgpack.encode(tables)))
    try:
        decode(packed)
    except ProtocolError as error:
        assert "cannot be read" in str(error)


@pytest.mark.parametrize("inside", [b"", b"not zstd", zstandard.ZstdCompressor().compress(b"\xc1")])
def test_what_is_no_chunk_inside_is_an_error(inside: bytes) -> None:
    with pytest.raises(ProtocolError, match="cannot be read"):
        decode(sealed(inside))


def test_a_chunk_that_would_fill_the_memory_is_not_unpacked() -> None:
    bomb = zstandard.ZstdCompressor().compress(bytes(chunks.LARGEST + 1))
    with pytest.raises(ProtocolError, match="the most that is read"):
        decode(sealed(bomb))
