"""The exchange's REST interface on loopback HTTP: the public calls that list it, and an account's private ones.

`RestFront` is sans-I/O; `RestServer` is HTTP/1.1, one request a connection.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs, urlsplit

import orjson

from arbitrade_core.errors import ArbitradeError

from .account import Account, altname, old_name, pair_key
from .exchange import SimulatedExchange
from .listing import PairListing, number

HOST = "127.0.0.1"
_BODY_BYTES = 1 << 20
_REQUEST_S = 10.0

type Answer = tuple[int, bytes]
"""HTTP status and body"""


class RestFront:
    """Requests in, answers out. Faults wait in `next_answers` and `stalled`."""

    def __init__(self, exchange: SimulatedExchange, account: Account) -> None:
        self.exchange = exchange
        self.account = account
        self.next_answers: list[Answer] = []
        """are given first, one a request: what comes from the front, such as 502 and a page"""
        self.stalled = False
        """no answer ever comes"""

    def answer(self, verb: str, target: str, headers: Mapping[str, str], body: bytes, now_ns: int) -> Answer:
        """`headers` in lower case."""
        if self.next_answers:
            return self.next_answers.pop(0)
        parts = urlsplit(target)
        public, private = parts.path.removeprefix("/0/public/"), parts.path.removeprefix("/0/private/")
        if public != parts.path and verb == "GET":
            return 200, orjson.dumps(self._public(public, parse_qs(parts.query), now_ns))
        if private != parts.path and verb == "POST":
            return 200, orjson.dumps(self.account.call(parts.path, headers, body, self._listed(), now_ns))
        return 404, b"<html>404 Not Found</html>"

    def _listed(self) -> dict[str, PairListing]:
        return {symbol: pair.listing for symbol, pair in self.exchange.market.pairs.items()}

    def _public(self, method: str, query: Mapping[str, list[str]], now_ns: int) -> dict[str, Any]:
        new_names = query.get("assetVersion") == ["1"]
        match method:
            case "Time":
                return {"error": [], "result": {"unixtime": now_ns // 1_000_000_000, "rfc1123": ""}}
            case "SystemStatus":
                return {"error": [], "result": {"status": self.exchange.system, "timestamp": ""}}
            case "Assets":
                assets = self.exchange.universe.assets.values()
                rows = {
                    asset.id if new_names else old_name(asset.id)[0]: {
                        "aclass": "currency",
                        "altname": old_name(asset.id)[1],
                        "decimals": asset.precision,
                        "status": asset.status,
                    }
                    for asset in assets
                }
                return {"error": [], "result": rows}
            case "AssetPairs":
                pairs = self._listed().values()
                listed = {
                    pair.symbol if new_names else pair_key(pair): _listing(pair, new_names=new_names)
                    for pair in pairs
                    if pair.status != "delisted"
                }
                return {"error": [], "result": listed}
            case _:
                return {"error": ["EGeneral:Unknown method"]}


def _listing(pair: PairListing, *, new_names: bool) -> dict[str, Any]:
    base, quote = (pair.base, pair.quote) if new_names else (old_name(pair.base)[0], old_name(pair.quote)[0])
    return {
        "altname": altname(pair),
        "wsname": f"{old_name(pair.base)[1]}/{old_name(pair.quote)[1]}",
        "aclass_base": "currency",
        "base": base,
        "aclass_quote": "currency",
        "quote": quote,
        "cost_decimals": pair.cost_precision,
        "pair_decimals": pair.price_precision,
        "lot_decimals": pair.qty_precision,
        "fees": [],
        "fees_maker": [],
        "ordermin": f"{pair.qty_min:f}",
        "costmin": f"{pair.cost_min:f}",
        "tick_size": number(pair.price_increment),
        "status": pair.status,
    }


class RestServer:
    """A running REST interface. `url` is its base, for `kraken.rest_url`."""

    def __init__(self, front: RestFront) -> None:
        self.front = front
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}/0"

    @asynccontextmanager
    async def serving(self, port: int = 0) -> AsyncIterator[None]:
        """Serve inside the block. Port 0 takes any free one; ArbitradeError when the port is taken."""
        try:
            server = await asyncio.start_server(self._serve, HOST, port, limit=_BODY_BYTES)
        except OSError as error:
            raise ArbitradeError(
                f"the simulated exchange cannot listen on {HOST}:{port} ({error.strerror}): "
                "choose another --rest-port, or 0 for any free one"
            ) from error
        self.port = server.sockets[0].getsockname()[1]
        async with server:
            yield

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(_REQUEST_S):
                status, body = await self._answer(reader)
            reason = HTTPStatus(status).phrase
            head = f"HTTP/1.1 {status} {reason}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
            writer.write(head.encode() + body)
            await writer.drain()
        except (OSError, TimeoutError, ValueError, LookupError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # a client that left, or speaks no HTTP
        finally:
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader) -> Answer:
        lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        verb, target, _ = lines[0].split(" ", 2)
        fields = (line.partition(":") for line in lines[1:] if line)
        headers = {name.strip().lower(): value.strip() for name, _, value in fields}
        length = int(headers.get("content-length", "0"))
        if length > _BODY_BYTES:
            return 413, b""
        body = await reader.readexactly(length)
        if self.front.stalled:
            await reader.read()  # until the client gives up
        return self.front.answer(verb, target, headers, body, time.time_ns())
