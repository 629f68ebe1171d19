"""The shipped plugins through their hooks: Kraken's doctor against a server that answers as told, and the log."""

import json
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import structlog

from arbitrade_core.builtin import LogNotifier
from arbitrade_core.domain import Alert, Pair, Severity
from arbitrade_core.errors import SettingsError
from arbitrade_core.hooks import Finding, Grade, PluginContext
from arbitrade_kraken.plugin import doctor, register_fee_sources
from arbitrade_kraken.settings import KrakenSettings


class Exchange(ThreadingHTTPServer):
    """Answers SystemStatus and Time."""

    status = "online"
    ahead_s = 0

    def answer(self, path: str) -> dict[str, object]:
        if path.endswith("/SystemStatus"):
            return {"status": self.status, "timestamp": "2026-11-01T00:00:00Z"}
        return {"unixtime": int(time.time()) + self.ahead_s, "rfc1123": ""}


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        assert isinstance(self.server, Exchange)
        body = json.dumps({"error": [], "result": self.server.answer(self.path.partition("?")[0])}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def exchange() -> Iterator[Exchange]:
    with Exchange(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def ctx(port: int, **values: object) -> PluginContext[KrakenSettings]:
    settings = KrakenSettings.model_validate({"rest_url": f"http://127.0.0.1:{port}/0", **values})
    return PluginContext("kraken", settings, "USD", ("USD",))


async def examined(port: int) -> Sequence[Finding]:
    return [finding async for finding in doctor(ctx(port))]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.mark.anyio
async def test_kraken_in_order(exchange: Exchange) -> None:
    findings = await examined(exchange.server_port)
    assert [finding.grade for finding in findings] == [Grade.OK] * 3
    assert findings[1].round_trip_ms is not None


@pytest.mark.anyio
async def test_kraken_in_maintenance_and_a_clock_that_is_off(exchange: Exchange) -> None:
    exchange.status, exchange.ahead_s = "maintenance", -60
    status, _, clock = await examined(exchange.server_port)
    assert (status.grade, status.detail) == (Grade.WARNING, "maintenance")
    assert clock.grade is Grade.WARNING
    assert "+60." in clock.detail or "+59." in clock.detail


@pytest.mark.anyio
async def test_kraken_out_of_reach() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        (finding,) = await examined(unused.getsockname()[1])
    assert finding.grade is Grade.FAILED
    assert "ARBITRADE_KRAKEN__REST_URL" in finding.remedy


def test_fees_are_asked_for_only_when_needed() -> None:
    pairs: tuple[Pair, ...] = ()
    (unset,) = register_fee_sources(ctx(1))
    with pytest.raises(SettingsError, match="ARBITRADE_KRAKEN__FEE_TIER"):
        unset.snapshot(pairs, 1)
    (named,) = register_fee_sources(ctx(1, fee_tier="tier-1"))
    assert "tier-1" in named.snapshot(pairs, 1).source


@pytest.mark.parametrize("severity", Severity)
def test_an_alert_is_logged_at_its_severity(severity: Severity) -> None:
    with structlog.testing.capture_logs() as lines:
        LogNotifier().send(Alert(severity, "risk.max_edge", "too good", 5))
    (line,) = lines
    assert (line["event"], line["topic"], line["log_level"]) == ("too good", "risk.max_edge", severity.value)
