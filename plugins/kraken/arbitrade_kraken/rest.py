"""Kraken's public REST interface, as far as `doctor` and `fees fetch` ask it (PROTOCOL 3.2, 3.3).

HTTP 200 also carries errors; 5xx and HTML come from the front, not the exchange. All of it ends in one error
type. `assetVersion=1` makes names match those of WebSocket v2 (BTC, not XXBT).
"""

from dataclasses import dataclass
from decimal import Decimal
from types import TracebackType
from typing import Any, Self

import httpx2
import msgspec

from arbitrade_core.errors import ArbitradeError

_HTTP_OK = 200


class RestError(ArbitradeError):
    """A REST call failed: transport, HTTP status, body, or Kraken's own error list. The text says which."""


@dataclass(frozen=True, slots=True)
class ServerTime:
    unix_s: int


@dataclass(frozen=True, slots=True)
class SystemStatus:
    status: str
    """online, maintenance, cancel_only, post_only"""
    timestamp: str


@dataclass(frozen=True, slots=True)
class RestAsset:
    name: str
    altname: str
    decimals: int
    status: str


@dataclass(frozen=True, slots=True)
class RestPair:
    """A listing as REST tells it, without its fee arrays: empty since 2026-09-08, stale before (PROTOCOL 3.3)."""

    name: str
    altname: str
    wsname: str | None
    base: str
    quote: str
    pair_decimals: int
    lot_decimals: int
    cost_decimals: int
    ordermin: Decimal | None
    costmin: Decimal | None
    tick_size: Decimal | None
    status: str


class _Answer(msgspec.Struct):
    error: list[str] = []
    result: msgspec.Raw = msgspec.Raw()


class _Time(msgspec.Struct):
    unixtime: int


class _Status(msgspec.Struct):
    status: str
    timestamp: str = ""


class _Asset(msgspec.Struct):
    altname: str
    decimals: int
    status: str = "enabled"


class _Pair(msgspec.Struct):
    altname: str
    base: str
    quote: str
    pair_decimals: int
    lot_decimals: int
    cost_decimals: int
    wsname: str | None = None
    ordermin: Decimal | None = None
    costmin: Decimal | None = None
    tick_size: Decimal | None = None
    status: str = "online"


def parse_asset_pairs(body: bytes, what: str = "AssetPairs") -> dict[str, RestPair]:
    """The body of an AssetPairs answer, by Kraken's name of the pair. Raises RestError."""
    found = decoded(body, dict[str, _Pair], what)
    return {
        name: RestPair(
            name=name,
            altname=pair.altname,
            wsname=pair.wsname,
            base=pair.base,
            quote=pair.quote,
            pair_decimals=pair.pair_decimals,
            lot_decimals=pair.lot_decimals,
            cost_decimals=pair.cost_decimals,
            ordermin=pair.ordermin,
            costmin=pair.costmin,
            tick_size=pair.tick_size,
            status=pair.status,
        )
        for name, pair in found.items()
    }


def decoded[T](body: bytes, shape: type[T], what: str) -> T:
    """The result of an answer's body. Raises RestError: it is no answer, an error, or of another shape."""
    try:
        answer = msgspec.json.decode(body, type=_Answer)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        text = body[:120].decode("utf-8", "replace")
        raise RestError(f"{what}: the answer is not Kraken's JSON ({error}): {text!r}") from error
    if answer.error:
        raise RestError(f"{what}: Kraken says {'; '.join(answer.error)}")
    try:
        return msgspec.json.decode(answer.result, type=shape)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RestError(f"{what}: the result is not as documented: {error}") from error


def explain_transport(method: str, url: str, error: Exception) -> RestError:
    """Why there was no answer."""
    if isinstance(error, httpx2.TimeoutException):
        return RestError(f"{method}: {url} did not answer in time ({type(error).__name__})")
    return RestError(f"{method}: {url} cannot be reached: {error or type(error).__name__}")


class KrakenRest:
    """Public calls. Use as an async context manager; every call raises RestError and nothing else."""

    def __init__(self, base_url: str, timeout_ms: int, client: httpx2.AsyncClient | None = None) -> None:
        self._base_url = base_url.rstrip("/")
        self._client = client or httpx2.AsyncClient(timeout=timeout_ms / 1000, follow_redirects=False)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.aclose()

    async def time(self) -> ServerTime:
        body = await self._get("Time")
        return ServerTime(decoded(body, _Time, "Time").unixtime)

    async def system_status(self) -> SystemStatus:
        found = decoded(await self._get("SystemStatus"), _Status, "SystemStatus")
        return SystemStatus(found.status, found.timestamp)

    async def assets(self) -> dict[str, RestAsset]:
        found = decoded(await self._get("Assets", assetVersion=1), dict[str, _Asset], "Assets")
        return {name: RestAsset(name, row.altname, row.decimals, row.status) for name, row in found.items()}

    async def asset_pairs(self, *, new_names: bool = True) -> dict[str, RestPair]:
        """By name; without `new_names` they are those of the private calls (XXBTZUSD)."""
        version = {"assetVersion": 1} if new_names else {}
        return parse_asset_pairs(await self._get("AssetPairs", **version))

    async def _get(self, method: str, **params: Any) -> bytes:
        url = f"{self._base_url}/public/{method}"
        try:
            answer = await self._client.get(url, params=params)
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise explain_transport(method, url, error) from error
        if answer.status_code != _HTTP_OK:
            text = answer.content[:120].decode("utf-8", "replace")
            raise RestError(f"{method}: {url} answered HTTP {answer.status_code}: {text!r}")
        return answer.content
