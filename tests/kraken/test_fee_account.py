"""Fees from an account: real HTTP to the simulated exchange, real processes, a real database, and no secret told."""

import json
import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from subprocess import PIPE
from typing import Any

import anyio
import pytest
from pydantic import SecretStr, ValidationError

from arbitrade_core.commandline import FeeSchedule
from arbitrade_core.domain import FeeCurrency, Pair
from arbitrade_core.errors import ArbitradeError, SettingsError
from arbitrade_core.hooks import FeeLadder, PluginContext
from arbitrade_core.storage.connect import Pool
from arbitrade_core.storage.fee_schedules import schedules
from arbitrade_kraken.account import KeyRefused, fetch, schedule_file
from arbitrade_kraken.fees import KrakenFees
from arbitrade_kraken.keys import ApiKey, key_from
from arbitrade_kraken.plugin import FeesWhenAsked, register_feeds
from arbitrade_kraken.private import KrakenPrivate
from arbitrade_kraken.rest import KrakenRest, RestError
from arbitrade_kraken.settings import KrakenSettings
from arbitrade_kraken.simulator.account import Account
from arbitrade_kraken.simulator.exchange import SimulatedExchange
from arbitrade_kraken.simulator.rest import Answer, RestFront, RestServer

pytestmark = pytest.mark.anyio

D = Decimal
NOW = 1_790_000_000_000_000_000
PAIRS = 60


class Clock:
    """Nanoseconds that only move when told."""

    def __init__(self, at_ns: int = NOW) -> None:
        self.at_ns = at_ns

    def __call__(self) -> int:
        return self.at_ns


class Front(RestFront):
    """Looks around while it is asked: who has the secret on its command line, and who is asking at all."""

    told: str = ""

    def answer(self, verb: str, target: str, headers: Mapping[str, str], body: bytes, now_ns: int) -> Answer:
        if sys.platform == "linux":
            for process in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    arguments = process.read_bytes().decode("utf-8", "replace")
                except OSError:
                    continue
                if "fee_process" in arguments or self.account.secret in arguments or self.account.key in arguments:
                    self.told += arguments
        return super().answer(verb, target, headers, body, now_ns)


@dataclass
class Kraken:
    """A simulated exchange that answers REST."""

    exchange: SimulatedExchange = field(default_factory=lambda: SimulatedExchange(7, PAIRS, messages_per_s=0))
    account: Account = field(default_factory=lambda: Account(7))
    front: Front = field(init=False)
    url: str = ""

    def __post_init__(self) -> None:
        self.front = Front(self.exchange, self.account)

    @property
    def key(self) -> ApiKey:
        return ApiKey(self.account.key, self.account.secret)

    async def fetch(self, key: ApiKey | None = None, timeout_ms: int = 5_000) -> FeeSchedule:
        async with (
            KrakenRest(self.url, timeout_ms) as rest,
            KrakenPrivate(self.url, timeout_ms, key or self.key, Clock()) as private,
        ):
            return await fetch(rest, private, FeeCurrency.QUOTE, NOW)


@pytest.fixture
async def kraken() -> AsyncIterator[Kraken]:
    async with serving(Kraken()) as running:
        yield running


@asynccontextmanager
async def serving(kraken: Kraken) -> AsyncIterator[Kraken]:
    server = RestServer(kraken.front)
    async with server.serving():
        kraken.url = server.url
        yield kraken


# --- signing ----------------------------------------------------------------------------------------------------


def test_a_signature_is_that_of_krakens_own_example() -> None:
    """PROTOCOL 3.1."""
    secret = "kQH5HW/8p1uGOVjbgWA7FunAmGO8lsSUXNsu3eow76sz84Q18fWxnyRzBHCd3pd5nE9qa99HAZtuZuj6F1huXg=="
    body = b"nonce=1616492376594&ordertype=limit&pair=XBTUSD&price=37500&type=buy&volume=1.25"
    assert ApiKey("key", secret).sign("/0/private/AddOrder", 1616492376594, body) == (
        "4/dpxb3iT4tp/ZCVEwSnEsLxx0bqyhLpdfOpc6fn7OR8+UClSV5n9E6aSS8MPtnRfp32bAb0nmbRn6H8ndwLUQ=="
    )


async def test_nonces_rise_although_the_clock_stands_still(kraken: Kraken) -> None:
    clock = Clock()
    async with KrakenPrivate(kraken.url, 5_000, kraken.key, clock) as private:
        for _ in range(3):
            await private.key_info()
        clock.at_ns -= 10**9
        await private.key_info()
    assert kraken.account.refused == []
    async with KrakenPrivate(kraken.url, 5_000, kraken.key, Clock(NOW - 1)) as late:
        with pytest.raises(RestError, match=r"EAPI:Invalid nonce: something else used the key with a later clock"):
            await late.key_info()


# --- what is fetched --------------------------------------------------------------------------------------------


async def test_every_online_pair_by_symbol_as_exact_fractions(kraken: Kraken) -> None:
    schedule = await kraken.fetch()
    assert set(schedule.rates) == set(kraken.exchange.universe.pairs)
    assert {"BTC/USD", "EUR/USD", "USDT/USD", "DOGE/USD"} <= set(schedule.rates)
    btc = schedule.rates["BTC/USD"]
    assert (str(btc.maker), str(btc.taker)) == ("0.002500", "0.004000")
    assert btc.next is not None
    assert (btc.next.volume, btc.next.maker, btc.next.taker) == (D(10_000), D("0.0020"), D("0.0035"))
    euro = schedule.rates["EUR/USD"]
    assert (euro.maker, euro.taker) == (D("0.002"), D("0.002")), "no maker fee of its own: the same either way"
    assert (schedule.source, schedule.account, schedule.fetched_ns) == ("account ...fees", "...fees", NOW)
    assert (schedule.volume, schedule.volume_currency) == (D("1234.5678"), "USD")
    assert schedule.details["permissions"] == ["query-funds"]
    assert kraken.account.calls == ["GetApiKeyInfo", "TradeVolume"], "the key is looked at before anything is asked"


async def test_many_pairs_take_several_calls() -> None:
    async with serving(Kraken(SimulatedExchange(7, 600, messages_per_s=0))) as kraken:
        assert len((await kraken.fetch()).rates) == 600
        assert kraken.account.calls == ["GetApiKeyInfo", "TradeVolume", "TradeVolume", "TradeVolume"]


async def test_old_and_new_spellings_say_the_same(kraken: Kraken) -> None:
    new = await kraken.fetch()
    kraken.account = kraken.front.account = Account(7)
    kraken.account.spelling = "old"
    assert (await kraken.fetch()).rates == new.rates


@pytest.mark.parametrize("form", ["columns", "rows"])
async def test_a_ladder_holds_every_pair_at_every_step(kraken: Kraken, form: Any) -> None:
    kraken.account.ladder = form
    schedule = await kraken.fetch()
    steps = schedule.steps()
    assert [name for name, _ in steps] == ["0 USD", "10,000 USD", "50,000 USD", "100,000 USD", "250,000 USD"]
    assert all(set(step.taker) == set(schedule.rates) for _, step in steps)
    assert steps[0][1].id == schedule.fees_id, "the step in force is among them"
    last = steps[-1][1]
    assert (last.taker["BTC/USD"].rate, last.maker["BTC/USD"].rate) == (D("0.0020"), D("0.0010"))
    assert last.taker["EUR/USD"].rate == D("0.0016")


@pytest.mark.parametrize(("form", "unread"), [("none", 0), ("other", PAIRS)])
async def test_no_ladder_rather_than_a_wrong_one(kraken: Kraken, form: Any, unread: int) -> None:
    kraken.account.ladder = form
    schedule = await kraken.fetch()
    assert schedule.ladders == ()
    assert schedule.steps() == []
    assert schedule.details["ladders_not_understood"] == unread
    assert schedule.next_tier()["BTC/USD"].taker == D("0.0035"), "the next tier is told beside it"


async def test_a_ladder_without_the_present_fee_is_not_believed(kraken: Kraken) -> None:
    kraken.account._ladder = lambda steps: {  # type: ignore[method-assign]
        "fees": [[volume, float(taker) / 100] for volume, taker, _ in steps]
    }
    assert (await kraken.fetch()).ladders == ()


async def test_pairs_without_fees_or_not_online_are_left_out_and_told(kraken: Kraken) -> None:
    kraken.account.without_fees = {"BTC/USD"}
    listing = kraken.exchange.market.pairs["ETH/USD"].listing
    kraken.exchange.market.relist("ETH/USD", type(listing)(**{**_fields(listing), "status": "cancel_only"}))
    schedule = await kraken.fetch()
    assert {"BTC/USD", "ETH/USD"}.isdisjoint(schedule.rates)
    assert schedule.details["pairs_without_fees"] == ["BTC/USD"]


def _fields(listing: Any) -> dict[str, Any]:
    return {name: getattr(listing, name) for name, one in type(listing).__dataclass_fields__.items() if one.init}


async def test_a_fee_that_makes_no_sense_is_refused(kraken: Kraken) -> None:
    kraken.account.crypto = ((0, "NaN", "0.25"),)
    with pytest.raises(RestError, match="makes no sense as a fee"):
        await kraken.fetch()


# --- what the key may do ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("permissions", "complaint"),
    [
        (["query-funds", "modify-trades", "withdraw-funds"], "it may modify-trades, withdraw-funds"),
        (["query-funds", "close-trades"], "it may close-trades"),
        (["query-funds", "lend-everything"], "whether lend-everything allows trading or withdrawing is not known"),
        (None, "names no permissions"),
    ],
)
async def test_a_key_that_may_do_more_than_look_is_refused(
    kraken: Kraken, permissions: list[str] | None, complaint: str
) -> None:
    kraken.account.permissions = permissions
    with pytest.raises(KeyRefused, match=complaint):
        await kraken.fetch()
    assert kraken.account.calls == ["GetApiKeyInfo"], "nothing else was asked with it"


async def test_a_key_of_which_nothing_can_be_told_is_refused(kraken: Kraken) -> None:
    kraken.account.fail_next("EGeneral:Unknown method")
    with pytest.raises(KeyRefused, match="what the key may do cannot be told"):
        await kraken.fetch()


async def test_keys_that_can_only_look_are_taken(kraken: Kraken) -> None:
    kraken.account.permissions = ["query-funds", "query-open-trades", "query-ledger", "export-data", "create-ws-token"]
    assert (await kraken.fetch()).rates


# --- what goes wrong --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "advice"),
    [
        ("EAPI:Invalid nonce", "give this command a key of its own"),
        ("EGeneral:Permission denied", "give it `Query funds`"),
        ("EAPI:Rate limit exceeded", "wait a minute"),
        ("EService:Throttled:1790000060", "after the moment that Kraken names"),
        ("EGeneral:Temporary lockout", "wait 15 minutes"),
        ("EService:Unavailable", "not available; try again later"),
        ("EService:Busy", "not available; try again later"),
        ("EGeneral:Internal error[:x]", "Kraken failed"),
        ("EGeneral:Invalid arguments:pair", "its interface may have changed"),
        ("EQuery:Unknown asset pair", "a pair was delisted just now"),
        ("ENew:Something else", "Kraken says ENew:Something else$"),
    ],
)
async def test_each_refusal_is_one_error_that_says_what_to_do(kraken: Kraken, error: str, advice: str) -> None:
    kraken.account.fail_next(error)
    with pytest.raises(RestError, match=advice) as caught:
        await kraken.fetch()
    assert str(caught.value).startswith(f"GetApiKeyInfo: Kraken says {error}")
    assert len(kraken.account.refused) == 1, "nothing is sent again"


async def test_a_wrong_key_and_a_wrong_secret_are_told_apart(kraken: Kraken) -> None:
    with pytest.raises(RestError, match=r"EAPI:Invalid key: Kraken does not know the key"):
        await kraken.fetch(ApiKey("other", kraken.account.secret))
    with pytest.raises(RestError, match=r"EAPI:Invalid signature: the private part does not belong to the key"):
        await kraken.fetch(ApiKey(kraken.account.key, Account(8).secret))


async def test_a_key_without_query_funds_is_told_which_permission_it_needs(kraken: Kraken) -> None:
    kraken.account.permissions = ["query-open-trades"]
    with pytest.raises(RestError, match=r"TradeVolume: Kraken says EGeneral:Permission denied: .*`Query funds`"):
        await kraken.fetch()


async def test_the_call_counter_runs_out(kraken: Kraken) -> None:
    async with KrakenPrivate(kraken.url, 5_000, kraken.key, Clock()) as private:
        with pytest.raises(RestError, match="EAPI:Rate limit exceeded"):
            for _ in range(40):
                await private.key_info()


@pytest.mark.parametrize(
    ("answer", "complaint"),
    [
        ((502, b"<html>Bad Gateway</html>"), "HTTP 502: Kraken is not available"),
        ((429, b"slow down"), "HTTP 429: too many calls"),
        ((302, b""), "HTTP 302: that is not how Kraken answers"),
        ((200, b"<html>Just a moment...</html>"), "not Kraken's JSON"),
        ((200, b'{"error":[],"result":{"permissions":"all"}}'), "not as documented"),
        ((503, b'{"error":["EService:Unavailable"]}'), "EService:Unavailable: Kraken is not available"),
    ],
)
async def test_what_the_front_says_is_one_error(kraken: Kraken, answer: Answer, complaint: str) -> None:
    kraken.front.next_answers.append(answer)
    with pytest.raises(RestError, match=complaint):
        await kraken.fetch()


async def test_no_answer_is_an_error_in_time(kraken: Kraken) -> None:
    kraken.front.stalled = True
    with pytest.raises(RestError, match="did not answer in time"):
        await kraken.fetch(timeout_ms=200)


async def test_nobody_there_is_an_error() -> None:
    kraken = Kraken(url="http://127.0.0.1:1/0")
    with pytest.raises(RestError, match="cannot be reached"):
        await kraken.fetch()


def test_no_key_travels_in_the_clear_to_another_machine() -> None:
    with pytest.raises(RestError, match="is not https"):
        KrakenPrivate("http://api.kraken.example/0", 1_000, ApiKey("key", "c2VjcmV0"), Clock())


# --- where the key is -------------------------------------------------------------------------------------------


def key_files(tmp_path: Path, key: str, secret: str, mode: int = 0o600) -> dict[str, Path]:
    files = {"fee_key_file": tmp_path / "key", "fee_secret_file": tmp_path / "secret"}
    for file, text in zip(files.values(), (key, secret), strict=True):
        file.write_text(f"{text}\n")
        file.chmod(mode)
    return files


def test_a_key_from_files_and_from_variables(tmp_path: Path) -> None:
    account = Account(7)
    expected = ApiKey(account.key, account.secret)
    assert key_from(KrakenSettings(**_any(key_files(tmp_path, account.key, account.secret)))) == expected
    told = {"fee_key": SecretStr(account.key), "fee_secret": SecretStr(account.secret)}
    assert key_from(KrakenSettings(**_any(told))) == expected
    assert account.secret not in repr(expected) + repr(KrakenSettings(**_any(told)))
    assert account.key not in repr(expected)


def _any(values: Mapping[str, Any]) -> dict[str, Any]:
    return dict(values)


@pytest.mark.skipif(sys.platform == "win32", reason="no modes there")
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644])
def test_a_file_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    with pytest.raises(
        SettingsError, match=rf"(?s)key can be read by others \(mode {mode:04o}\): chmod 600.*secret can"
    ):
        key_from(KrakenSettings(**_any(key_files(tmp_path, "canary", "Y2FuYXJ5", mode))))


@pytest.mark.parametrize(
    ("told", "complaint"),
    [
        ({}, "no API key is configured: set ARBITRADE_KRAKEN__FEE_KEY_FILE"),
        ({"fee_key": "canary"}, "not its private part"),
        ({"fee_secret": "Y2FuYXJ5"}, "not the key itself"),
        ({"fee_key": "canary", "fee_secret": "!canary!"}, "it is not base64"),
        ({"fee_key": "canary\u00e9", "fee_secret": "Y2FuYXJ5"}, "characters that no key has"),
        ({"fee_key_file": "missing", "fee_secret_file": "missing"}, "missing cannot be read: No such file"),
    ],
)
def test_what_is_wrong_with_a_key_is_said_without_it(told: dict[str, str], complaint: str) -> None:
    with pytest.raises(SettingsError, match=complaint) as caught:
        key_from(KrakenSettings(**_any(told)))
    assert "canary" not in str(caught.value)
    assert "Y2FuYXJ5" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"canary words\n", b"canary\xff"])
def test_a_file_that_holds_no_key(tmp_path: Path, content: bytes) -> None:
    files = key_files(tmp_path, "key", "Y2FuYXJ5")
    files["fee_key_file"].write_bytes(content)
    with pytest.raises(SettingsError, match="put the key alone into it") as caught:
        key_from(KrakenSettings(**_any(files)))
    assert "canary" not in str(caught.value)


def test_a_variable_and_a_file_for_one_part_are_too_much(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="fee_key and fee_key_file are both set"):
        KrakenSettings(fee_key=SecretStr("a"), fee_key_file=tmp_path / "key")


@pytest.mark.parametrize("part", ["fee_key", "fee_secret"])
def test_a_bot_does_not_start_with_the_key(part: str) -> None:
    settings = KrakenSettings(**_any({part: SecretStr("canary")}))
    with pytest.raises(SettingsError, match="a bot, which must not hold the key") as caught:
        register_feeds(PluginContext("kraken", settings, "USD", ("USD",)))
    assert "canary" not in str(caught.value)


# --- the command ------------------------------------------------------------------------------------------------

MAIN = """
import sys
from arbitrade_core.errors import ArbitradeError
from arbitrade_kraken.fee_command import app
try:
    app(sys.argv[1:], prog_name="fees")
except ArbitradeError as error:
    sys.exit(f"error: {error}")
"""


@dataclass(frozen=True)
class Ran:
    code: int
    out: str
    err: str


class Command:
    """`arbitrade fees ...` as a process of its own."""

    def __init__(self, kraken: Kraken, dsn: str, folder: Path) -> None:
        self.kraken = kraken
        self.folder = folder
        self.environment = {
            **{name: os.environ[name] for name in ("PATH", "HOME", "PYTHONPATH", "SYSTEMROOT") if name in os.environ},
            "COLUMNS": "200",
            "DATABASE_URL": dsn,
            "ARBITRADE_DATA_DIR": str(folder / "data"),
            "ARBITRADE_KRAKEN__REST_URL": kraken.url,
            "ARBITRADE_LOG__LEVEL": "debug",
        }

    async def __call__(self, *arguments: str, **more: str) -> Ran:
        command = [sys.executable, "-c", MAIN, *arguments]
        environment = self.environment | more
        done = await anyio.run_process(command, stdout=PIPE, stderr=PIPE, env=environment, cwd=self.folder, check=False)
        ran = Ran(done.returncode, done.stdout.decode(), done.stderr.decode())
        for canary in (self.kraken.account.secret, self.kraken.account.key):
            assert canary not in ran.out + ran.err
        return ran

    def with_files(self) -> dict[str, str]:
        files = key_files(self.folder, self.kraken.account.key, self.kraken.account.secret)
        return {f"ARBITRADE_KRAKEN__{name.upper()}": str(file) for name, file in files.items()}

    def with_variables(self) -> dict[str, str]:
        account = self.kraken.account
        return {"ARBITRADE_KRAKEN__FEE_KEY": account.key, "ARBITRADE_KRAKEN__FEE_SECRET": account.secret}


@pytest.fixture
def fees(kraken: Kraken, dsn: str, tmp_path: Path) -> Command:
    return Command(kraken, dsn, tmp_path)


async def test_fetch_store_show_and_list_and_the_secret_is_nowhere(fees: Command, pool: Pool) -> None:
    empty = await fees("show")
    assert (empty.code, "fetch them with `arbitrade fees fetch`" in empty.out) == (0, True)
    first = await fees("fetch", **fees.with_files())
    assert first.code == 0, first.err
    assert "stored as number 1" in first.out
    again = await fees("fetch", "--json", **fees.with_variables())
    assert again.code == 0, again.err
    told = json.loads(again.out)
    assert (told["id"], told["account"], told["pairs"], told["too_old"]) == (2, "...fees", PAIRS, False)

    stored = await schedules(pool, 10)
    assert [one.id for one in stored] == [2, 1]
    assert stored[0].rates == stored[1].rates
    assert stored[0].rates["BTC/USD"].taker == D("0.0040")

    shown = await fees("show")
    assert "account ...fees, fetched" in shown.out
    assert "30-day volume: 1,234.57 USD" in shown.out
    assert "three taker legs at 40 bps must gain 120.8 bps before fees" in shown.out
    assert "from 10,000.00 USD in 30 days (8,765.43 USD more)" in shown.out
    assert "a taker pays 35 bps instead of 40" in shown.out
    assert "0.5 less for every 1,000 taken" in shown.out
    assert "a ladder of 5 steps" in shown.out
    in_force = json.loads((await fees("show", "--json")).out)["in_force"]
    assert (in_force["id"], D(in_force["next_tier"]["next_taker_bps"])) == (2, D(35))
    assert [one["id"] for one in json.loads((await fees("list", "--json")).out)["schedules"]] == [2, 1]
    assert "...fees" in (await fees("list")).out
    assert json.loads((await fees("list", "--account", "...nobody", "--json")).out) == {"schedules": []}

    # A process of its own asked, and neither part of the key was on any command line, in the database or on the disk.
    account = fees.kraken.account
    if sys.platform == "linux":
        assert "arbitrade_kraken.fee_process" in fees.kraken.front.told
        assert account.secret not in fees.kraken.front.told
        assert account.key not in fees.kraken.front.told
    async with pool.acquire() as connection:
        rows = await connection.fetch("SELECT f::text AS row FROM fee_schedules AS f")
        journalled = await connection.fetch("SELECT data::text AS row FROM journal")
    text = "".join(row["row"] for row in (*rows, *journalled))
    assert account.secret not in text
    assert account.key not in text
    for file in fees.folder.rglob("*"):
        if file.is_file() and file.name not in ("key", "secret"):
            assert account.secret.encode() not in file.read_bytes(), file


async def test_a_refused_key_stores_nothing(fees: Command, pool: Pool) -> None:
    fees.kraken.account.permissions = ["query-funds", "withdraw-funds"]
    ran = await fees("fetch", **fees.with_files())
    assert ran.code != 0
    assert "error: the key is not used for fees: it may withdraw-funds" in ran.err
    assert await schedules(pool, 10) == []


async def test_no_key_is_an_error_that_says_what_to_set(fees: Command) -> None:
    ran = await fees("fetch")
    assert ran.code != 0
    assert "no API key is configured: set ARBITRADE_KRAKEN__FEE_KEY_FILE" in ran.err


async def test_a_front_that_sends_the_key_back_does_not_get_it_shown(fees: Command) -> None:
    account = fees.kraken.account
    echo = f"you sent {account.key} and {account.secret}"
    for answer in ((200, echo.encode()), (200, json.dumps({"error": [f"EGeneral:{echo}"]}).encode())):
        fees.kraken.front.next_answers.append(answer)
        ran = await fees("fetch", **fees.with_files())  # looks for both parts itself
        assert ran.code != 0
        assert "(hidden)" in ran.err


async def test_the_simulated_exchange_as_a_process_serves_an_account(fees: Command) -> None:
    command = [sys.executable, "-m", "arbitrade_kraken.simulator", "simulate", "--pairs=20", "--rate=0", "--json"]
    async with await anyio.open_process([*command, "--rest-port=0", "--until-stdin-closes"], stdin=PIPE) as process:
        assert process.stdout is not None
        said = json.loads(await process.stdout.receive())
        try:
            told = {f"ARBITRADE_KRAKEN__{name.upper()}": said[name] for name in ("rest_url", "fee_key", "fee_secret")}
            ran = await fees("fetch", "--json", **told)
        finally:
            process.terminate()
    assert ran.code == 0, ran.err
    assert json.loads(ran.out)["pairs"] == 20


async def test_old_fees_are_said_to_be_old(fees: Command) -> None:
    assert (await fees("fetch", **fees.with_files())).code == 0
    shown = await fees("show", ARBITRADE_RISK__MAX_FEES_AGE_H="0.0000001")
    assert "Too old to trade on: more than ARBITRADE_RISK__MAX_FEES_AGE_H" in shown.out


# --- what a bot reckons with ------------------------------------------------------------------------------------


def pair(symbol: str) -> Pair:
    base, quote = symbol.split("/")
    return Pair(symbol, base, quote, 1, 8, D("0.1"), D("1e-8"), D("0.0001"), D("0.5"), 5)


LISTED = [pair(symbol) for symbol in ("BTC/USD", "EUR/USD", "NEW/USD")]


async def test_a_bot_takes_an_accounts_fees_from_the_file_and_they_grow_stale(fees: Command) -> None:
    file = fees.folder / "fees.json"
    ran = await fees("fetch", "--json", "--file", str(file), **fees.with_files())
    assert ran.code == 0, ran.err
    source = KrakenFees(KrakenSettings(fee_file=file))
    snapshot = source.snapshot(LISTED, NOW)
    assert (snapshot.taker["BTC/USD"].rate, snapshot.maker["BTC/USD"].rate) == (D("0.0040"), D("0.0025"))
    assert snapshot.taker["EUR/USD"].rate == D("0.0020")
    assert snapshot.taker["NEW/USD"].rate == D("0.0040"), "a pair listed since costs what the dearest one costs"
    assert snapshot.source.startswith("account ...fees (file fees.json, fetched ")
    assert abs(snapshot.as_of_ns - json.loads(ran.out)["fetched_ns"]) < 1_000, "of the fetch, not of the reading"
    ladder = source.ladder(LISTED, NOW)
    assert [name for name, _ in ladder] == ["0 USD", "10,000 USD", "50,000 USD", "100,000 USD", "250,000 USD"]
    assert ladder[0][1].id == snapshot.id
    assert ladder[-1][1].taker["BTC/USD"].rate == D("0.0020")


async def test_an_accounts_file_without_its_moment_is_refused(kraken: Kraken, tmp_path: Path) -> None:
    file = tmp_path / "fees.json"
    file.write_text(json.dumps(schedule_file(await kraken.fetch()) | {"as_of": "2026-11-01"}))
    with pytest.raises(SettingsError, match="needs the moment it was fetched"):
        KrakenFees(KrakenSettings(fee_file=file)).snapshot(LISTED, NOW)


@pytest.mark.parametrize("tier", ["2024-03/0", "2024-03/50000"])
def test_the_published_ladder_for_a_tier_of_it(tier: str) -> None:
    source = FeesWhenAsked(KrakenSettings(fee_tier=tier))
    assert isinstance(source, FeeLadder)
    ladder = source.ladder(LISTED, NOW)
    assert [name for name, _ in ladder][:3] == ["0 USD", "10,000 USD", "50,000 USD"]
    takers = [step.taker["BTC/USD"].rate for _, step in ladder]
    assert len(ladder) == 12
    assert takers == sorted(takers, reverse=True)
    assert source.snapshot(LISTED, NOW).id in [step.id for _, step in ladder]


@pytest.mark.parametrize("settings", [{"fee_tier": "tier-1"}, {"fee_crypto_maker_bps": 1, "fee_crypto_taker_bps": 2}])
def test_above_tier_1_and_beside_stated_rates_nothing_is_known(settings: dict[str, Any]) -> None:
    assert KrakenFees(KrakenSettings(**settings)).ladder(LISTED, NOW) == []


def test_no_fees_no_ladder() -> None:
    with pytest.raises(ArbitradeError, match="no fees are configured"):
        KrakenFees(KrakenSettings()).ladder(LISTED, NOW)
