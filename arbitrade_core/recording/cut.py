"""Entries into chunks, for whoever has all of them: an import, a benchmark. (The recorder cuts as time goes by.)"""

import hashlib
from collections.abc import Iterable, Iterator

from arbitrade_core.domain import Ns
from arbitrade_core.events import Frame
from arbitrade_core.recording import chunks as codec
from arbitrade_core.recording.entries import Chunk, Entry, Gap

DAY_NS: Ns = 86_400 * 10**9
MOST_ENTRIES = 20_000
LONGEST_NS: Ns = 10 * 10**9


def cut(
    entries: Iterable[Entry],
    pairs: tuple[str, ...],
    *,
    recording: int = 0,
    most: int = MOST_ENTRIES,
    longest_ns: Ns = LONGEST_NS,
) -> Iterator[tuple[Chunk, list[Gap]]]:
    """Chunks numbered from 0, each with the gaps in it. None holds more than `most` entries, or longer than
    `longest_ns`, or spans midnight UTC. `pairs` are those of the whole recording."""
    held: list[Entry] = []
    number = 0
    for entry in entries:
        if held and (
            len(held) >= most or entry.now - held[0].now >= longest_ns or entry.now // DAY_NS != held[0].now // DAY_NS
        ):
            yield _chunk(held, pairs, recording, number)
            number += 1
            held = []
        held.append(entry)
    if held:
        yield _chunk(held, pairs, recording, number)


def _chunk(held: list[Entry], pairs: tuple[str, ...], recording: int, number: int) -> tuple[Chunk, list[Gap]]:
    data = codec.encode(held)
    chunk = Chunk(
        recording=recording,
        number=number,
        start_ns=held[0].now,
        end_ns=held[-1].now,
        entries=len(held),
        frames=sum(type(entry) is Frame for entry in held),
        pairs=pairs,
        sha256=hashlib.sha256(data).digest(),
        data=data,
    )
    return chunk, [entry for entry in held if isinstance(entry, Gap)]
