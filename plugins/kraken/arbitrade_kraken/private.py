"""Kraken's private REST interface, as far as fees need it: GetApiKeyInfo and TradeVolume (PROTOCOL 3.1 - 3.4).

Every call is sent once. Nothing is retried: a nonce is never used twice, and whoever called can call again.
"""

import ipaddress
from collections.abc import Callable, Sequence
from decimal import Decimal
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlencode, urlsplit

import httpx2
import msgspec

from arbitrade_core.domain import Ns
from arbitrade_kraken.keys import ApiKey
from arbitrade_kraken.rest import RestError, decoded, explain_transport

_HTTP_OK = 200
_HTTP_TOO_MANY = 429
_SERVER_ERROR = 500

_WHAT_TO_DO: tuple[tuple[str, str], ...] = (
    (
        "EAPI:Invalid key",
        "Kraken does not know the key; see whether it was deleted, has expired, or was copied in part",
    ),
    ("EAPI:Invalid signature", "the private part does not belong to the key; copy both again, of one and the same key"),
    (
        "EAPI:Invalid nonce",
        "something else used the key with a later clock; give this command a key of its own, and set the clock (NTP)",
    ),
    ("EGeneral:Permission denied", "the key may not do that; give it `Query funds`, and nothing else"),
    ("EAccount:Invalid permissions", "the account may not do that; ask Kraken's support"),
    ("EAPI:Rate limit exceeded", "too many calls with this key; wait a minute, then try again"),
    ("EGeneral:Too many requests", "too many calls from this address; wait a minute, then try again"),
    ("EService:Throttled", "too many calls; try again after the moment that Kraken names (seconds since 1970, UTC)"),
    ("EGeneral:Temporary lockout", "Kraken has locked the key after too many wrong calls; wait 15 minutes"),
    ("EService:", "Kraken is not available; try again later (https://status.kraken.com)"),
    ("EGeneral:Internal error", "Kraken failed; try again later (https://status.kraken.com)"),
    ("EGeneral:Invalid arguments", "Kraken does not take what it was asked; its interface may have changed"),
    ("EGeneral:Unknown method", "Kraken does not know this call; see ARBITRADE_KRAKEN__REST_URL"),
    ("EQuery:Unknown asset pair", "a pair was delisted just now; try again"),
    ("EAuth:", "Kraken refuses the account; see whether it is locked"),
    ("ESession:", "Kraken refuses the session; try again"),
)
"""By the beginning of Kraken's error, the longer before the shorter (PROTOCOL 3.4)."""


class KrakenError(RestError):
    """Kraken refused a call. `errors` are its own words."""

    def __init__(self, method: str, errors: Sequence[str]) -> None:
        self.errors = tuple(errors)
        super().__init__(f"{method}: Kraken says {'; '.join(errors)}{_advice(errors)}")


def _advice(errors: Sequence[str]) -> str:
    known = (advice for error in errors for start, advice in _WHAT_TO_DO if error.startswith(start))
    return "".join(f": {advice}" for advice in list(known)[:1])


class _Refusal(msgspec.Struct):
    error: list[str] = []


class KeyInfo(msgspec.Struct):
    """What GetApiKeyInfo tells. None: it was not told."""

    api_key_name: str | None = None
    permissions: list[str] | None = None


class Tier(msgspec.Struct):
    """One pair's fee, in percent, in both spellings that are in use (PROTOCOL 3.3)."""

    fee: Decimal
    next_fee: Decimal | None = None
    nextfee: Decimal | None = None
    next_volume: Decimal | None = None
    nextvolume: Decimal | None = None

    @property
    def above(self) -> tuple[Decimal, Decimal] | None:
        """Volume and fee of the next tier; None at the last, and of a fixed fee."""
        volume = self.nextvolume if self.next_volume is None else self.next_volume
        fee = self.nextfee if self.next_fee is None else self.next_fee
        return None if volume is None or fee is None else (volume, fee)


class Volume(msgspec.Struct):
    """What TradeVolume tells."""

    currency: str
    volume: Decimal
    fees: dict[str, Tier] | None = None
    fees_maker: dict[str, Tier] | None = None
    schedules: Any = None
    """the ladders; their shape is not documented where we could read it, so reading them is `account`'s affair"""


class KrakenPrivate:
    """Signed calls with one key. Use as an async context manager; every call raises RestError and nothing else."""

    def __init__(self, base_url: str, timeout_ms: int, key: ApiKey, clock: Callable[[], Ns]) -> None:
        """`clock` gives nonces: nanoseconds since 1970, never the same twice and never less, for the life of the key.

        Raises RestError for an address over which no key may travel.
        """
        parts = urlsplit(base_url)
        if parts.scheme != "https" and not _is_this_machine(parts.hostname):
            raise RestError(
                f"{base_url} is not https, and no key is sent to another machine in the clear; "
                "correct ARBITRADE_KRAKEN__REST_URL"
            )
        self._base_url = base_url.rstrip("/")
        self._path = parts.path.rstrip("/")
        self._key = key
        self._clock = clock
        self._last = 0
        self._client = httpx2.AsyncClient(timeout=timeout_ms / 1000, follow_redirects=False)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.aclose()

    async def key_info(self) -> KeyInfo:
        """What the key is and may do. Needs no permission."""
        return await self._call("GetApiKeyInfo", KeyInfo)

    async def trade_volume(self, pairs: Sequence[str]) -> Volume:
        """Fees of these pairs, by Kraken's names, with their ladders. Needs `Query funds`."""
        # Kraken takes `true`, and refuses `True`.
        return await self._call("TradeVolume", Volume, pair=",".join(pairs), fee_schedule="true")

    async def _call[T](self, method: str, shape: type[T], **fields: str) -> T:
        nonce = self._last = max(self._last + 1, self._clock())
        body = urlencode({"nonce": nonce, **fields}).encode()
        headers = {
            "API-Key": self._key.public,
            "API-Sign": self._key.sign(f"{self._path}/private/{method}", nonce, body),
            "Content-Type": "application/x-www-form-urlencoded",
        }
        url = f"{self._base_url}/private/{method}"
        try:
            answer = await self._client.post(url, content=body, headers=headers)
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise explain_transport(method, url, error) from None  # whose request holds the key
        # Errors come with any status: Kraken's own words first.
        refusal = _refusal(answer.content)
        if refusal:
            raise KrakenError(method, refusal)
        if answer.status_code != _HTTP_OK:
            raise RestError(f"{method}: {url} answered HTTP {answer.status_code}{_why(answer.status_code)}")
        try:
            return decoded(answer.content, shape, method)
        except RestError as error:
            raise RestError(self._key.redact(str(error))) from None


def _refusal(body: bytes) -> list[str]:
    try:
        return msgspec.json.decode(body, type=_Refusal).error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return []


def _why(status: int) -> str:
    if status == _HTTP_TOO_MANY:
        return ": too many calls from this address; wait a few minutes, then try again"
    if status >= _SERVER_ERROR:
        return ": Kraken is not available; try again later (https://status.kraken.com)"
    return ": that is not how Kraken answers; check ARBITRADE_KRAKEN__REST_URL, and proxies"


def _is_this_machine(host: str | None) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return False
