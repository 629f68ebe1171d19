"""WebSocket connections over real sockets: what a listener is told, on both transports, whatever the server does."""

import asyncio
import gc
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import anyio
import pytest
from websockets.asyncio.server import ServerConnection, serve

from arbitrade_core.errors import SettingsError
from arbitrade_core.events import ConnId
from arbitrade_core.transport import Opener, picows_io, sans_io

pytestmark = pytest.mark.anyio

WAIT_S = 20.0
OPENERS = {"websockets": sans_io.open_connection, "picows": picows_io.open_connection}

type Handler = Callable[[ServerConnection], Awaitable[None]]
type RawHandler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@pytest.fixture(params=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, bool]]:
    """Both event loops the bot may run on: their transports are different classes."""
    return "asyncio", {"use_uvloop": request.param == "uvloop"}


@pytest.fixture(params=list(OPENERS))
def opener(request: pytest.FixtureRequest) -> Opener:
    return OPENERS[request.param]


@pytest.fixture(autouse=True)
def complaints() -> Iterator[list[str]]:
    """Nothing is left to the event loop's exception handler."""
    heard: list[str] = []
    yield heard
    gc.collect()  # tasks whose exception nobody looked at complain when they go
    assert heard == []


@dataclass
class Ear:
    """Implements `transport.Listener`."""

    complaints: list[str]
    opened: list[ConnId] = field(default_factory=list)
    frames: list[bytes] = field(default_factory=list)
    closed: list[tuple[ConnId, int, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: self.complaints.append(str(context)))

    def on_open(self, conn: ConnId) -> None:
        self.opened.append(conn)

    def on_frame(self, conn: ConnId, data: bytes) -> None:
        self.frames.append(data)

    def on_close(self, conn: ConnId, code: int, reason: str) -> None:
        self.closed.append((conn, code, reason))

    async def until(self, happened: Callable[[], bool]) -> None:
        with anyio.fail_after(WAIT_S):
            while not happened():  # noqa: ASYNC110 - what is awaited is anything
                await anyio.sleep(0.005)

    async def until_closed(self) -> tuple[int, str]:
        await self.until(lambda: bool(self.closed))
        await anyio.sleep(0.05)
        assert len(self.closed) == 1, "once per connection"
        return self.closed[0][1:]


@pytest.fixture
async def ear(complaints: list[str]) -> Ear:
    return Ear(complaints)


@asynccontextmanager
async def exchange(handler: Handler) -> AsyncIterator[str]:
    async with serve(handler, "127.0.0.1", 0, compression=None, ping_interval=None, close_timeout=0.2) as server:
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/v2"


@asynccontextmanager
async def raw_server(handler: RawHandler) -> AsyncIterator[str]:
    """A TCP server that speaks no WebSocket by itself."""

    serving: set[asyncio.Task[None] | None] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving.add(asyncio.current_task())
        try:
            await handler(reader, writer)
        finally:
            writer.close()
            serving.discard(asyncio.current_task())

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    try:
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/v2"
    finally:
        server.close()
        with anyio.fail_after(WAIT_S):
            while serving:  # noqa: ASYNC110 - clients have gone, or they leak
                await anyio.sleep(0.005)
        await server.wait_closed()


async def echo(connection: ServerConnection) -> None:
    async for message in connection:
        await connection.send(message)


async def test_what_is_sent_is_text_and_what_comes_back_is_its_bytes(opener: Opener, ear: Ear) -> None:
    kinds: list[type] = []

    async def handler(connection: ServerConnection) -> None:
        async for message in connection:
            kinds.append(type(message))
            await connection.send(message)

    async with exchange(handler) as url:
        connection = opener(3, url, ear)
        await ear.until(lambda: bool(ear.opened))
        connection.send(b'{"method":"ping"}')
        connection.send('{"symbol":"€/USD"}'.encode())
        await ear.until(lambda: len(ear.frames) == 2)
        assert ear.frames == [b'{"method":"ping"}', '{"symbol":"€/USD"}'.encode()]
        assert kinds == [str, str]
        connection.close()
        code, _ = await ear.until_closed()
        assert code in (1000, 1006)
        assert (ear.opened, ear.closed[0][0]) == ([3], 3)


async def test_fragments_are_one_message_and_a_large_one_is_whole(opener: Opener, ear: Ear) -> None:
    large = "x" * 700_000

    async def handler(connection: ServerConnection) -> None:
        await connection.send(["one ", "message ", "in ", "parts"])
        await connection.send(large)
        await connection.send(["", "again", ""])
        await connection.wait_closed()

    async with exchange(handler) as url:
        connection = opener(1, url, ear)
        await ear.until(lambda: len(ear.frames) == 3)
        assert ear.frames == [b"one message in parts", large.encode(), b"again"]
        connection.close()
        await ear.until_closed()


async def test_a_burst_arrives_in_order(opener: Opener, ear: Ear) -> None:
    async def handler(connection: ServerConnection) -> None:
        for number in range(2_000):
            await connection.send(str(number))
        await connection.wait_closed()

    async with exchange(handler) as url:
        connection = opener(1, url, ear)
        await ear.until(lambda: len(ear.frames) == 2_000)
        assert ear.frames == [str(number).encode() for number in range(2_000)]
        connection.close()
        await ear.until_closed()


@pytest.mark.parametrize(("code", "words"), [(1000, "idle"), (1001, "going away"), (1012, "restart"), (4000, "own")])
async def test_a_server_that_closes_is_told_with_its_code(opener: Opener, ear: Ear, code: int, words: str) -> None:
    async def handler(connection: ServerConnection) -> None:
        await connection.close(code, words)

    async with exchange(handler) as url:
        opener(1, url, ear)
        assert await ear.until_closed() == (code, words)
        assert ear.opened == [1]


async def test_a_server_that_closes_without_a_code_is_told(opener: Opener, ear: Ear) -> None:
    async def handler(connection: ServerConnection) -> None:
        connection.transport.write(b"\x88\x00")  # a close frame without a body
        await connection.wait_closed()

    async with exchange(handler) as url:
        opener(1, url, ear)
        code, reason = await ear.until_closed()
        assert code == 1005
        assert reason


async def test_a_connection_that_is_cut_is_told_as_1006(opener: Opener, ear: Ear) -> None:
    async def handler(connection: ServerConnection) -> None:
        await connection.send("last words")
        connection.transport.abort()

    async with exchange(handler) as url:
        opener(1, url, ear)
        code, reason = await ear.until_closed()
        assert (code, ear.frames) == (1006, [b"last words"])
        assert reason


async def test_pings_are_answered(opener: Opener, ear: Ear) -> None:
    answered = anyio.Event()

    async def handler(connection: ServerConnection) -> None:
        await (await connection.ping())
        answered.set()
        await connection.wait_closed()

    async with exchange(handler) as url:
        connection = opener(1, url, ear)
        with anyio.fail_after(WAIT_S):
            await answered.wait()
        assert ear.frames == []
        connection.close()
        await ear.until_closed()


async def test_a_refused_connection_says_where(opener: Opener, ear: Ear) -> None:
    async with exchange(echo) as url:
        pass
    opener(1, url, ear)
    code, reason = await ear.until_closed()
    assert code == 0
    assert reason.startswith(f"cannot connect to 127.0.0.1:{url.split(':')[2].removesuffix('/v2')}: ")
    assert ear.opened == []


async def test_a_host_that_does_not_exist_is_told(opener: Opener, ear: Ear) -> None:
    opener(1, "ws://no-such-host.invalid/v2", ear)
    code, reason = await ear.until_closed()
    assert code == 0
    assert reason.startswith("cannot connect to no-such-host.invalid:80: ")


async def test_a_handshake_that_never_ends_is_given_up(
    opener: Opener, ear: Ear, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sans_io, "CONNECT_TIMEOUT_S", 0.2)
    monkeypatch.setattr(picows_io, "CONNECT_TIMEOUT_S", 0.2)
    async with raw_server(silent) as url:
        opener(1, url, ear)
        code, reason = await ear.until_closed()
        assert code == 0
        assert "within 0.2 s" in reason
        assert ear.opened == []


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi",
        b"SSH-2.0-something-else\r\n",
        b"",
    ],
    ids=["503", "200", "no-http", "nothing"],
)
async def test_a_server_that_refuses_the_upgrade_is_told_once(opener: Opener, ear: Ear, answer: bytes) -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()

    async with raw_server(handler) as url:
        opener(1, url, ear)
        code, reason = await ear.until_closed()
        assert code == 0
        assert reason.startswith("127.0.0.1:")
        assert "refused the upgrade: " in reason
        assert ear.opened == []


async def test_closing_while_connecting_is_told_once_and_leaves_nothing(
    opener: Opener, ear: Ear, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(picows_io, "CONNECT_TIMEOUT_S", 0.3)  # picows lets go of it then, not before
    async with raw_server(silent) as url:
        at_once = opener(1, url, ear)
        at_once.close()
        later = opener(2, url, ear)
        await anyio.sleep(0.1)
        later.close()
        await ear.until(lambda: len(ear.closed) == 2)
        await anyio.sleep(0.05)
        assert sorted(conn for conn, _, _ in ear.closed) == [1, 2]
        assert ear.opened == []
        others = [task for task in asyncio.all_tasks() if "_open" in repr(task)]
        assert others == []


async def test_sending_and_closing_after_the_end_do_nothing(opener: Opener, ear: Ear) -> None:
    async with exchange(echo) as url:
        connection = opener(1, url, ear)
        connection.send(b"too early: dropped")
        await ear.until(lambda: bool(ear.opened))
        connection.close()
        connection.send(b"too late: dropped")
        connection.close()
        await ear.until_closed()
        connection.send(b"much too late")
        connection.close()
        await anyio.sleep(0.05)
    assert len(ear.closed) == 1
    assert ear.frames == []


async def test_a_server_that_does_not_answer_our_close_is_let_go(opener: Opener, ear: Ear) -> None:
    stay = anyio.Event()

    async def handler(connection: ServerConnection) -> None:
        connection.transport.pause_reading()
        await stay.wait()

    async with exchange(handler) as url:
        connection = opener(1, url, ear)
        await ear.until(lambda: bool(ear.opened))
        connection.close()
        await ear.until_closed()
        stay.set()


@pytest.mark.parametrize("url", ["http://127.0.0.1/v2", "127.0.0.1", "", "ws://"])
async def test_an_address_that_is_none_is_a_settings_error(opener: Opener, ear: Ear, url: str) -> None:
    with pytest.raises(SettingsError, match="is not a WebSocket address"):
        opener(1, url, ear)
