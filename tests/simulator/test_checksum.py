"""Kraken's checksum: the documented example, and the recorded frames."""

import os
from pathlib import Path

import pytest

from arbitrade_kraken.simulator.checksum import checksum
from tests.simulator.lexeme_client import Client, stripped

CAPTURES = Path(__file__).parents[2].parent / "shared" / "kraken" / "captures"

# The guide's example (PROTOCOL 1.7).
ASKS = (
    "45285.2x0.00100000 45286.4x1.54571953 45286.6x1.54571109 45289.6x1.54560911 45290.2x0.15890660 "
    "45291.8x1.54553491 45294.7x0.04454749 45296.1x0.35380000 45297.5x0.09945542 45299.5x0.18772827"
)
BIDS = (
    "45283.5x0.10000000 45283.4x1.54582015 45282.1x0.10000000 45281.0x0.10000000 45280.3x1.54592586 "
    "45279.0x0.07990000 45277.6x0.03310103 45277.5x0.30000000 45277.3x1.54602737 45276.6x0.15445238"
)


def units(levels: str) -> list[tuple[int, int]]:
    """As integers on the wire grid: one price decimal, eight of quantity."""
    pairs = (level.split("x") for level in levels.split())
    return [(int(price.replace(".", "")), int(qty.replace(".", ""))) for price, qty in pairs]


def test_worked_example() -> None:
    assert checksum(units(ASKS), units(BIDS)) == 3310070434


def test_a_thin_book_uses_the_levels_it_has() -> None:
    assert checksum(units(ASKS)[:2], []) != checksum(units(ASKS)[:1], [])
    assert checksum([], []) == 0


@pytest.mark.parametrize(
    ("name", "sums"),
    [
        ("btcusd_docs_worked_example.ndjson", [3310070434]),
        ("ethbtc_2026-08-26_d10.ndjson", [3619791617, 2505869009]),
    ],
)
def test_recorded_vectors(name: str, sums: list[int]) -> None:
    file = CAPTURES / "frames" / name
    if not file.exists() and os.environ.get("CI") != "true":
        pytest.skip(f"no recorded frames beside the checkout: {file}")
    client = Client(10)
    seen = []
    for line in file.read_text().splitlines():
        client.see(line)
        if client.books and '"channel":"book","type"' in line:
            (book,) = client.books.values()
            bids, asks = ([(int(stripped(price)), int(stripped(qty))) for price, qty in side] for side in book.levels())
            seen.append(checksum(asks, bids))
    assert client.wrong == 0
    assert seen == sums
