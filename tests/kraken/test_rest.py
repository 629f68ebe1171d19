"""Public REST against a small server on this machine."""

from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread

import pytest

from arbitrade_kraken.rest import KrakenRest, RestError

pytestmark = pytest.mark.anyio

ANSWERS = {
    "/0/public/Time": b'{"error":[],"result":{"unixtime":1790000000,"rfc1123":"x"}}',
    "/0/public/SystemStatus": b'{"error":[],"result":{"status":"cancel_only","timestamp":"2026-11-01T00:00:00Z"}}',
    "/0/public/Assets?assetVersion=1": b'{"error":[],"result":'
    b'{"BTC":{"aclass":"currency","altname":"XBT","decimals":10}}}',
    "/0/public/AssetPairs?assetVersion=1": b'{"error":[],"result":{"BTC/USD":{"altname":"XBTUSD","base":"BTC",'
    b'"quote":"USD","pair_decimals":1,"lot_decimals":8,"cost_decimals":5,"fees":[[0,0.4]],"fees_maker":[],'
    b'"tick_size":"0.1","status":"online"}}}',
}


@contextmanager
def server(answers: dict[str, bytes], status: int = 200, hold: Event | None = None) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if hold is not None:
                hold.wait(10)
            body = answers.get(self.path, b'{"error":["EGeneral:Unknown method"]}')
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{httpd.server_port}/0"
    finally:
        if hold is not None:
            hold.set()
        httpd.shutdown()
        thread.join()
        httpd.server_close()


async def test_public_calls() -> None:
    with server(ANSWERS) as url:
        async with KrakenRest(url, 5000) as rest:
            assert (await rest.time()).unix_s == 1_790_000_000
            assert (await rest.system_status()).status == "cancel_only"
            assert (await rest.assets())["BTC"].decimals == 10
            pair = (await rest.asset_pairs())["BTC/USD"]
            assert (pair.base, pair.pair_decimals, pair.status) == ("BTC", 1, "online")


@pytest.mark.parametrize(
    ("body", "status", "complaint"),
    [
        (
            b'{"error":["EGeneral:Too many requests","EService:Busy"]}',
            200,
            "Time: Kraken says EGeneral:Too many requests; EService:Busy",
        ),
        (b"<html>Just a moment...</html>", 200, "not Kraken's JSON"),
        (b"<html>502 Bad Gateway</html>", 502, "answered HTTP 502: '<html>502"),
        (b'{"error":[],"result":{"unixtime":"soon"}}', 200, "not as documented"),
        (b'{"error":[]}', 200, "not as documented"),
        (b"\xff", 200, "not Kraken's JSON"),
    ],
)
async def test_whatever_goes_wrong_is_one_error_with_the_reason(body: bytes, status: int, complaint: str) -> None:
    with server({"/0/public/Time": body}, status) as url:
        async with KrakenRest(url, 5000) as rest:
            with pytest.raises(RestError, match=complaint):
                await rest.time()


async def test_no_answer_in_time() -> None:
    with server(ANSWERS, hold=Event()) as url:
        async with KrakenRest(url, 100) as rest:
            with pytest.raises(RestError, match="did not answer in time"):
                await rest.time()


async def test_nobody_there() -> None:
    with server(ANSWERS) as url:
        pass
    async with KrakenRest(url, 2000) as rest:
        with pytest.raises(RestError, match="cannot be reached"):
            await rest.time()
