"""The process that asks Kraken for an account's fees: `python -m arbitrade_kraken.fee_process`, nobody else's.

It alone reads the API key, from the environment or from files, and it ends when it has answered: one JSON object on
standard output, `{"schedule": ...}` or `{"refused": "why"}`, from which both parts of the key are struck out.
"""

import sys
import time
import traceback
from typing import Any

import anyio
import msgspec

from arbitrade_core.commandline import FeeSchedule, plugin_settings
from arbitrade_core.errors import ArbitradeError
from arbitrade_kraken.account import fetch
from arbitrade_kraken.keys import ApiKey, key_from
from arbitrade_kraken.private import KrakenPrivate
from arbitrade_kraken.rest import KrakenRest
from arbitrade_kraken.settings import KrakenSettings


def main() -> None:
    key: ApiKey | None = None
    answer: dict[str, Any]
    try:
        settings = plugin_settings("kraken", KrakenSettings)
        key = key_from(settings)
        answer = {"schedule": anyio.run(_fetch, settings, key)}
    except ArbitradeError as error:
        answer = {"refused": str(error)}
    except Exception as error:  # noqa: BLE001 - a traceback may show what a library was given, headers with the key too
        answer = {"refused": f"a bug: {type(error).__name__} at {_place(error)}"}
    text = msgspec.json.encode(answer).decode()
    sys.stdout.write(key.redact(text) if key is not None else text)


async def _fetch(settings: KrakenSettings, key: ApiKey) -> FeeSchedule:
    timeout_ms = settings.rest_timeout_ms
    async with (
        KrakenRest(settings.rest_url, timeout_ms) as rest,
        KrakenPrivate(settings.rest_url, timeout_ms, key, time.time_ns) as private,
    ):
        return await fetch(rest, private, settings.fee_currency, time.time_ns())


def _place(error: BaseException) -> str:
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{frame.filename}:{frame.lineno}"


if __name__ == "__main__":
    main()
