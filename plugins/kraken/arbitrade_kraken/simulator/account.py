"""One account at the exchange: an API key with permissions, nonces and call counter, fees by tier (PROTOCOL 3, 4.1).

Sans-I/O and on its own: signatures are checked with code that the bot does not have.
"""

import base64
import hashlib
import hmac
import random
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any, Literal
from urllib.parse import parse_qsl

from . import names
from .listing import PairListing

type Step = tuple[int, str, str]
"""from this volume on: taker and maker, in percent"""

CRYPTO: tuple[Step, ...] = (
    (0, "0.40", "0.25"),
    (10_000, "0.35", "0.20"),
    (50_000, "0.24", "0.14"),
    (100_000, "0.22", "0.12"),
    (250_000, "0.20", "0.10"),
)
STABLE: tuple[Step, ...] = ((0, "0.20", "0.20"), (50_000, "0.16", "0.16"))

_OLD_NAMES = {
    "BTC": ("XXBT", "XBT"),
    "DOGE": ("XXDG", "XDG"),
    **{asset: (f"X{asset}", asset) for asset in ("ETC", "ETH", "LTC", "MLN", "REP", "XLM", "XMR", "XRP", "ZEC")},
    **{asset: (f"Z{asset}", asset) for asset in ("AUD", "CAD", "EUR", "GBP", "JPY", "USD")},
}
_CALLS_MOST = 15
_CALLS_DECAY_PER_S = Decimal("0.33")


def old_name(asset: str) -> tuple[str, str]:
    """REST's key and altname of an asset."""
    return _OLD_NAMES.get(asset, (asset, asset))


def altname(pair: PairListing) -> str:
    return old_name(pair.base)[1] + old_name(pair.quote)[1]


def pair_key(pair: PairListing) -> str:
    """REST's key: legacy codes when both assets have one of four letters (XXBTZUSD, but XDGUSD and SOLUSD)."""
    base, quote = old_name(pair.base)[0], old_name(pair.quote)[0]
    both = base != pair.base and quote != pair.quote and pair.base != "DOGE"
    return f"{base}{quote}" if both else altname(pair)


class Account:
    """What the key's owner has: a key that a test or a demo can use, and what goes wrong on demand."""

    def __init__(self, seed: int, *, permissions: Iterable[str] | None = ("query-funds",)) -> None:
        chance = random.Random(f"account-{seed}")  # noqa: S311 - a simulated key, from a seed
        self.key = base64.b64encode(chance.randbytes(42)).decode()
        self.secret = base64.b64encode(chance.randbytes(64)).decode()
        self.name = "simulated-fees"
        self.permissions = None if permissions is None else list(permissions)
        """None: GetApiKeyInfo does not tell them"""
        self.volume = Decimal("1234.5678")
        self.spelling: Literal["old", "new"] = "new"
        """of the fields of a fee: `nextfee`, or `next_fee`"""
        self.ladder: Literal["columns", "rows", "none", "other"] = "columns"
        """in which form `schedules` comes; Kraken's is not documented"""
        self.without_fees: set[str] = set()
        """symbols of which TradeVolume tells nothing"""
        self.crypto, self.stable = CRYPTO, STABLE
        self.calls: list[str] = []
        """private methods that were called with a good signature"""
        self.refused: list[str] = []
        """errors of calls that were refused"""
        self._last_nonce = -1
        self._spent = Decimal(0)
        self._spent_ns = 0
        self._errors: list[str] = []

    def fail_next(self, *errors: str) -> None:
        """The next signed calls are refused with these errors, one each."""
        self._errors += errors

    def call(
        self, path: str, headers: Mapping[str, str], body: bytes, pairs: Mapping[str, PairListing], now_ns: int
    ) -> dict[str, Any]:
        """The answer to a private call: `error`, and `result` when there is none. `headers` in lower case."""
        method = path.rpartition("/")[2]
        fields = dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True))
        error = self._refusal(path, headers, body, fields, now_ns)
        if error is None:
            self.calls.append(method)
            result = self._answer(method, fields, pairs)
            if isinstance(result, dict):
                return {"error": [], "result": result}
            error = result
        self.refused.append(error)
        return {"error": [error]}

    def _refusal(
        self, path: str, headers: Mapping[str, str], body: bytes, fields: Mapping[str, str], now_ns: int
    ) -> str | None:
        if headers.get("api-key") != self.key:
            return "EAPI:Invalid key"
        nonce = fields.get("nonce", "")
        digest = hashlib.sha256()
        digest.update(nonce.encode())
        digest.update(body)
        seal = hmac.new(base64.b64decode(self.secret), digestmod=hashlib.sha512)
        seal.update(path.encode())
        seal.update(digest.digest())
        if not hmac.compare_digest(headers.get("api-sign", ""), base64.b64encode(seal.digest()).decode()):
            return "EAPI:Invalid signature"
        if not nonce.isdigit() or int(nonce) <= self._last_nonce or int(nonce) >= 1 << 64:
            return "EAPI:Invalid nonce"
        self._last_nonce = int(nonce)
        if self._errors:
            return self._errors.pop(0)
        return None if self._counted(now_ns) else "EAPI:Rate limit exceeded"

    def _counted(self, now_ns: int) -> bool:
        """The call counter of the lowest verification level."""
        rested = Decimal(max(now_ns - self._spent_ns, 0)) / 1_000_000_000 * _CALLS_DECAY_PER_S
        self._spent, self._spent_ns = max(self._spent - rested, Decimal(0)), now_ns
        if self._spent + 1 > _CALLS_MOST:
            return False
        self._spent += 1
        return True

    def _answer(self, method: str, fields: Mapping[str, str], pairs: Mapping[str, PairListing]) -> dict[str, Any] | str:
        match method:
            case "GetApiKeyInfo":
                return self._key_info()
            case "TradeVolume":
                if self.permissions is not None and "query-funds" not in self.permissions:
                    return "EGeneral:Permission denied"
                return self._trade_volume(fields, pairs)
            case _:
                return "EGeneral:Unknown method"

    def _key_info(self) -> dict[str, Any]:
        told: dict[str, Any] = {
            "api_key_name": self.name,
            "api_key": self.key,
            "nonce": str(self._last_nonce),
            "nonce_window": "0",
            "valid_until": "0",
            "ip_allowlist": [],
        }
        return told if self.permissions is None else told | {"permissions": self.permissions}

    def _trade_volume(self, fields: Mapping[str, str], pairs: Mapping[str, PairListing]) -> dict[str, Any] | str:
        with_ladder = fields.get("fee_schedule", "false")
        if with_ladder not in ("true", "false"):
            return "EGeneral:Invalid arguments:fee_schedule"
        known = {name: pair for pair in pairs.values() for name in (pair_key(pair), altname(pair), pair.symbol)}
        takers: dict[str, Any] = {}
        makers: dict[str, Any] = {}
        ladders: dict[str, Any] = {}
        for name in filter(None, fields.get("pair", "").split(",")):
            pair = known.get(name)
            if pair is None:
                return "EQuery:Unknown asset pair"
            if pair.symbol in self.without_fees:
                continue
            steps = self.steps(pair)
            takers[pair_key(pair)] = self._tier([(volume, taker) for volume, taker, _ in steps])
            if steps is not self.stable:
                makers[pair_key(pair)] = self._tier([(volume, maker) for volume, _, maker in steps])
            ladders[pair_key(pair)] = self._ladder(steps)
        told: dict[str, Any] = {"currency": "ZUSD", "volume": f"{self.volume:f}", "fees": takers, "fees_maker": makers}
        return told | {"schedules": ladders} if with_ladder == "true" and self.ladder != "none" else told

    def steps(self, pair: PairListing) -> tuple[Step, ...]:
        """The ladder of a pair: by its base."""
        return self.stable if pair.base in names.FIAT_USD or pair.base in names.STABLE_USD else self.crypto

    def _tier(self, steps: list[tuple[int, str]]) -> dict[str, str | None]:
        place = max(place for place, (volume, _) in enumerate(steps) if volume <= self.volume)
        above = steps[place + 1] if place + 1 < len(steps) else None
        told = {
            "fee": f"{Decimal(steps[place][1]):.4f}",
            "min_fee": f"{Decimal(steps[-1][1]):.4f}",
            "max_fee": f"{Decimal(steps[0][1]):.4f}",
            "next_fee": None if above is None else f"{Decimal(above[1]):.4f}",
            "next_volume": None if above is None else f"{above[0]}.0000",
            "tier_volume": f"{steps[place][0]}.0000",
        }
        return told if self.spelling == "new" else {name.replace("_", ""): value for name, value in told.items()}

    def _ladder(self, steps: tuple[Step, ...]) -> Any:
        match self.ladder:
            case "columns":
                return {
                    "fees": [[volume, float(taker)] for volume, taker, _ in steps],
                    "fees_maker": [[volume, float(maker)] for volume, _, maker in steps],
                }
            case "rows":
                return [{"volume": str(volume), "taker": taker, "maker": maker} for volume, taker, maker in steps]
            case _:
                return {"uid": "spot-standard"}
