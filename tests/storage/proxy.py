"""A Unix-socket proxy between a client and PostgreSQL that can lose things on purpose."""

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path

from arbitrade_core.storage.connect import Database


class Proxy:
    """Forwards connections. `cut_after_commit`: the next COMMIT reaches the server, its answer does not come
    back."""

    def __init__(self, upstream: str) -> None:
        self._upstream = upstream
        self._writers: set[asyncio.StreamWriter] = set()
        self.cut_after_commit = False
        self.refuse = False
        self.cuts = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.refuse:
            writer.close()
            return
        up_reader, up_writer = await asyncio.open_unix_connection(self._upstream)
        both = {writer, up_writer}
        self._writers |= both
        try:
            down = asyncio.create_task(self._pump(up_reader, writer))
            await self._pump(reader, up_writer, watched=True)
            if self.cuts:
                await asyncio.sleep(0.3)  # let the server commit before it learns that nobody listens
            down.cancel()
            await asyncio.gather(down, return_exceptions=True)
        finally:
            self._writers -= both
            for each in both:
                each.close()

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, *, watched: bool = False) -> None:
        with suppress(ConnectionError):
            while data := await source.read(65_536):
                if watched and self.cut_after_commit and b"COMMIT;" in data:
                    self.cut_after_commit = False
                    self.cuts += 1
                    for writer in self._writers - {sink}:
                        writer.transport.abort()  # nothing of the answer gets through
                    sink.write(data)
                    await sink.drain()
                    return
                sink.write(data)
                await sink.drain()

    def drop_all(self) -> None:
        for writer in self._writers:
            writer.transport.abort()


@asynccontextmanager
async def proxied(database: Database) -> AsyncIterator[tuple[Proxy, Database]]:
    """A proxy in front of the database's server, and the database as seen through it."""
    place = database.place
    if place.host is None or not place.host.startswith("/"):
        raise ValueError(f"needs a Unix socket, not {place.host}")
    proxy = Proxy(f"{place.host}/.s.PGSQL.{place.port}")
    with tempfile.TemporaryDirectory(prefix="arb-") as folder:
        path = Path(folder) / f".s.PGSQL.{place.port}"
        server = await asyncio.start_unix_server(proxy.serve, str(path))
        try:
            yield proxy, Database(replace(place, host=folder))
        finally:
            server.close()
            proxy.drop_all()
            await asyncio.sleep(0.05)
