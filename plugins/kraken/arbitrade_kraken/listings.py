"""What Kraken said of itself, as the market was told: its status, its assets, its pairs.

Shared by the feed that asks Kraken and the follower that overhears it. `frames` says the same again, in Kraken's words.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from arbitrade_core.domain import Asset, Ns, Pair, PairId, PairStatus, Severity
from arbitrade_core.errors import ProtocolError
from arbitrade_core.spi import FeedPort
from arbitrade_kraken.instrument import Listing, read_instruments
from arbitrade_kraken.protocol import Instruments, Status
from arbitrade_kraken.writing import instrument_frame, status_frame

WITHOUT_BOOK = frozenset({PairStatus.DELISTED, PairStatus.WORK_IN_PROGRESS, PairStatus.UNKNOWN})
"""Statuses in which a book is not asked for. In every other one it is kept, to be there when trading resumes.
"""


class Listings:
    """What is listed, by symbol and by the market's ids, in the order in which it was first listed."""

    def __init__(self) -> None:
        self.pairs: dict[str, Pair] = {}
        self.ids: dict[str, PairId] = {}
        self.symbols: dict[PairId, str] = {}
        self.assets: dict[str, Asset] = {}
        self.system: str | None = None
        """the state of Kraken's matching engine, once it told"""
        self._announced: set[str] = set()
        self._snapshot: bytes | None = None
        """the last message, if it was a whole list: hearing the same again changes nothing"""
        self._frame: bytes | None = None

    def status(self, status: Status, port: FeedPort, now: Ns) -> None:
        """Tell the market, and people once of every announcement."""
        self.system = status.system
        port.exchange_status(status.system, now)
        notices = [(Severity.WARNING, "feed.maintenance", f"Kraken announces: {text}") for text in status.maintenance]
        notices += [(Severity.CRITICAL, "feed.emergency", f"Kraken reports: {text}") for text in status.emergency]
        for severity, topic, text in notices:
            if text not in self._announced:
                self._announced.add(text)
                port.alert(severity, topic, text, now)

    def instruments(self, message: Instruments, port: FeedPort, now: Ns) -> Sequence[Pair] | None:
        """List what is new or changed; returns those pairs. None: what it lists cannot be known."""
        if message.snapshot and message.data == self._snapshot:
            return ()
        self._snapshot = message.data if message.snapshot else None
        try:
            listing = read_instruments(message.data)
        except ProtocolError as error:
            self._snapshot = None
            port.fault("malformed_instruments", str(error), now)
            return None
        for oddity in listing.oddities:
            port.fault("unknown_pair_status", oddity, now)
        if listing.assets:
            self._frame = None
            self.assets.update((asset.symbol, asset) for asset in listing.assets)
            port.list_assets(listing.assets)
        pairs = self._changed(listing, message.snapshot, port, now)
        if pairs:
            self._frame = None
            ids = port.list_pairs(pairs, now)
            for pair, pair_id in zip(pairs, ids, strict=True):
                self.pairs[pair.symbol] = pair
                self.ids[pair.symbol] = pair_id
                self.symbols[pair_id] = pair.symbol
        return pairs

    def _changed(self, listing: Listing, snapshot: bool, port: FeedPort, now: Ns) -> list[Pair]:
        """Pairs that are new or differ from what we knew."""
        pairs = {pair.symbol: pair for pair in listing.pairs}
        for entry in listing.bad:
            port.fault("malformed_instrument", f"{entry.symbol or 'an entry without a symbol'}: {entry.reason}", now)
            if entry.symbol in self.pairs:
                # What it is now cannot be known: out of use until an entry can be read again.
                pairs[entry.symbol] = replace(self.pairs[entry.symbol], status=PairStatus.UNKNOWN)
        if snapshot:
            for symbol, pair in self.pairs.items():
                if symbol not in pairs:
                    pairs[symbol] = replace(pair, status=PairStatus.DELISTED)
        return [pair for symbol, pair in pairs.items() if self.pairs.get(symbol) != pair]

    def with_book(self, wanted: Collection[PairId]) -> Mapping[str, PairId]:
        """Those of the wanted pairs that have a book, in the order of listing."""
        return {
            symbol: pair_id
            for symbol, pair_id in self.ids.items()
            if pair_id in wanted and self.pairs[symbol].status not in WITHOUT_BOOK
        }

    def frames(self) -> list[bytes]:
        """Status and list, as Kraken would send them if it were asked now. The list is kept until it changes."""
        frames: list[bytes] = []
        if self.system is not None:
            frames.append(status_frame(self.system))
        if self.pairs or self.assets:
            self._frame = self._frame or instrument_frame(self.assets.values(), self.pairs.values())
            frames.append(self._frame)
        return frames
