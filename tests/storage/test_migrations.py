from pathlib import Path
from typing import Any

import anyio
import pytest

from arbitrade_core.errors import MigrationError
from arbitrade_core.storage.connect import Database
from arbitrade_core.storage.migrations import Migration, core_migrations, migrate, read, status

pytestmark = pytest.mark.anyio


def sql(name: str, text: str, scope: str = "core") -> Migration:
    return Migration(scope, name, text)


async def names(database: Database, query: str) -> list[Any]:
    connection = await database.connect()
    try:
        return [row[0] for row in await connection.fetch(query)]
    finally:
        await connection.close()


async def test_eight_concurrent_starts_apply_each_file_once(empty_database: Database) -> None:
    migrations = [
        *core_migrations(),
        sql("9001_note.sql", "CREATE TABLE ran (n int); INSERT INTO ran VALUES (1);"),
        # Waits for every older snapshot: would hang if the other starters waited inside a statement.
        sql("9002_index.sql", "-- no-transaction\nCREATE INDEX CONCURRENTLY ran_n ON ran (n)"),
        sql("9003_more.sql", "INSERT INTO ran VALUES (3)"),
    ]
    applied: list[str] = []

    async def start() -> None:
        applied.extend(await migrate(empty_database, migrations))

    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            for _ in range(8):
                tasks.start_soon(start)
    assert sorted(applied) == [migration.name for migration in migrations]
    assert await names(empty_database, "SELECT n FROM ran ORDER BY n") == [1, 3]
    assert await names(empty_database, "SELECT name FROM schema_migrations ORDER BY name") == sorted(applied)


async def test_status_lists_applied_and_pending(empty_database: Database) -> None:
    first, second = sql("0001_a.sql", "SELECT 1"), sql("0002_b.sql", "SELECT 2")
    assert (await status(empty_database, [first])).pending == ("0001_a.sql",)
    await migrate(empty_database, [first])
    now = await status(empty_database, [first, second])
    assert (now.applied, now.pending) == (("0001_a.sql",), ("0002_b.sql",))


async def test_a_changed_file_is_refused(empty_database: Database) -> None:
    await migrate(empty_database, [sql("0001_a.sql", "SELECT 1")])
    with pytest.raises(MigrationError, match=r"core/0001_a\.sql changed after it was applied"):
        await migrate(empty_database, [sql("0001_a.sql", "SELECT 2")])


async def test_a_missing_file_is_refused(empty_database: Database) -> None:
    await migrate(empty_database, [sql("0001_a.sql", "SELECT 1"), sql("0002_b.sql", "SELECT 1")])
    with pytest.raises(MigrationError, match=r"core/0002_b\.sql .* newer version"):
        await migrate(empty_database, [sql("0001_a.sql", "SELECT 1")])


async def test_a_failed_file_leaves_nothing_and_is_named(empty_database: Database) -> None:
    broken = sql("0002_b.sql", "CREATE TABLE half (n int); CREATE TABLE half (n int);")
    with pytest.raises(MigrationError, match=r"core/0002_b\.sql failed: .*already exists.*nothing of it"):
        await migrate(empty_database, [sql("0001_a.sql", "SELECT 1"), broken])
    assert (await status(empty_database, [sql("0001_a.sql", "SELECT 1"), broken])).pending == ("0002_b.sql",)
    assert await names(empty_database, "SELECT 1 FROM pg_class WHERE relname = 'half'") == []


async def test_a_plugin_has_its_own_schema_and_numbers(empty_database: Database) -> None:
    await migrate(empty_database, core_migrations())
    own = [sql("0001_journal.sql", "CREATE TABLE journal (mine int)", scope="statarb")]
    assert await migrate(empty_database, own) == ["0001_journal.sql"]
    query = "SELECT table_schema FROM information_schema.tables WHERE table_name = 'journal' ORDER BY 1"
    assert await names(empty_database, query) == ["plugin_statarb", "public"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


async def test_line_ends_do_not_count(empty_database: Database, folder: Path) -> None:
    file = folder / "0001_a.sql"
    file.write_bytes(b"SELECT 1;\nSELECT 2;\n")
    await migrate(empty_database, read("core", folder))
    file.write_bytes(b"SELECT 1;\r\nSELECT 2;\r\n")
    assert await migrate(empty_database, read("core", folder)) == []


@pytest.mark.parametrize(
    ("files", "message"),
    [(["1_a.sql"], "NNNN_"), (["0001_a.sql", "0001_b.sql"], "same number")],
)
async def test_names_are_checked(folder: Path, files: list[str], message: str) -> None:
    for name in files:
        folder.joinpath(name).write_text("SELECT 1")
    with pytest.raises(MigrationError, match=message):
        read("core", folder)
