"""The trades that one connection carries beside its books, so that recordings hold them. Nobody reads them.

Whatever becomes of a subscription to trades, the pair's book is not concerned.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum, auto

from arbitrade_core.domain import Ns
from arbitrade_kraken.pacing import SECOND, Backoff
from arbitrade_kraken.settings import KrakenSettings

_RETRY_DELAYS_NS = (5 * SECOND, 15 * SECOND, 60 * SECOND)


class _Stage(Enum):
    QUEUED = auto()
    """subscribe when due"""
    ASKED = auto()
    """an answer is due"""
    ON = auto()
    LEAVING = auto()
    """unsubscribe when due"""
    LEFT = auto()
    """an answer is due; then it is forgotten, or subscribed to anew"""


@dataclass(slots=True, eq=False)
class _Trades:
    stage: _Stage
    due: Ns
    wanted: bool = True
    backoff: Backoff = field(default_factory=lambda: Backoff(_RETRY_DELAYS_NS))


_TO_SEND = (_Stage.QUEUED, _Stage.LEAVING)


class TradeSubscriptions:
    """One link's. Does nothing unless the settings want trades."""

    def __init__(self, settings: KrakenSettings) -> None:
        self._settings = settings
        self._by_symbol: dict[str, _Trades] = {}

    def add(self, symbol: str, now: Ns) -> None:
        if not self._settings.trades:
            return
        known = self._by_symbol.setdefault(symbol, _Trades(_Stage.QUEUED, now))
        known.wanted = True
        if known.stage is _Stage.LEAVING:
            known.stage = _Stage.ON

    def drop(self, symbol: str, now: Ns) -> None:
        known = self._by_symbol.get(symbol)
        if known is None:
            return
        known.wanted = False
        match known.stage:
            case _Stage.QUEUED:
                del self._by_symbol[symbol]
            case _Stage.ON:
                known.stage, known.due = _Stage.LEAVING, now
            case _:
                pass  # an answer is on its way: then

    def lost(self, now: Ns) -> None:
        """The connection is gone: all is to be subscribed to on the next one."""
        self._by_symbol = {
            symbol: _Trades(_Stage.QUEUED, now) for symbol, known in self._by_symbol.items() if known.wanted
        }

    def subscribed(self, symbol: str, now: Ns) -> None:
        known = self._by_symbol.get(symbol)
        if known is not None and known.stage is _Stage.ASKED:
            known.backoff.reset()
            known.stage, known.due = (_Stage.ON if known.wanted else _Stage.LEAVING), now

    def unsubscribed(self, symbol: str, now: Ns) -> None:
        known = self._by_symbol.get(symbol)
        if known is None or known.stage is not _Stage.LEFT:
            return
        if known.wanted:
            known.stage, known.due = _Stage.QUEUED, now
        else:
            del self._by_symbol[symbol]

    def refused(self, symbol: str, *, answered: bool, now: Ns) -> None:
        """Asked again, later and later. Without an answer it may be subscribed all the same, so it is left first."""
        known = self._by_symbol.get(symbol)
        if known is None:
            return
        if known.stage is _Stage.LEFT:
            self.unsubscribed(symbol, now)
        elif known.stage is _Stage.ASKED and (known.wanted or not answered):
            known.due = now + known.backoff.next_delay_ns()
            known.stage = _Stage.QUEUED if answered else _Stage.LEAVING
        elif known.stage is _Stage.ASKED:
            del self._by_symbol[symbol]

    def next_due(self) -> Ns | None:
        """When the first is to be asked for, or left."""
        return min((one.due for one in self._by_symbol.values() if one.stage in _TO_SEND), default=None)

    def due(self, now: Ns) -> tuple[str, Sequence[str]] | None:
        """The method and symbols of the next request, taken to be sent; None: nothing is due."""
        for method, stage, sent in (
            ("unsubscribe", _Stage.LEAVING, _Stage.LEFT),
            ("subscribe", _Stage.QUEUED, _Stage.ASKED),
        ):
            symbols = [symbol for symbol, one in self._by_symbol.items() if one.stage is stage and one.due <= now]
            symbols = symbols[: self._settings.symbols_per_message]
            for symbol in symbols:
                self._by_symbol[symbol].stage = sent
            if symbols:
                return method, symbols
        return None
