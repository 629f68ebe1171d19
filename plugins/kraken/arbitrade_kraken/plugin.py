"""The plugin `kraken`: market data, fees, and what `arbitrade doctor` asks Kraken."""

import time
from collections.abc import AsyncIterator, Sequence

from pydantic import BaseModel

from arbitrade_core.domain import FeeSnapshot, Ns, Pair
from arbitrade_core.errors import SettingsError
from arbitrade_core.hooks import FeeSource, Finding, Grade, PluginContext, hookimpl
from arbitrade_core.spi import Feed
from arbitrade_kraken.feed import KrakenFeed
from arbitrade_kraken.fees import KrakenFees
from arbitrade_kraken.rest import KrakenRest, RestError
from arbitrade_kraken.settings import KrakenSettings

ARBITRADE_API = 1

KEY_WHERE_IT_TRADES = (
    "ARBITRADE_KRAKEN__FEE_KEY or ..._FEE_SECRET is set for a bot, which must not hold the key: keep both in files"
    " (ARBITRADE_KRAKEN__FEE_KEY_FILE, ARBITRADE_KRAKEN__FEE_SECRET_FILE), or give them to `arbitrade fees fetch` alone"
)

_ROUND_TRIPS = 3
_CLOCK_LIMIT_S = 2.0
"""The server tells whole seconds; less than this says nothing."""


@hookimpl
def register_settings() -> type[BaseModel]:
    return KrakenSettings


@hookimpl
def register_feeds(ctx: PluginContext[KrakenSettings]) -> list[Feed]:
    if ctx.settings.fee_key is not None or ctx.settings.fee_secret is not None:
        raise SettingsError([KEY_WHERE_IT_TRADES])
    return [KrakenFeed(ctx.settings)]


class FeesWhenAsked:
    """The configured schedule, looked up for every snapshot: who asks for no fees need not configure any."""

    def __init__(self, settings: KrakenSettings) -> None:
        self._settings = settings

    def snapshot(self, pairs: Sequence[Pair], now: Ns) -> FeeSnapshot:
        return KrakenFees(self._settings).snapshot(pairs, now)

    def ladder(self, pairs: Sequence[Pair], now: Ns) -> Sequence[tuple[str, FeeSnapshot]]:
        return KrakenFees(self._settings).ladder(pairs, now)


@hookimpl
def register_fee_sources(ctx: PluginContext[KrakenSettings]) -> list[FeeSource]:
    return [FeesWhenAsked(ctx.settings)]


async def doctor(ctx: PluginContext[KrakenSettings]) -> AsyncIterator[Finding]:
    """Is REST reachable, how far is it, do the clocks agree, and does Kraken trade?"""
    url = ctx.settings.rest_url
    async with KrakenRest(url, ctx.settings.rest_timeout_ms) as rest:
        try:
            status = await rest.system_status()
            yield _status(status.status)
            round_trips_ms = []
            server_s = 0
            for _ in range(_ROUND_TRIPS):
                asked = time.perf_counter()
                server_s = (await rest.time()).unix_s
                round_trips_ms.append((time.perf_counter() - asked) * 1000)
        except RestError as error:
            remedy = "check the network, proxies and ARBITRADE_KRAKEN__REST_URL"
            yield Finding(Grade.FAILED, "kraken: REST", str(error), remedy)
            return
    fastest_ms = min(round_trips_ms)
    detail = f"{url} answers in {fastest_ms:.0f} ms (fastest of {_ROUND_TRIPS})"
    yield Finding(Grade.OK, "kraken: REST", detail, round_trip_ms=fastest_ms)
    yield _clock(time.time() - server_s)


def _status(status: str) -> Finding:
    if status == "online":
        return Finding(Grade.OK, "kraken: status", status)
    return Finding(Grade.WARNING, "kraken: status", status, "wait: nothing trades until Kraken is online")


def _clock(ahead_s: float) -> Finding:
    # Our time is read after the answer, within a second that the server has cut off.
    off_s = ahead_s - 0.5
    if abs(off_s) <= _CLOCK_LIMIT_S:
        return Finding(Grade.OK, "kraken: clock", f"agrees with the server's within {_CLOCK_LIMIT_S:.0f} s")
    detail = f"this machine is {off_s:+.1f} s against the server"
    return Finding(Grade.WARNING, "kraken: clock", detail, "synchronise the clock (NTP)")
