"""A damaged store is put aside, the last backup takes its place, and nothing of it is carried out again."""

from __future__ import annotations

import asyncio
import errno
import os
import sqlite3
import stat
import threading
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from peft_tui.domain.errors import ConfigurationInvalid
from peft_tui.domain.operation import OperationKind, OperationState, StepState
from peft_tui.domain.status import Observation, Status
from peft_tui.services.life import LifeService
from peft_tui.services.reasons import UNCLEAR, why_not, why_not_again
from peft_tui.store import Damage, Store, StoreError, care
from peft_tui.store.care import back_up, backup_is_due, backup_path, identity, mend, quick_check
from peft_tui.store.migrations import MIGRATIONS
from peft_tui.workers.keeper import Keeper
from peft_tui.workers.refresh import Refresh
from tests.doubles import (
    NOON,
    PATIENCE_SECONDS,
    PLATFORM,
    ScriptedDriver,
    VirtualClock,
    deployment,
    intend,
    remote,
    see,
    seen,
)

PAGE = 4096


@pytest.fixture(autouse=True)
async def closed(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    """Whatever a test that fails leaves open keeps the process alive."""
    opened: list[Store] = []
    really = Store.open

    async def opening(directory: Path, damage: Damage | None = None) -> Store:
        opened.append(await really(directory, damage))
        return opened[-1]

    monkeypatch.setattr(Store, "open", opening)
    yield
    for store in opened:
        await store.close()


async def filled(directory: Path, names: int = 3) -> Path:
    """A store with some deployments, closed; its path."""
    store = await Store.open(directory)
    async with store.database.transaction() as transaction:
        for number in range(names):
            await store.deployments.insert(transaction, deployment(f"bot-{number}"))
    await store.close()
    return store.database.path


def break_header(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(b"garbage, and more of it, where a database begins " * 4)


def break_table(path: Path, table: str = "deployments") -> None:
    """Its first page is noise: the file opens, and reading the table fails."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        (page,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (table,)).fetchone()
    with path.open("r+b") as file:
        file.seek((page - 1) * PAGE)
        file.write(b"\xa5" * PAGE)


async def names(store: Store) -> list[str]:
    return sorted(d.name for d in await store.deployments.all())


async def test_a_garbage_header_is_put_aside_and_an_empty_store_begins(tmp_path: Path) -> None:
    path = await filled(tmp_path)
    break_header(path)
    broken = path.read_bytes()
    store = await Store.open(tmp_path)
    mended = store.mended
    assert mended is not None and mended.backup_of is None
    assert mended.aside.read_bytes() == broken, "nothing of it is lost"
    assert "file is not a database" in mended.message and mended.aside.name in mended.message
    assert "begins empty" in mended.hint and "adopt" in mended.hint
    assert await names(store) == []
    await store.close()
    again = await Store.open(tmp_path)
    assert again.mended is None, "it is said once"
    await again.close()


async def test_the_last_backup_takes_the_place_of_a_damaged_one(tmp_path: Path) -> None:
    path = await filled(tmp_path)
    assert back_up(path)
    break_header(path)
    store = await Store.open(tmp_path)
    assert await names(store) == ["bot-0", "bot-1", "bot-2"]
    assert store.mended is not None and store.mended.backup_of is not None
    assert "This is the backup of" in store.mended.hint
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(backup_path(path).stat().st_mode) == 0o600, "and it is still there"
    await store.close()


async def test_the_journal_of_the_damaged_file_goes_with_it(tmp_path: Path) -> None:
    """Read beside the restored one it would be taken for that one's."""
    path = await filled(tmp_path)
    back_up(path)
    Path(f"{path}-wal").write_bytes(b"left by a crash")
    mended = mend(path, Damage("malformed", identity(path)))
    assert mended is not None
    assert Path(f"{mended.aside}-wal").read_bytes() == b"left by a crash"
    assert not Path(f"{path}-wal").exists() and quick_check(path) == ""


async def test_a_backup_that_is_damaged_too_is_not_used(tmp_path: Path) -> None:
    path = await filled(tmp_path)
    back_up(path)
    break_table(backup_path(path))
    break_header(path)
    store = await Store.open(tmp_path)
    assert store.mended is not None and store.mended.backup_of is None
    assert await names(store) == []
    await store.close()


async def test_what_had_not_ended_in_the_backup_is_not_carried_out_again(tmp_path: Path) -> None:
    """It has gone on since: a create would be made twice, a stop would end what was started afterwards."""
    store = await Store.open(tmp_path)
    asked = await intend(store, deployment("bot"))
    await store.close()
    path = store.database.path
    back_up(path)
    break_header(path)
    store = await Store.open(tmp_path)
    (operation,) = await store.operations.of_deployment(asked.deployment_id)
    assert operation.state is OperationState.FAILED
    assert operation.error is not None and "restored from its backup" in operation.error["message"]
    assert {step.state for step in operation.steps} == {StepState.SENT}, "each may have been sent since"
    assert await store.operations.unfinished("together") == []
    await store.close()


@pytest.mark.parametrize(
    ("now", "state", "again"),
    [
        (Status.ACTIVE, OperationState.DONE, "It has not failed: update it."),
        (Status.DEPLOYING, OperationState.FAILED, "It has not failed: update it."),
        (Status.FAILED, OperationState.FAILED, ""),
    ],
)
async def test_a_create_of_the_backup_is_what_the_platform_shows_of_it(
    tmp_path: Path, now: Status, state: OperationState, again: str
) -> None:
    """It may have ended well since: to try it again would delete what serves."""
    store = await Store.open(tmp_path)
    asked = await intend(store, deployment("bot"))
    await store.close()
    back_up(store.database.path)
    break_header(store.database.path)
    store = await Store.open(tmp_path)
    driver, clock = ScriptedDriver(), VirtualClock()
    driver.lists = deque([[remote(deployment("bot").remote_name, now)]] * 2)
    refresh = Refresh(PLATFORM, driver, store, clock)
    for _ in range(2):
        await refresh.tick()
        (row,) = await store.deployments.all()
        assert row.standing is now
        assert why_not_again(row) == again
        (operation,) = await store.operations.of_deployment(asked.deployment_id)
        assert operation.state is state
    if state is OperationState.DONE:
        assert operation.error is None
        assert {step.state for step in operation.steps} == {StepState.DONE}, "so that it can be started"
    await store.close()


async def restored(tmp_path: Path, observation: Observation | None) -> Store:
    """A store whose backup has a create under way, of something that was listed then, or not yet."""
    store = await Store.open(tmp_path)
    bot = deployment("bot")
    await intend(store, replace(bot, spec=replace(bot.spec, platform="together"), account="acme"))
    async with store.database.transaction() as transaction:
        await store.platforms.listed(transaction, "together", NOON, account="acme")
    if observation is not None:
        await see(store, bot.id, observation)
    await store.close()
    back_up(store.database.path)
    break_header(store.database.path)
    return await Store.open(tmp_path)


@pytest.mark.parametrize("now", [None, Status.FAILED])
async def test_what_is_not_clear_is_not_deleted_or_tried_again_before_the_platform_was_asked(
    tmp_path: Path, now: Status | None
) -> None:
    """It may serve by now."""
    store = await restored(tmp_path, seen(now) if now else None)
    (row,) = await store.deployments.all()
    assert why_not_again(row) == why_not(row, OperationKind.DELETE) == UNCLEAR
    driver = ScriptedDriver()
    await Refresh("together", ScriptedDriver(account="other"), store, VirtualClock()).tick()
    (row,) = await store.deployments.all()
    assert why_not_again(row) == UNCLEAR, "another account's list says nothing of it"
    driver.lists = deque([[remote(deployment("bot").remote_name, now)] if now else []])
    await Refresh("together", driver, store, VirtualClock()).tick()
    (row,) = await store.deployments.all()
    assert why_not_again(row) == why_not(row, OperationKind.DELETE) == ""
    await store.close()


async def test_what_may_have_been_made_since_the_backup_is_not_only_taken_off_the_list(
    tmp_path: Path,
) -> None:
    store = await restored(tmp_path, None)
    (row,) = await store.deployments.all()
    stopping = await LifeService(store, VirtualClock()).stop(row.id)
    assert (stopping.kind, stopping.state) == (OperationKind.STOP, OperationState.QUEUED)
    await store.close()


async def test_nothing_restored_counts_as_listed_since(tmp_path: Path) -> None:
    store = await restored(tmp_path, seen(Status.ACTIVE, NOON - timedelta(seconds=9)))
    (row,) = await store.deployments.all()
    assert not row.listed and row.observation is not None and row.observation.observed_at == NOON
    assert (await store.platforms.all())["together"].listed_at is None
    await store.close()


async def test_a_damaged_page_is_noticed_by_whoever_reads_it_and_nothing_is_written_after(
    tmp_path: Path,
) -> None:
    path = await filled(tmp_path, 40)
    back_up(path)
    break_table(path)
    store = await Store.open(tmp_path)
    assert store.mended is None, "its header is sound"
    told: list[Damage] = []
    store.database.when_damaged = told.append
    for _ in range(2):
        with pytest.raises(StoreError, match="malformed"):
            await store.deployments.all()
    assert len(told) == 1 and "malformed" in told[0].why
    with pytest.raises(StoreError):
        async with store.database.transaction():
            pytest.fail("it was begun")
    await store.close()
    store = await Store.open(tmp_path, told[0])
    assert len(await names(store)) == 40 and store.mended is not None
    await store.close()


async def test_a_damage_that_only_a_write_meets_is_noticed_too(tmp_path: Path) -> None:
    path = await filled(tmp_path)
    break_table(path, "views")
    store = await Store.open(tmp_path)
    with pytest.raises(StoreError):
        await store.views.put("list", {})
    assert store.database.damage is not None
    await store.close()


async def test_a_full_disk_or_a_lock_is_no_damage(tmp_path: Path) -> None:
    path = await filled(tmp_path)
    store = await Store.open(tmp_path)
    await store.database._writer.execute(f"PRAGMA max_page_count = {path.stat().st_size // PAGE}")
    with pytest.raises(StoreError, match="full"):
        await store.views.put("list", {"text": "x" * 200_000})
    assert store.database.damage is None
    assert await names(store) == ["bot-0", "bot-1", "bot-2"]
    await store.close()


async def test_of_two_processes_that_find_the_damage_one_mends_it(tmp_path: Path) -> None:
    path = await filled(tmp_path)
    back_up(path)
    damage = Damage("malformed", identity(path))
    assert mend(path, damage) is not None
    assert mend(path, damage) is None, "what is there now is not what was damaged"
    assert len(list(tmp_path.glob("*.damaged-*"))) == 1


async def test_another_window_s_file_that_was_put_aside_is_not_written_to(tmp_path: Path) -> None:
    path = await filled(tmp_path)
    store = await Store.open(tmp_path)
    mend(path, Damage("malformed", identity(path)))
    told: list[Damage] = []
    store.database.when_damaged = told.append
    with pytest.raises(StoreError, match="moved away"):
        await store.views.put("list", {})
    await store.close()
    again = await Store.open(tmp_path, told[0])
    assert again.mended is None
    await again.close()


async def test_two_damages_in_one_second_keep_both_files(tmp_path: Path) -> None:
    for _ in range(2):
        break_header(await filled(tmp_path))
        await (await Store.open(tmp_path)).close()
    assert len(list(tmp_path.glob("*.damaged-*"))) == 2


async def test_what_cannot_be_put_aside_is_said_and_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = await filled(tmp_path)
    break_header(path)

    def refused(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(care.os, "replace", refused)
    with pytest.raises(ConfigurationInvalid, match="cannot be put aside"):
        await Store.open(tmp_path)
    assert path.exists()


class TestBackup:
    async def test_it_is_whole_although_the_store_is_in_use(self, tmp_path: Path) -> None:
        path = await filled(tmp_path)
        store = await Store.open(tmp_path)
        async with store.database.transaction() as transaction:
            await store.deployments.insert(transaction, deployment("late"))
        assert back_up(path)
        await store.close()
        assert quick_check(backup_path(path)) == ""
        with closing(sqlite3.connect(backup_path(path))) as connection:
            assert connection.execute("SELECT count(*) FROM deployments").fetchone() == (4,)

    async def test_it_is_due_after_a_day_or_when_its_time_has_not_come(self, tmp_path: Path) -> None:
        path = await filled(tmp_path)
        assert backup_is_due(path)
        back_up(path)
        assert not backup_is_due(path)
        for hours in (-25, 25):
            moment = time.time() + hours * 3600
            os.utime(backup_path(path), (moment, moment))
            assert backup_is_due(path)

    async def test_one_that_cannot_be_made_leaves_the_one_before(self, tmp_path: Path) -> None:
        path = await filled(tmp_path)
        back_up(path)
        before = backup_path(path).read_bytes()
        break_table(path)
        with pytest.raises(sqlite3.Error):
            back_up(path)
        assert backup_path(path).read_bytes() == before
        left = {p.name for p in tmp_path.iterdir() if p.suffix != ".lock"}
        assert left == {path.name, backup_path(path).name}

    async def test_what_a_killed_process_left_of_one_is_cleared_away(self, tmp_path: Path) -> None:
        path = await filled(tmp_path)
        old, new = (path.with_name(f"{path.name}.part-{number}") for number in (1, 2))
        for part in (old, new):
            part.touch()
        os.utime(old, (0, 0))
        back_up(path)
        assert not old.exists() and new.exists(), "another process may be at it"

    async def test_it_is_not_made_where_the_disk_is_nearly_full(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = await filled(tmp_path)
        usage = care.shutil.disk_usage(tmp_path)._replace(free=path.stat().st_size)
        monkeypatch.setattr(care.shutil, "disk_usage", lambda _: usage)
        assert not back_up(path) and not backup_path(path).exists()

    async def test_what_was_deleted_for_good_is_not_in_it_any_more(self, tmp_path: Path) -> None:
        path = await filled(tmp_path)
        back_up(path)
        store = await Store.open(tmp_path)
        await store.requests.forget([])
        assert not backup_path(path).exists()
        await store.close()

    async def test_one_is_made_before_the_layout_changes(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = await filled(tmp_path)
        assert not backup_path(path).exists(), "a new store needs none"
        monkeypatch.setitem(MIGRATIONS, "next", "CREATE TABLE extra (a);\n")
        await (await Store.open(tmp_path)).close()
        with closing(sqlite3.connect(backup_path(path))) as connection:
            applied = {row[0] for row in connection.execute("SELECT name FROM migrations")}
        assert applied == MIGRATIONS.keys() - {"next"}

    async def test_without_room_for_it_the_layout_is_not_changed(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = await filled(tmp_path)
        monkeypatch.setitem(MIGRATIONS, "next", "CREATE TABLE extra (a);\n")
        usage = care.shutil.disk_usage(tmp_path)._replace(free=0)
        monkeypatch.setattr(care.shutil, "disk_usage", lambda _: usage)
        with pytest.raises(ConfigurationInvalid, match="no room for the backup"):
            await Store.open(tmp_path)
        with closing(sqlite3.connect(path)) as connection:
            assert not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'extra'").fetchall()


class TestKeeper:
    async def test_it_makes_a_backup_at_the_start_and_then_once_a_day(self, tmp_path: Path) -> None:
        path = await filled(tmp_path)
        store = await Store.open(tmp_path)
        keeper = Keeper(store.database)
        await keeper.tick()
        made = identity(backup_path(path))
        assert made is not None
        await keeper.tick()
        assert identity(backup_path(path)) == made
        os.utime(backup_path(path), (0, 0))
        await keeper.tick()
        assert backup_path(path).stat().st_mtime > 0
        await store.close()

    async def test_a_damage_that_nobody_reads_is_found_and_does_not_reach_the_backup(
        self, tmp_path: Path
    ) -> None:
        path = await filled(tmp_path)
        back_up(path)
        before = backup_path(path).read_bytes()
        os.utime(backup_path(path), (0, 0))
        break_table(path, "readings")
        store = await Store.open(tmp_path)
        told: list[Damage] = []
        store.database.when_damaged = told.append
        await Keeper(store.database).tick()
        assert len(told) == 1 and told[0].file == identity(path)
        assert backup_path(path).read_bytes() == before
        await store.close()

    async def test_a_full_disk_does_not_end_it(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        await filled(tmp_path)
        store = await Store.open(tmp_path)

        def full(_: Path) -> bool:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("peft_tui.workers.keeper.back_up", full)
        await Keeper(store.database).tick()
        assert store.database.damage is None
        await store.close()


async def test_what_is_deleted_while_a_backup_is_written_does_not_come_back_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = await filled(tmp_path)
    written, go_on = threading.Event(), threading.Event()
    to_disk = care._to_disk

    def slow(part: Path) -> None:
        written.set()
        go_on.wait(PATIENCE_SECONDS)
        to_disk(part)

    monkeypatch.setattr(care, "_to_disk", slow)
    backup = threading.Thread(target=back_up, args=(path,))
    backup.start()
    assert await asyncio.to_thread(written.wait, PATIENCE_SECONDS)
    forget = asyncio.create_task(care.forget_backup(path))
    await asyncio.sleep(0.05)
    assert not forget.done()
    go_on.set()
    await forget
    backup.join(PATIENCE_SECONDS)
    assert not backup_path(path).exists()


async def test_a_mend_that_does_not_end_is_said_and_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = await filled(tmp_path)
    monkeypatch.setattr(care, "PATIENCE_SECONDS", 0.05)
    with care._alone(path), pytest.raises(ConfigurationInvalid, match="puts a damaged store aside"):
        await Store.open(tmp_path)


async def test_a_file_system_without_locks_is_gone_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(care.fcntl, "flock", none)
    path = await filled(tmp_path)
    assert back_up(path)
    await care.forget_backup(path)
    assert not backup_path(path).exists()


async def test_nobody_opens_the_store_between_the_steps_of_a_mend(tmp_path: Path) -> None:
    path = await filled(tmp_path)
    with care._alone(path):
        opening = asyncio.create_task(Store.open(tmp_path))
        await asyncio.sleep(0.05)
        assert not opening.done() and not path.with_name(f"{path.name}-wal").exists()
    await (await opening).close()
