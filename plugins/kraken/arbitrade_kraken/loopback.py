"""The simulated exchange as the peer of an engine on simulated time, for tests and benchmarks."""

from collections.abc import Iterable

from arbitrade_core.domain import Ns
from arbitrade_core.events import ConnId
from arbitrade_kraken.simulator.exchange import SimulatedExchange
from arbitrade_kraken.simulator.session import Session


class Loopback:
    """Implements `arbitrade_core.testing.world.Peer`."""

    def __init__(self, exchange: SimulatedExchange) -> None:
        self.exchange = exchange
        self.frames: list[bytes] | None = None
        """set to a list to keep every frame that was sent"""
        self._sessions: dict[ConnId, Session] = {}
        self._conns: dict[Session, ConnId] = {}
        self._answers: list[tuple[ConnId, bytes | None]] = []

    def open(self, conn: ConnId, url: str, now: Ns) -> None:
        session = self.exchange.open_session(now)
        self._sessions[conn] = session
        self._conns[session] = conn

    def receive(self, conn: ConnId, data: bytes, now: Ns) -> None:
        session = self._sessions.get(conn)
        if session is None:
            return  # it closed, and the client has not heard of it yet
        self._answers += self._due(now)  # what was on its way before this request comes before its answer
        self._answers += [(conn, frame) for frame in session.receive(data, now)]

    def close(self, conn: ConnId, now: Ns) -> None:
        session = self._sessions.pop(conn, None)
        if session is not None:
            session.close(1000, "client left")

    def next_due(self) -> Ns | None:
        return self.exchange.now_ns if self._answers else self.exchange.next_due_ns

    def advance(self, now: Ns) -> Iterable[tuple[ConnId, bytes | None]]:
        answers, self._answers = self._answers, []
        sent = answers + self._due(now)
        if self.frames is not None:
            self.frames += [frame for _, frame in sent if frame is not None]
        return sent

    def _due(self, now: Ns) -> list[tuple[ConnId, bytes | None]]:
        sent: list[tuple[ConnId, bytes | None]] = [
            (self._conns[session], frame) for session, frame in self.exchange.advance(now)
        ]
        for conn, session in list(self._sessions.items()):
            if session.closed is not None:
                del self._sessions[conn]
                sent.append((conn, None))
        return sent
