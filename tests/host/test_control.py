"""The control socket: whoever holds the token is answered, and nobody can bring the bot down through it."""

import json
import os
import signal
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest
from anyio.streams.buffered import BufferedByteReceiveStream

from arbitrade_core.control import Address, NotRunning, call, control_file, serve
from arbitrade_core.control import server as control_server
from arbitrade_core.control.verbs import Verbs
from arbitrade_core.errors import ControlError
from arbitrade_core.settings import CoreSettings
from tests.host.bots import journal
from tests.host.conftest import Command, Run, Start

pytestmark = pytest.mark.anyio


async def pong(parameters: object, actor: str) -> object:
    return [parameters, actor]


@pytest.fixture
def core(data_dir: Path) -> CoreSettings:
    return CoreSettings(data_dir=data_dir)


@asynccontextmanager
async def serving(core: CoreSettings, *, demo: bool = False, answer: object = pong) -> AsyncIterator[Address]:
    verbs = Verbs()
    verbs.offer("ping", answer)  # type: ignore[arg-type]
    async with serve(verbs, control_file(core.data_path, demo), "desk") as address:
        yield address


async def said(address: Address, *lines: bytes) -> list[dict[str, object]]:
    """What it answers to raw bytes, until it hangs up or has answered every line."""
    answers: list[dict[str, object]] = []
    async with await anyio.connect_tcp("127.0.0.1", address.port) as stream:
        received = BufferedByteReceiveStream(stream)
        for line in lines:
            with anyio.fail_after(30):
                try:
                    await stream.send(line)
                    answers.append(json.loads(await received.receive_until(b"\n", 1 << 20)))
                except (anyio.IncompleteRead, anyio.BrokenResourceError, anyio.EndOfStream):
                    break
    return answers


def request(address: Address, **changes: object) -> bytes:
    fields = {"token": address.token, "verb": "ping", "actor": "me", "parameters": {"a": 1}} | changes
    return json.dumps({name: value for name, value in fields.items() if value is not None}).encode() + b"\n"


GARBAGE = [
    b"\n",
    b"\xff\xfe\x00\n",
    b'{"token":"\xff","verb":"ping","actor":"me"}\n',
    b'{"token":"\\ud800","verb":"ping","actor":"me"}\n',
    b'{"token":"\\u0000","verb":"ping","actor":"me"}\n',
    b"[" * 100_000 + b"\n",
    b'{"token":"x","verb":"ping","actor":"me","parameters":' + b'{"a":' * 5_000 + b"\n",
    b"null\n",
    b'{"token":5}\n',
    b"GET / HTTP/1.1\n",
]


async def test_garbage_is_refused_line_by_line_and_the_next_is_answered(core: CoreSettings) -> None:
    async with serving(core) as address:
        for garbage in GARBAGE:
            (answer,) = await said(address, garbage)
            assert "error" in answer, garbage[:50]
        both = await said(address, GARBAGE[1], request(address))
        assert both[1] == {"ok": [{"a": 1}, "me"]}
        assert await call(core, "ping", {"a": 2}) == [{"a": 2}, (await call(core, "ping"))[1]]


@pytest.mark.parametrize("token", ["", "x", "é", "\0" * 43])
async def test_another_token_is_told_nothing_but_that(core: CoreSettings, token: str) -> None:
    async with serving(core) as address:
        (answer,) = await said(address, request(address, token=token))
        assert answer == {"error": "the token is not this bot's; read its control file again"}
        (longer,) = await said(address, request(address, token=address.token + "x"))
        assert longer == answer


async def test_a_huge_line_is_refused_and_hung_up_on(core: CoreSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control_server, "_LONGEST_REQUEST", 10_000)
    async with serving(core) as address:
        answers = await said(address, b"x" * 30_000, request(address))
        assert answers in ([], [{"error": "a request is longer than 10000 bytes"}])
        assert await call(core, "ping")


async def test_a_client_that_is_slow_to_ask_or_to_read_is_let_go_and_holds_nobody_up(
    core: CoreSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control_server, "_SILENCE_S", 2.0)

    async def much(parameters: object, actor: str) -> object:
        return "x" * (32 << 20)

    async with serving(core, answer=much) as address:  # noqa: SIM117 - the clients come and go in it
        async with (
            await anyio.connect_tcp("127.0.0.1", address.port) as silent,
            await anyio.connect_tcp("127.0.0.1", address.port) as halfway,
            await anyio.connect_tcp("127.0.0.1", address.port) as deaf,
        ):
            await halfway.send(request(address)[:20])
            await deaf.send(request(address))
            assert len(await call(core, "ping")) == 32 << 20
            for stream in (silent, halfway):
                with anyio.fail_after(20), pytest.raises((anyio.EndOfStream, anyio.BrokenResourceError)):
                    await stream.receive()
            await anyio.sleep(2.5)
            with anyio.fail_after(20), pytest.raises((anyio.EndOfStream, anyio.BrokenResourceError)):
                while True:
                    await deaf.receive(1 << 20)


async def test_many_at_once_are_all_answered(core: CoreSettings) -> None:
    async with serving(core):
        answers = []

        async def ask(number: int) -> None:
            answers.append((await call(core, "ping", {"n": number}))[0]["n"])

        async with anyio.create_task_group() as tasks:
            for number in range(50):
                tasks.start_soon(ask, number)
        assert sorted(answers) == list(range(50))


async def test_only_the_user_can_read_the_file_and_it_goes_with_the_bot(core: CoreSettings) -> None:
    file = control_file(core.data_path, demo=False)
    old = os.umask(0)
    try:
        async with serving(core):
            assert stat.S_IMODE(file.stat().st_mode) == 0o600
            assert [path.name for path in core.data_path.iterdir()] == ["control.json"]
    finally:
        os.umask(old)
    assert list(core.data_path.iterdir()) == []
    with pytest.raises(NotRunning, match="start it with `arbitrade run`"):
        await call(core, "ping")
    with pytest.raises(NotRunning, match="start it with `arbitrade demo`"):
        await call(core, "ping", demo=True)


async def test_a_demo_beside_the_bot_is_asked_apart_and_the_newest_demo_has_the_file(core: CoreSettings) -> None:
    async with serving(core) as bot, serving(core, demo=True) as first:
        assert (await call(core, "ping"))[0] == {}
        async with serving(core, demo=True) as second:
            assert len({bot.token, first.token, second.token}) == 3
            assert json.loads(control_file(core.data_path, demo=True).read_text())["token"] == second.token
        with pytest.raises(NotRunning):
            await call(core, "ping", demo=True)
        assert await call(core, "ping")


@pytest.mark.parametrize("says", [b"HTTP/1.1 400 Bad Request\r\n", b"\xff\xfe\n", b"[]\n", b""])
async def test_a_stranger_on_the_port_of_a_bot_that_died_is_not_taken_for_it(core: CoreSettings, says: bytes) -> None:
    async def stranger(stream: anyio.abc.SocketStream) -> None:
        async with stream:
            await stream.receive()
            await stream.send(says or b"\n")

    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, stranger)
        address = Address(listener.extra(anyio.abc.SocketAttribute.local_port), "token", 1, "desk")
        control_server._write(control_file(core.data_path, demo=False), address)
        with pytest.raises(NotRunning, match="not the bot"):
            await call(core, "ping")
        tasks.cancel_scope.cancel()


@pytest.mark.parametrize("left", ["", "{", "\x00\xff", '{"port":1}', '{"port":"a","token":"b","pid":1,"name":"c"}'])
async def test_a_broken_control_file_is_told_as_such(core: CoreSettings, left: str) -> None:
    core.data_path.mkdir(exist_ok=True)
    control_file(core.data_path, demo=False).write_bytes(left.encode("latin-1"))
    with pytest.raises(NotRunning, match=r"control\.json cannot be read"):
        await call(core, "ping")
    async with serving(core):
        assert await call(core, "ping")


async def test_halt_survives_the_session_until_somebody_resumes(run: Run, dsn: str) -> None:
    async with run() as bot:
        await bot.trades()
        assert (await bot.ask("halt", reason="lunch"))["halted"] == "lunch"
        assert (await bot.ask("halt", reason="twice"))["halted"] == "lunch"
        await bot.until(lambda: not bot.session.desk.open_plans)
        approved = bot.approved
        assert (await bot.ask("status"))["halted"] == "halted: lunch"
        await anyio.sleep(0.5)
        assert bot.approved == approved
        with pytest.raises(ControlError, match="'reason'"):
            await bot.ask("halt")
        with pytest.raises(ControlError, match="did you mean 'halt'"):
            await bot.ask("hal")
    async with run() as bot:
        await bot.until(lambda: sum(bot.refusals.values()) >= 2)
        assert bot.approved == 0
        assert (await bot.ask("status"))["halted"] == "halted: lunch"
        assert (await bot.ask("resume"))["was"] == ["lunch"]
        assert (await bot.ask("resume"))["was"] == []
        await bot.trades()
        await bot.ask("halt", reason="again")
    async with run(resume=True) as bot:
        await bot.trades()
    halts = await journal(dsn, "halt")
    assert [one["reason"] for one in halts] == ["lunch", "again"]
    assert halts[0]["actor"].startswith("cli:")
    assert [one["actor"] for one in await journal(dsn, "resume")][1] == "command line"


async def test_a_bot_killed_while_halted_leaves_a_stale_file_and_starts_halted(
    start: Start, arbitrade: Command, data_dir: Path, dsn: str
) -> None:
    bot = start("run")
    bot.listens()
    halted = await arbitrade("halt", "--reason=fire")
    assert halted.code == 0, halted.errors
    assert halted.out == "halted: fire\n"
    with anyio.fail_after(30):
        while not await journal(dsn, "halt"):  # noqa: ASYNC110 - another process writes it
            await anyio.sleep(0.05)
    bot.process.send_signal(signal.SIGKILL)
    bot.ended()
    assert (data_dir / "control.json").exists()
    asked = await arbitrade("status")
    assert asked.code == 2
    assert "it ended without a word" in asked.errors
    again = start("run")
    assert again.listens()["pid"] == again.process.pid
    status = await arbitrade("status")
    assert status.code == 0, status.errors
    assert status.answer()["halted"] == "halted: fire"
    resumed = await arbitrade("resume", "--json")
    assert resumed.answer()["was"] == ["fire"]
    again.process.send_signal(signal.SIGTERM)
    assert again.ended() == 0, again.errors
    assert not (data_dir / "control.json").exists()
