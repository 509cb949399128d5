"""The store's file: who may read it, what is refused, who is told, and what a crash or a crowd leaves."""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiosqlite
import pytest

from peft_tui.domain.errors import ConfigurationInvalid
from peft_tui.store import Changes, Store
from peft_tui.store import database as module
from peft_tui.store.database import Database
from peft_tui.store.migrations import MIGRATIONS
from tests.doubles import NOON, PATIENCE_SECONDS, deployment, intend, operation, until

ROOT = Path(__file__).parents[2]


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def heard(store: Store) -> list[Changes]:
    changes: list[Changes] = []
    store.database.listen(changes.append)
    return changes


async def add(store: Store, name: str) -> str:
    wanted = deployment(name)
    async with store.database.transaction() as transaction:
        await store.deployments.insert(transaction, wanted)
    return wanted.id


@pytest.fixture
async def other(store: Store) -> AsyncIterator[Store]:
    """A second one on the same file, as another process has it."""
    opened = await Store.open(store.database.path.parent)
    yield opened
    await opened.close()


class TestFile:
    @pytest.fixture(autouse=True)
    def lax(self) -> Iterator[None]:
        before = os.umask(0o022)
        yield
        os.umask(before)

    async def test_the_directory_and_all_its_files_are_for_the_owner_only(self, tmp_path: Path) -> None:
        store = await Store.open(tmp_path / "data")
        await add(store, "bot")
        assert mode(tmp_path / "data") == 0o700
        files = list((tmp_path / "data").iterdir())
        assert {file.name for file in files} == {
            "peft-tui.db",
            "peft-tui.db-wal",
            "peft-tui.db-shm",
            "store.lock",
        }
        assert {mode(file) for file in files} == {0o600}
        await store.close()

    async def test_a_store_that_others_could_read_is_closed_to_them(self, tmp_path: Path) -> None:
        (tmp_path / "peft-tui.db").touch(0o644)
        await (await Store.open(tmp_path)).close()
        assert mode(tmp_path / "peft-tui.db") == 0o600

    async def test_each_migration_is_applied_once(self, tmp_path: Path) -> None:
        for _ in range(3):
            store = await Store.open(tmp_path)
            rows = await store.database.all("SELECT name FROM migrations ORDER BY rowid")
            await store.close()
        assert [row["name"] for row in rows] == list(MIGRATIONS)

    async def test_a_migration_that_fails_leaves_the_store_as_it_was(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store = await Store.open(tmp_path)
        await add(store, "bot")
        await store.close()
        monkeypatch.setitem(
            MIGRATIONS, "second", "CREATE TABLE extra (a);\nINSERT INTO nowhere VALUES (1);\n"
        )
        with pytest.raises(ConfigurationInvalid):
            await Store.open(tmp_path)
        monkeypatch.delitem(MIGRATIONS, "second")
        store = await Store.open(tmp_path)
        assert [d.name for d in await store.deployments.all()] == ["bot"]
        assert await store.database.all("SELECT * FROM sqlite_master WHERE name = 'extra'") == []
        await store.close()

    async def test_a_newer_store_is_refused_and_not_touched(self, tmp_path: Path) -> None:
        await (await Store.open(tmp_path)).close()
        with sqlite3.connect(tmp_path / "peft-tui.db") as connection:
            connection.execute("INSERT INTO migrations VALUES ('from the future', 'now')")
        connection.close()
        before = (tmp_path / "peft-tui.db").read_bytes()
        with pytest.raises(ConfigurationInvalid, match="newer peft-tui") as caught:
            await Store.open(tmp_path)
        assert "from the future" in caught.value.message and caught.value.hint
        assert (tmp_path / "peft-tui.db").read_bytes() == before

    @pytest.mark.parametrize("content", [b"not a database, whatever its name says" * 40, b"\0" * 5000])
    async def test_what_is_no_database_is_put_aside_and_not_touched(
        self, tmp_path: Path, content: bytes
    ) -> None:
        (tmp_path / "peft-tui.db").write_bytes(content)
        store = await Store.open(tmp_path)
        assert store.mended is not None and store.mended.aside.read_bytes() == content
        await store.close()

    async def test_a_database_of_another_program_is_refused_and_not_touched(self, tmp_path: Path) -> None:
        with sqlite3.connect(tmp_path / "peft-tui.db") as connection:
            connection.execute("CREATE TABLE songs (title TEXT)")
        connection.close()
        before = (tmp_path / "peft-tui.db").read_bytes()
        with pytest.raises(ConfigurationInvalid):
            store = await Store.open(tmp_path)
            await store.close()
        assert (tmp_path / "peft-tui.db").read_bytes() == before

    async def test_a_place_that_is_a_file_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "data").touch()
        with pytest.raises(ConfigurationInvalid, match="cannot be opened"):
            await Store.open(tmp_path / "data")

    async def test_nothing_runs_on_after_a_refusal(self, tmp_path: Path) -> None:
        (tmp_path / "peft-tui.db").mkdir()
        before = threading.active_count()
        with pytest.raises(ConfigurationInvalid):
            await Store.open(tmp_path)
        await until(lambda: threading.active_count() <= before, "a thread is left")

    @pytest.mark.parametrize("word", ["PRAGMA journal_mode", "CREATE TABLE", "SELECT revision"])
    def test_a_process_can_end_whose_opening_was_given_up(self, tmp_path: Path, word: str) -> None:
        # BUG for the last: the connections stay open, and Python waits for their threads for ever.
        program = """
import asyncio, sys
from pathlib import Path
import aiosqlite
from peft_tui.store import Store
execute = aiosqlite.Connection.execute
fetchall = aiosqlite.Connection.execute_fetchall
def cancelling(real):
    def run(self, sql, *more):
        if sql.startswith(sys.argv[2]):
            asyncio.get_running_loop().call_soon(opening.cancel)
        return real(self, sql, *more)
    return run
aiosqlite.Connection.execute = cancelling(execute)
aiosqlite.Connection.execute_fetchall = cancelling(fetchall)
async def main():
    global opening
    opening = asyncio.create_task(Store.open(Path(sys.argv[1])))
    try:
        await opening
    except asyncio.CancelledError:
        print("given up", flush=True)
asyncio.run(main())
"""
        words = [sys.executable, "-W", "ignore", "-c", program, str(tmp_path), word]
        done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE_SECONDS)
        assert done.stdout == "given up\n"


class TestTransaction:
    async def test_what_is_written_is_announced_with_its_id(self, store: Store) -> None:
        changes = heard(store)
        identity = await add(store, "bot")
        assert changes == [Changes(frozenset({identity}))]

    async def test_each_table_family_is_announced(self, store: Store) -> None:
        changes = heard(store)
        await store.platforms.failed("together", {"kind": "timeout"}, NOON)
        await store.catalog.put("together", "models", "", NOON, "[]")
        assert changes == [
            Changes(platforms=frozenset({"together"})),
            Changes(catalog=frozenset({("together", "models", "")})),
        ]

    async def test_what_a_cancelled_task_wrote_is_told_by_the_next_look(
        self, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A stop that a closing screen asked for must not wait until something else is written."""
        changes = heard(store)
        everything, held = Database.all, asyncio.Event()

        async def holding(database: Database, sql: str, *more: object) -> list[sqlite3.Row]:
            if sql.startswith("SELECT 'revision'"):
                held.set()
                await asyncio.Event().wait()
            return await everything(database, sql, *more)

        monkeypatch.setattr(Database, "all", holding)
        wanted = deployment("bot")

        async def write() -> None:
            async with store.database.transaction() as transaction:
                await store.deployments.insert(transaction, wanted)

        writing = asyncio.create_task(write())
        await held.wait()
        writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)
        monkeypatch.setattr(Database, "all", everything)
        assert changes == []
        await store.database.notice_others()
        assert changes == [Changes(frozenset({wanted.id}))]

    async def test_a_look_that_was_cancelled_is_made_again(
        self, store: Store, other: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        changes = heard(store)
        identity = await add(other, "bot")
        announce, held = Database.announce, asyncio.Event()

        async def holding(database: Database) -> None:
            held.set()
            await asyncio.Event().wait()

        monkeypatch.setattr(Database, "announce", holding)
        looking = asyncio.create_task(store.database.notice_others())
        await held.wait()
        looking.cancel()
        await asyncio.gather(looking, return_exceptions=True)
        monkeypatch.setattr(Database, "announce", announce)
        await store.database.notice_others()
        assert changes == [Changes(frozenset({identity}))]

    async def test_an_error_that_quotes_a_signed_address_can_be_read_again(self, store: Store) -> None:
        """Redacted as JSON it lost the backslash before the closing quote, and no row could be read."""
        said = 'PUT "https://files.example/a?X-Amz-Signature=deadbeefcafe" failed'
        await store.platforms.failed("together", {"kind": "platform", "message": said, "status": 403}, NOON)
        error = (await store.platforms.all())["together"].error
        assert error is not None and error["status"] == 403
        assert error["message"] == 'PUT "https://files.example/a?X-Amz-Signature=[redacted]" failed'

    async def test_an_error_takes_everything_back_and_nobody_is_told(self, store: Store) -> None:
        changes = heard(store)
        with pytest.raises(RuntimeError):
            async with store.database.transaction() as transaction:
                await store.deployments.insert(transaction, deployment("bot"))
                raise RuntimeError("halfway")
        assert await store.deployments.all() == []
        assert changes == []

    async def test_a_statement_that_fails_takes_the_others_with_it(self, store: Store) -> None:
        with pytest.raises(sqlite3.IntegrityError):
            async with store.database.transaction() as transaction:
                await store.deployments.insert(transaction, deployment("bot"))
                await store.deployments.insert(transaction, deployment("bot"))
        assert await store.deployments.all() == []
        await add(store, "bot")
        assert len(await store.deployments.all()) == 1

    async def test_nothing_is_read_before_it_is_committed(self, store: Store) -> None:
        async with store.database.transaction() as transaction:
            await store.deployments.insert(transaction, deployment("bot"))
            assert await store.deployments.all() == []
        assert len(await store.deployments.all()) == 1

    @pytest.mark.parametrize(("durable", "level"), [(True, 2), (False, 1)], ids=["durable", "ordinary"])
    async def test_what_costs_money_is_on_the_disk_before_it_returns(
        self, store: Store, durable: bool, level: int
    ) -> None:
        # Each way round, for the level of the transaction before must not stay.
        async with store.database.transaction(durable=not durable):
            pass
        async with store.database.transaction(durable=durable) as transaction:
            row = await (await transaction.connection.execute("PRAGMA synchronous")).fetchone()
        assert row is not None and row[0] == level

    @pytest.mark.parametrize("verb", ["set_state", "step_sent", "step_done", "step_pending", "step_failed"])
    async def test_every_step_of_the_journal_is_durable(
        self, store: Store, monkeypatch: pytest.MonkeyPatch, verb: str
    ) -> None:
        asked = await intend(store, deployment())
        step, levels = asked.steps[0], []
        begin = store.database.transaction

        def transaction(*, durable: bool = False) -> Any:
            levels.append(durable)
            return begin(durable=durable)

        monkeypatch.setattr(store.database, "transaction", transaction)
        more: dict[str, tuple[Any, ...]] = {
            "set_state": (asked.state, NOON),
            "step_sent": (step, NOON),
            "step_done": (step, {}, NOON),
            "step_pending": (step, ""),
            "step_failed": (step, ""),
        }
        await getattr(store.operations, verb)(asked, *more[verb])
        assert levels == [True]

    @pytest.mark.parametrize("word", ["PRAGMA synchronous", "BEGIN", "UPDATE clockwork", "COMMIT"])
    async def test_cancelled_at_any_point_the_next_one_can_write(
        self, store: Store, other: Store, monkeypatch: pytest.MonkeyPatch, word: str
    ) -> None:
        def cancelling(execute: Any) -> Any:
            def run(sql: str, *more: Any) -> Any:
                if sql.startswith(word):
                    task = asyncio.current_task()
                    assert task is not None
                    asyncio.get_running_loop().call_soon(task.cancel)
                return execute(sql, *more)

            return run

        writer = store.database._writer
        async with store.database.transaction(durable=True):
            # So that the next one has to say how durable it is to be.
            pass
        with monkeypatch.context() as patch:
            for name in ("execute", "execute_fetchall"):
                patch.setattr(writer, name, cancelling(getattr(writer, name)))
            with pytest.raises(asyncio.CancelledError):
                await asyncio.create_task(add(store, "first"))
        await add(store, "second")
        await add(other, "third")
        names = {d.name for d in await store.deployments.all()}
        assert names - {"first"} == {"second", "third"}

    async def test_a_level_that_was_cancelled_on_its_way_is_said_again(
        self, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Otherwise what costs money would rely on one that may never have been set."""
        writer = store.database._writer
        async with store.database.transaction(durable=True):
            pass
        execute = writer.execute

        def cancelling(sql: str, *more: Any) -> Any:
            if sql.startswith("PRAGMA synchronous = NORMAL"):
                task = asyncio.current_task()
                assert task is not None
                asyncio.get_running_loop().call_soon(task.cancel)
            return execute(sql, *more)

        with monkeypatch.context() as patch:
            patch.setattr(writer, "execute", cancelling)
            with pytest.raises(asyncio.CancelledError):
                await asyncio.create_task(add(store, "first"))
        async with store.database.transaction(durable=True) as transaction:
            row = await (await transaction.connection.execute("PRAGMA synchronous")).fetchone()
        assert row is not None and row[0] == 2

    async def test_cancelled_while_it_reads_its_own_number_the_next_one_can_write(
        self, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        # BUG: the half-read UPDATE … RETURNING lives on in the exception's traceback, and as long as it does
        # every COMMIT is refused: "SQL statements in progress". Progress.end() cancels just so.
        fetchone = aiosqlite.Cursor.fetchone

        async def cancelling(cursor: aiosqlite.Cursor) -> Any:
            task = asyncio.current_task()
            assert task is not None
            task.cancel()
            await asyncio.sleep(0)
            return await fetchone(cursor)

        with monkeypatch.context() as patch:
            patch.setattr(aiosqlite.Cursor, "fetchone", cancelling)
            first = asyncio.create_task(add(store, "first"))
            outcome = (await asyncio.gather(first, return_exceptions=True))[0]
        await add(store, "second")
        assert {d.name for d in await store.deployments.all()} - {"first"} == {"second"}
        assert not isinstance(outcome, Exception)

    async def test_a_listener_that_has_left_is_not_told(self, store: Store) -> None:
        changes: list[Changes] = []
        unlisten = store.database.listen(changes.append)
        unlisten()
        await add(store, "bot")
        assert changes == []

    async def test_a_listener_that_breaks_does_not_make_a_written_intent_look_unwritten(
        self, store: Store
    ) -> None:
        def breaks(changes: Changes) -> None:
            raise RuntimeError("a screen that is gone")

        store.database.listen(breaks)
        changes = heard(store)
        await add(store, "bot")
        assert len(changes) == 1

    async def test_many_writers_in_one_process_take_turns(self, store: Store) -> None:
        changes = heard(store)
        identities = await asyncio.gather(*(add(store, f"bot-{number}") for number in range(20)))
        assert len(await store.deployments.all()) == 20
        assert frozenset().union(*(change.deployments for change in changes)) == set(identities)


class TestTwoProcesses:
    async def test_one_hears_of_the_other_s_change_when_it_looks(self, store: Store, other: Store) -> None:
        changes = heard(store)
        identity = await add(other, "bot")
        assert changes == []
        await store.database.notice_others()
        assert changes == [Changes(frozenset({identity}))]

    async def test_looking_again_tells_nothing_twice(self, store: Store, other: Store) -> None:
        await add(other, "bot")
        await store.database.notice_others()
        changes = heard(store)
        await store.database.notice_others()
        assert changes == []

    async def test_one_s_own_writing_is_not_taken_for_another_s(self, store: Store, other: Store) -> None:
        await add(store, "bot")
        changes = heard(store)
        await store.database.notice_others()
        assert changes == []

    async def test_a_change_of_the_other_s_is_told_with_one_s_own(self, store: Store, other: Store) -> None:
        changes = heard(store)
        theirs, ours = await add(other, "theirs"), await add(store, "ours")
        await store.database.notice_others()
        assert changes == [Changes(frozenset({theirs, ours}))]

    async def test_what_was_there_at_the_start_is_no_news(self, store: Store) -> None:
        await add(store, "bot")
        late = await Store.open(store.database.path.parent)
        changes = heard(late)
        await add(store, "second")
        await late.database.notice_others()
        assert [len(change.deployments) for change in changes] == [1]
        await late.close()

    async def test_a_crowd_on_a_new_store_all_get_in(self, tmp_path: Path) -> None:
        # Changing to WAL takes the file for itself and does not wait.
        for attempt in range(40):
            directory = tmp_path / str(attempt)
            opened = await asyncio.gather(*(Store.open(directory) for _ in range(6)), return_exceptions=True)
            await asyncio.gather(*(store.close() for store in opened if isinstance(store, Store)))
            assert [outcome for outcome in opened if isinstance(outcome, BaseException)] == []

    async def test_writers_in_two_processes_lose_nothing_and_are_never_locked_out(self, store: Store) -> None:
        program = """
import asyncio, sys
from pathlib import Path
from peft_tui.store import Store
async def main():
    store = await Store.open(Path(sys.argv[1]))
    print("ready", flush=True)
    sys.stdin.readline()
    for number in range(40):
        async with store.database.transaction(durable=number % 4 == 0) as transaction:
            row = await (await transaction.connection.execute("SELECT revision FROM platforms")).fetchone()
            await transaction.connection.execute(
                "UPDATE platforms SET listed_at = listed_at + 1, revision = ?", (transaction.revision,))
    await store.close()
asyncio.run(main())
"""
        async with store.database.transaction() as transaction:
            await transaction.connection.execute(
                "INSERT INTO platforms (platform, listed_at, revision) VALUES ('p', 0, 0)"
            )
        before = await store.database.one("SELECT revision FROM clockwork")
        writers = [
            await asyncio.create_subprocess_exec(
                *(sys.executable, "-c", program, str(store.database.path.parent)),
                cwd=ROOT,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
            )
            for _ in range(2)
        ]
        for writer in writers:
            assert writer.stdout and await writer.stdout.readline() == b"ready\n"
        outcomes = await asyncio.gather(*(writer.communicate(b"go\n") for writer in writers))
        assert [error.decode() for _, error in outcomes] == ["", ""]
        row = await store.database.one("SELECT listed_at, revision FROM platforms")
        after = await store.database.one("SELECT revision FROM clockwork")
        assert row is not None and before is not None and after is not None
        assert int(row["listed_at"]) == 80
        assert after["revision"] - before["revision"] == 80
        changes = heard(store)
        await store.database.notice_others()
        assert [change.platforms for change in changes] == [frozenset({"p"})]

    async def test_a_writer_waits_for_a_slow_one(self, store: Store, other: Store) -> None:
        holding, go_on = asyncio.Event(), asyncio.Event()

        async def slow() -> None:
            async with store.database.transaction() as transaction:
                await store.deployments.insert(transaction, deployment("slow"))
                holding.set()
                await go_on.wait()

        first = asyncio.create_task(slow())
        await holding.wait()
        second = asyncio.create_task(add(other, "fast"))
        assert await asyncio.wait_for(store.deployments.all(), PATIENCE_SECONDS) == []
        assert not second.done()
        go_on.set()
        await asyncio.gather(first, second)
        assert {d.name for d in await store.deployments.all()} == {"slow", "fast"}

    async def test_one_that_is_never_let_in_fails_after_several_tries(
        self, store: Store, other: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await other.database._writer.execute("PRAGMA busy_timeout = 1")
        tries: list[str] = []
        execute = other.database._writer.execute

        def counting(sql: str, *more: Any) -> Any:
            tries.append(sql)
            return execute(sql, *more)

        monkeypatch.setattr(other.database._writer, "execute", counting)
        async with store.database.transaction():
            with pytest.raises(sqlite3.OperationalError, match="locked"):
                await add(other, "bot")
        assert tries.count("BEGIN IMMEDIATE") == module._LOCK_ATTEMPTS
        await add(other, "bot")


async def test_a_full_disk_takes_back_the_write_and_leaves_the_store_readable(store: Store) -> None:
    await add(store, "bot")
    row = await (await store.database._writer.execute("PRAGMA page_count")).fetchone()
    assert row is not None
    await store.database._writer.execute(f"PRAGMA max_page_count = {row[0]}")
    with pytest.raises(sqlite3.Error):
        async with store.database.transaction() as transaction:
            for number in range(200):
                await store.deployments.insert(transaction, deployment(f"bot-{number}"))
    assert [d.name for d in await store.deployments.all()] == ["bot"]
    await store.database._writer.execute("PRAGMA max_page_count = 100000")
    await add(store, "second")
    assert len(await store.deployments.all()) == 2


async def test_a_store_survives_being_closed_and_opened(tmp_path: Path) -> None:
    store = await Store.open(tmp_path)
    wanted = deployment("bot", settings={"min_instances": 1, "region": "eu"})
    await intend(store, wanted)
    await store.close()
    again = await Store.open(tmp_path)
    [read] = await again.deployments.all()
    assert read.spec == wanted.spec and read.operation == operation(wanted)
    await again.close()


async def test_closing_twice_is_closing_once(tmp_path: Path) -> None:
    database = await Database.open(tmp_path / "x.db")
    await database.close()
    await database.close()


async def test_the_catalog_keeps_the_newest_answer_or_error(store: Store) -> None:
    await store.catalog.put("p", "models", "", NOON, json.dumps([1]))
    entry = await store.catalog.get("p", "models")
    assert entry is not None and (entry.value, entry.error, entry.fetched_at) == ("[1]", None, NOON)
    await store.catalog.put("p", "models", "", NOON, None, {"kind": "timeout"})
    entry = await store.catalog.get("p", "models")
    assert entry is not None and (entry.value, entry.error) == (None, {"kind": "timeout"})
    assert await store.catalog.get("p", "models", "other") is None
