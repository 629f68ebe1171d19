import os
import signal
from pathlib import Path

import anyio
import anyio.to_thread
import asyncpg
import pytest

from arbitrade_core.errors import InvariantError, StorageError
from arbitrade_core.events import Durable, JournalBack, JournalLost
from arbitrade_core.journal import GENESIS, Record, chained
from arbitrade_core.storage.connect import Database, Place, Pool, create_if_absent
from arbitrade_core.storage.embedded import embedded_server
from arbitrade_core.storage.journal_store import JournalRefused, verify_chain
from arbitrade_core.storage.locks import ServerLock
from arbitrade_core.storage.migrations import core_migrations, migrate
from tests.storage.journals import Journal, running
from tests.storage.proxy import proxied

pytestmark = pytest.mark.anyio


async def kill_sessions(database: Database) -> None:
    connection = await database.connect()
    await connection.execute(
        "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity"
        " WHERE application_name = 'arbitrade journal' AND datname = current_database()"
    )
    await connection.close()


async def written(pool: Pool) -> list[tuple[int, int]]:
    """(seq, n) of every record, in order."""
    rows = await pool.fetch("SELECT seq, data FROM journal WHERE stream = 'live' ORDER BY seq")
    return [(row["seq"], row["data"]["n"]) for row in rows]


async def test_what_is_durable_is_there_and_chained(database: Database, pool: Pool) -> None:
    async with running(database) as journal:
        assert journal.tails["live"].seq == 0
        for n in range(1, 51):
            journal.write("note", {"n": n, "text": "ä€"})
        await journal.durable(50)
    assert await written(pool) == [(n, n) for n in range(1, 51)]
    assert await verify_chain(pool, "live") == (50, True, None)
    seqs = [report.seq for report in journal.reports if isinstance(report, Durable)]
    assert seqs == sorted(seqs)


async def test_the_stored_hash_is_the_journals(database: Database, pool: Pool) -> None:
    async with running(database) as journal:
        journal.write("note", {"n": 1})
        journal.write("note", {"n": 2})
        await journal.durable(2)
    rows = await pool.fetch("SELECT * FROM journal ORDER BY seq")
    previous = GENESIS
    for row in rows:
        record = Record(row["stream"], row["seq"], row["time_ns"], row["kind"], row["data"])
        previous = chained(previous, record)
        assert row["hash"] == previous


async def test_a_restart_goes_on_from_the_tail(database: Database, pool: Pool) -> None:
    async with running(database) as first:
        first.write("note", {"n": 1})
        await first.durable(1)
    async with running(database) as second:
        assert second.tails["live"].seq == 1
        second.write("note", {"n": 2})
        await second.durable(2)
    assert await verify_chain(pool, "live") == (2, True, None)


async def test_a_second_writer_is_refused_at_start(database: Database) -> None:
    async with running(database):
        with pytest.raises(StorageError, match=r"stream 'live' .* being written by another process"):
            await Journal(database).writer.open()


async def test_the_journal_is_append_only(database: Database, pool: Pool) -> None:
    async with running(database) as journal:
        journal.write("note", {"n": 1})
        await journal.durable(1)
    for statement in ("UPDATE journal SET kind = 'x'", "DELETE FROM journal", "TRUNCATE journal"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="append-only"):
            await pool.execute(statement)
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="append-only"):
            async with pool.acquire() as connection, connection.transaction():
                await connection.execute("SET LOCAL session_replication_role = replica")
                await connection.execute(statement)


@pytest.mark.parametrize(
    "tampering",
    [
        "UPDATE journal SET content = set_byte(content, 20, get_byte(content, 20) # 1) WHERE seq = 7",
        "UPDATE journal SET data = '{\"n\": 8}' WHERE seq = 7",
        "UPDATE journal SET time_ns = time_ns + 1 WHERE seq = 7",
        "UPDATE journal SET hash = set_byte(hash, 0, get_byte(hash, 0) # 1) WHERE seq = 7",
        "DELETE FROM journal WHERE seq = 7",
    ],
)
async def test_the_chain_shows_what_was_changed(database: Database, pool: Pool, tampering: str) -> None:
    async with running(database) as journal:
        for n in range(1, 11):
            journal.write("note", {"n": n})
        await journal.durable(10)
    await pool.execute("ALTER TABLE journal DISABLE TRIGGER journal_append_only")
    await pool.execute(tampering)
    _, holds, first_bad = await verify_chain(pool, "live")
    assert (holds, first_bad) == (False, 7)
    with pytest.raises(StorageError, match="damaged at record 7"):
        await Journal(database).writer.open()


async def test_lost_and_back_keeps_everything_in_order(database: Database, pool: Pool) -> None:
    async with running(database) as journal:
        for n in range(1, 301):
            journal.write("note", {"n": n})
            if n % 60 == 0:
                await kill_sessions(database)
            await anyio.sleep(0.001)
        await journal.durable(300)
        await journal.until(lambda: journal.count(JournalBack) == journal.count(JournalLost))
        assert journal.count(JournalLost) >= 1
    assert await written(pool) == [(n, n) for n in range(1, 301)]
    assert await verify_chain(pool, "live") == (300, True, None)


async def test_loss_is_reported_once_and_back_after_durable(database: Database, pool: Pool) -> None:
    async with proxied(database) as (proxy, through), running(through) as journal:
        journal.write("note", {"n": 1})
        await journal.durable(1)
        proxy.refuse = True
        proxy.drop_all()
        journal.write("note", {"n": 2})
        await journal.lost()
        journal.write("note", {"n": 3})
        await anyio.sleep(1.0)  # several attempts
        assert journal.count(JournalLost) == 1
        assert journal.writer.depth == 2
        proxy.refuse = False
        await journal.back()
        kinds = [type(report) for report in journal.reports]
        assert kinds.index(JournalLost) < kinds.index(JournalBack)
        assert isinstance(journal.reports[-2], Durable)
        assert journal.reports[-2].seq == 3
    assert await written(pool) == [(1, 1), (2, 2), (3, 3)]


async def test_a_lost_commit_ack_is_found_out(database: Database, pool: Pool) -> None:
    async with proxied(database) as (proxy, through), running(through) as journal:
        journal.write("note", {"n": 1})
        await journal.durable(1)
        proxy.cut_after_commit = True
        journal.write("note", {"n": 2})
        await journal.lost()
        journal.write("note", {"n": 3})
        await journal.back()
        await journal.durable(3)
        assert proxy.cuts == 1
        assert [report.seq for report in journal.reports if isinstance(report, Durable)] == [1, 2, 3]
    assert await written(pool) == [(1, 1), (2, 2), (3, 3)]
    assert await verify_chain(pool, "live") == (3, True, None)


async def test_foreign_records_break_the_writer(database: Database, pool: Pool) -> None:
    async with running(database) as journal:
        journal.write("note", {"n": 1})
        await journal.durable(1)
        await pool.execute(
            "INSERT INTO journal (stream, seq, time_ns, kind, data, content, hash)"
            " SELECT stream, 2, time_ns, kind, data, content, hash FROM journal"
        )
        journal.write("note", {"n": 2})
        await journal.until(lambda: journal.writer.broken is not None)
        assert any("something else wrote" in reason for reason in journal.reasons())
        assert journal.count(JournalBack) == 0
        with pytest.raises(JournalRefused, match="something else wrote"):
            journal.write("note", {"n": 3})
    assert await pool.fetchval("SELECT count(*) FROM journal") == 2


async def test_a_database_set_back_breaks_the_writer(database: Database, pool: Pool) -> None:
    async with running(database) as journal:
        journal.write("note", {"n": 1})
        journal.write("note", {"n": 2})
        await journal.durable(2)
        await pool.execute("ALTER TABLE journal DISABLE TRIGGER journal_append_only")
        await pool.execute("DELETE FROM journal WHERE seq = 2")
        await kill_sessions(database)
        journal.write("note", {"n": 3})
        await journal.until(lambda: journal.writer.broken is not None)


async def test_a_full_queue_refuses_at_once_and_may_be_offered_again(database: Database, pool: Pool) -> None:
    async with proxied(database) as (proxy, through), running(through, capacity=10) as journal:
        proxy.refuse = True
        proxy.drop_all()
        for n in range(1, 11):
            journal.write("note", {"n": n})
        refused = journal.stream.record("note", journal.now(), {"n": 11})
        with pytest.raises(JournalRefused, match="queue is full: 10 records"):
            journal.writer.append([refused])
        proxy.refuse = False
        await journal.durable(10)
        journal.writer.append([refused])
        await journal.durable(11)
    assert await written(pool) == [(n, n) for n in range(1, 12)]


async def test_back_follows_a_refusal_though_the_database_never_failed(database: Database) -> None:
    journal = Journal(database, capacity=1)
    await journal.writer.open()
    journal.write("note", {"n": 1})
    with pytest.raises(JournalRefused):
        journal.write("note", {"n": 2})
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(journal.writer.run)
        await journal.back()
        tasks.cancel_scope.cancel()
    assert [type(report) for report in journal.reports] == [Durable, JournalBack]


async def test_a_gap_in_the_numbers_is_our_bug(database: Database) -> None:
    async with running(database) as journal:
        journal.stream.last_seq += 1
        with pytest.raises(InvariantError, match="does not follow 0"):
            journal.write("note", {"n": 1})


async def test_a_nul_character_from_outside_does_not_stop_the_journal(database: Database, pool: Pool) -> None:
    async with running(database) as journal:
        journal.write("state", {"key": "a\0b", "value": {"reason": "bad \0 byte", "kept": "\\u0000"}})
        await journal.durable(1)
        assert journal.reasons() == []
    assert await verify_chain(pool, "live") == (1, True, None)
    value = await pool.fetchval("SELECT value FROM runtime_state WHERE key = 'a\ufffdb'")
    assert value == {"reason": "bad \ufffd byte", "kept": "\\u0000"}


async def test_a_record_that_fits_no_table_is_journalled_and_noted(database: Database, pool: Pool) -> None:
    async with running(database) as journal:
        journal.write("fill", {"plan": "p", "order": "nobody's"})
        journal.write("state", {"key": "k", "value": 1})
        await journal.durable(2)
        assert journal.writer.unprojected == 1
        assert journal.reasons() == []
    assert await verify_chain(pool, "live") == (2, True, None)
    assert await pool.fetchval("SELECT kind FROM projection_failures WHERE seq = 1") == "fill"
    assert await pool.fetchval("SELECT value FROM runtime_state WHERE key = 'k'") == 1


async def test_drain_says_whether_all_is_durable(database: Database) -> None:
    async with running(database) as journal:
        journal.write("note", {"n": 1})
        assert await journal.writer.drain(10)
        assert journal.writer.depth == 0


async def test_the_server_goes_down_and_comes_back(place: Path, database_server: Place) -> None:
    del database_server  # skips where there is no PostgreSQL
    async with embedded_server(place, fsync=False) as server:
        at = server.address
        here = Place("arbitrade", "here", "test", None, at.host, at.port, at.user, at.password)
        await create_if_absent(here)
        database = Database(here)
        await migrate(database, core_migrations())
        async with running(database) as journal:
            journal.write("note", {"n": 1})
            await journal.durable(1)
            os.kill(int((server.data / "postmaster.pid").read_text().split()[0]), signal.SIGINT)
            await journal.until(ServerLock(server.home / "server.lock").free)
            journal.write("note", {"n": 2})
            await journal.lost()
            assert "cannot be reached" in journal.reasons()[0] or "failed" in journal.reasons()[0]
            await anyio.to_thread.run_sync(server.ensure)
            await journal.back()
            await journal.durable(2)
        async with database.pool() as pool:
            assert await written(pool) == [(1, 1), (2, 2)]
