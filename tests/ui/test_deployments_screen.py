"""The home screen, driven by keys and read as text."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from textual.events import Key

from peft_tui.app import PeftTui
from peft_tui.clock import SystemClock
from peft_tui.domain.errors import ConfigurationInvalid
from peft_tui.domain.status import Status
from peft_tui.store import Store
from peft_tui.ui.screens.deployments import DeploymentsScreen
from peft_tui.ui.widgets.lines import Lines
from peft_tui.ui.widgets.live_table import LiveTable
from tests.driving import Driver, drive
from tests.endpoints import ScriptedEndpoints
from tests.seeds import (
    ENVIRON,
    NOON,
    FrozenClock,
    StillBackend,
    create,
    listed,
    made,
    observed,
    populated,
    put,
    see,
    still_app,
)

pytestmark = pytest.mark.usefixtures("plain_terminal")


async def nobody(store: Store) -> None:
    """An empty store."""


async def failing(store: Store) -> None:
    await populated(store)
    error = {"kind": "connection", "message": "api.together.ai did not answer.", "hint": "Check the network."}
    await store.platforms.failed("together", error, NOON.replace(hour=11, minute=57, second=50))


@asynccontextmanager
async def at_home(app: PeftTui, size: tuple[int, int] = (80, 24)) -> AsyncIterator[Driver]:
    """Drive the application once its home screen is ready for keys."""
    async with drive(app, size) as at:
        await at.until(lambda: isinstance(at.app.screen, DeploymentsScreen) and at.app.screen.is_current)
        # Its head is there before the store has answered: a key would move a cursor that has no rows.
        await at.until(
            lambda: screen_of(at)._loaded and (at.shows("STATUS") or at.shows("Nothing is deployed"))
        )
        yield at


def screen_of(at: Driver) -> DeploymentsScreen:
    screen = at.app.screen_stack[-1]
    assert isinstance(screen, DeploymentsScreen)
    return screen


def backend_of(at: Driver) -> StillBackend:
    backend = at.app._backend  # type: ignore[attr-defined]
    assert isinstance(backend, StillBackend)
    return backend


async def test_all_that_matters_is_seen_at_once(tmp_path: Path) -> None:
    async with at_home(still_app(tmp_path, populated)) as at:
        await at.sees("7 deployments 3 active 2 deploying 1 failed", "$12.93/h now", "live")
        await at.sees("support-bot together ● active 2h 2/2 $10.98")
        await at.sees("ticket-router together ◌ uploading 40%", "intents replicate ● asleep")
        await at.until(lambda: "enter open  n new  x stop  u update" in at.footer)
        assert at.footer.endswith("? help")


async def test_the_workers_start_after_the_first_frame(tmp_path: Path) -> None:
    async with at_home(still_app(tmp_path, populated)) as at:
        await at.sees("support-bot")
        await at.until(lambda: backend_of(at).started)


async def test_the_detail_follows_the_cursor(tmp_path: Path) -> None:
    async with at_home(still_app(tmp_path, populated)) as at:
        await at.sees("step 2/8 ▸ upload its files 34.1 of 84 MB 40% 487 kB/s 1m42s left")
        await at.press("j")
        await at.sees("the account has no credit", "Add credit at replicate.com")
        await at.press("j", "j")
        await at.sees("endpoint https://api.together.ai/v1", "model acme/support-bot")
        await at.sees("09:02 deploying → 09:09 active")


async def test_enter_opens_a_screen_of_its_own_and_escape_comes_back(tmp_path: Path) -> None:
    async with at_home(still_app(tmp_path, populated)) as at:
        await at.press("enter")
        await at.sees("1 overview ●", "· create the deployment $ bills from here", "create running for 1m10s")
        await at.gone("intents")
        await at.press("escape")
        await at.sees("intents")
        await at.selects("ticket-router")


async def test_beside_the_list_where_there_is_room(tmp_path: Path) -> None:
    async with at_home(still_app(tmp_path, populated), size=(140, 40)) as at:
        await at.press("j", "j", "j")
        await at.sees("remote support-bot-", "history")
        assert at.shows("intents")


@pytest.mark.parametrize("size", [(60, 20), (40, 12), (24, 8)])
async def test_small_terminals_keep_name_and_status(tmp_path: Path, size: tuple[int, int]) -> None:
    async with at_home(still_app(tmp_path, populated), size=size) as at:
        await at.sees("NAME", "STATUS", "◌ uploading")


async def test_a_change_in_the_store_is_one_line_on_the_screen(tmp_path: Path) -> None:
    app = still_app(tmp_path, populated)
    async with at_home(app) as at:
        await at.press("j", "j")
        await at.selects("summaries")
        store = backend_of(at).store
        (summaries,) = await store.deployments.named("summaries")
        await see(store, summaries, observed(Status.ACTIVE, 1))
        await at.sees("summaries together ● active <1m", "4 active")
        await at.selects("summaries")


async def test_many_notices_are_one_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with at_home(still_app(tmp_path, populated)) as at:
        store = backend_of(at).store
        reads: list[set[str]] = []
        some, written = store.deployments.some, asyncio.Event()

        async def counted(ids: Any) -> Any:
            reads.append(set(ids))
            await written.wait()
            return await some(ids)

        monkeypatch.setattr(store.deployments, "some", counted)
        (router,) = await store.deployments.named("ticket-router")
        assert router.operation is not None and router.operation.current is not None
        for done in range(50_000_000, 50_000_020):
            await store.operations.progress(router.operation, router.operation.current, done, 84_000_000, "")
        await at.until(lambda: bool(reads))
        written.set()
        await at.sees("uploading 59%")
        # The first, and what came while it was read.
        assert 1 <= len([ids for ids in reads if ids == {router.id}]) <= 2


async def test_another_process_is_noticed(tmp_path: Path) -> None:
    async with at_home(still_app(tmp_path, populated)) as at:
        other = await Store.open(tmp_path)
        try:
            await put(other, made("from-elsewhere", minutes_ago=0), observed(Status.DEPLOYING, 1))
        finally:
            await other.close()
        await at.sees("from-elsewhere together ◌ deploying", "8 deployments")


async def test_ages_move_and_old_rows_look_old(tmp_path: Path) -> None:
    clock = FrozenClock()
    async with at_home(still_app(tmp_path, populated, clock=clock)) as at:
        clock.turn(5)
        screen_of(at).tick()
        await at.sees("deploying 7m15s", "live")
        clock.turn(40)
        screen_of(at).tick()
        await at.sees("active seen 45s ago", "replicate seen 45s ago together seen 45s ago")
        store = backend_of(at).store
        async with store.database.transaction() as transaction:
            await store.platforms.listed(transaction, "together", clock.now(), account="acme")
            await store.platforms.listed(transaction, "replicate", clock.now(), account="acme")
        await at.sees("live")
        await at.gone("seen 45s")


async def test_a_tick_without_news_repaints_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = FrozenClock()

    async def settled(store: Store) -> None:
        await put(
            store,
            made("bot", minutes_ago=100),
            observed(Status.ACTIVE, 30 * 60 + 20),
            observed(Status.ACTIVE, 0),
        )
        await listed(store, "together", 0)

    async with at_home(still_app(tmp_path, settled, clock=clock)) as at:
        await at.sees("bot together ● active 30m")
        await at.pilot.pause()
        painted: list[object] = []
        for kind in (LiveTable, Lines):
            refresh = kind.refresh

            def counted(self: Any, *regions: Any, refresh: Any = refresh, **more: Any) -> Any:
                painted.append(self)
                return refresh(self, *regions, **more)

            monkeypatch.setattr(kind, "refresh", counted)
        for _ in range(2):
            clock.turn(5)
            screen_of(at).tick()
            await at.pilot.pause()
        assert painted == []


async def test_a_failing_platform_is_named_and_hides_nothing(tmp_path: Path) -> None:
    async with at_home(still_app(tmp_path, failing)) as at:
        await at.sees("together ✖ unreachable since 2m", "support-bot together", "intents replicate")
        await at.press("j", "j", "j")
        await at.sees("api.together.ai did not answer.", "Check the network.")


async def test_missing_credentials_are_named(tmp_path: Path) -> None:
    environ = {key: value for key, value in ENVIRON.items() if key != "REPLICATE_API_TOKEN"}
    async with at_home(still_app(tmp_path, populated, environ=environ)) as at:
        await at.sees("replicate ✖ REPLICATE_API_TOKEN is not set")


async def test_nothing_deployed_yet_tells_the_first_key(tmp_path: Path) -> None:
    async with at_home(still_app(tmp_path, nobody, environ={"TOGETHER_API_KEY": "k"})) as at:
        await at.sees("Nothing is deployed yet.", "n new deployment")
        await at.sees("✓ Together AI TOGETHER_API_KEY found", "○ Replicate REPLICATE_API_TOKEN is not set")
        await at.until(lambda: "filter" not in at.footer and "open" not in at.footer)
        await put(backend_of(at).store, made("first"), observed(Status.ACTIVE))
        await at.sees("first together ● active", "1 deployment ")
        await at.until(lambda: "open" in at.footer)


async def test_the_sandbox_cannot_be_mistaken(tmp_path: Path) -> None:
    async with at_home(still_app(tmp_path, nobody, sandbox=True)) as at:
        await at.sees("SANDBOX these clouds run on this machine")
        assert at.lines[0].lstrip().startswith("SANDBOX")


async def test_the_wizard_of_the_sandbox_says_so_too(tmp_path: Path) -> None:
    async with at_home(still_app(tmp_path, nobody, sandbox=True)) as at:
        await at.press("n")
        await at.sees("SANDBOX these clouds run on this machine", "New deployment")
        assert at.shows("New deployment")
        await at.press("escape")
        await at.sees("Nothing is deployed yet.")


async def test_the_cursor_goes_to_what_was_made(tmp_path: Path) -> None:
    async with at_home(still_app(tmp_path, populated)) as at:
        await at.press("f")
        await at.sees("status:active")
        fresh = made("brand-new", minutes_ago=0)
        screen_of(at)._answered(fresh)
        await put(backend_of(at).store, fresh)
        await at.selects("brand-new")


# Filter and order


async def test_filtering_while_typing(tmp_path: Path) -> None:
    async with at_home(still_app(tmp_path, populated)) as at:
        await at.press("slash", "s", "u", "p")
        await at.sees("1 of 7", "support-bot")
        await at.gone("intents")
        await at.press("enter")
        await at.sees("/ sup 1 of 7 esc clears")
        await at.press("escape")
        await at.sees("intents", "newest first")


async def test_a_filter_typed_in_one_go_lands_in_its_line(tmp_path: Path) -> None:
    async with at_home(still_app(tmp_path, populated)) as at:
        for letter in "/ support":
            key = {"/": "slash", " ": "space"}.get(letter, letter)
            at.app.post_message(Key(key, letter))
        await at.sees("1 of 7")
        await at.press("enter")
        await at.sees("/ support 1 of 7")


async def test_a_filter_without_a_match_says_so(tmp_path: Path) -> None:
    async with at_home(still_app(tmp_path, populated)) as at:
        await at.press("slash", "z", "z", "enter")
        await at.sees("No deployment matches zz", "0 of 7")
        await at.press("escape")
        await at.sees("support-bot")


async def test_keys_typed_into_the_filter_do_nothing_else(tmp_path: Path) -> None:
    async with at_home(still_app(tmp_path, populated)) as at:
        await at.press("slash", "q", "n", "s")
        await at.sees("0 of 7")
        assert at.app.is_running


async def test_cycling_through_status_and_platform(tmp_path: Path) -> None:
    async with at_home(still_app(tmp_path, populated)) as at:
        await at.press("f")
        await at.sees("/ status:active 3 of 7")
        await at.press("f", "f")
        await at.sees("/ status:failed 1 of 7")
        await at.press("f")
        await at.sees("/ status:stopped 1 of 7")
        await at.press("f", "p")
        await at.sees("/ platform:replicate 2 of 7")
        await at.press("p")
        await at.sees("/ platform:together 5 of 7")
        await at.press("p")
        await at.sees("newest first")


async def test_sorting_keeps_the_cursor_on_its_deployment(tmp_path: Path) -> None:
    async with at_home(still_app(tmp_path, populated)) as at:
        await at.press("j", "j", "j")
        await at.selects("support-bot")
        await at.press("s")
        await at.sees("NAME ▲", "by name")
        await at.selects("support-bot")
        await at.press("S")
        await at.sees("NAME ▼")
        await at.selects("support-bot")


# Other keys


async def test_what_is_copied_is_chosen_from_a_menu_and_says_why_something_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TMUX", raising=False)
    async with at_home(still_app(tmp_path, populated)) as at:
        backend_of(at).prompts.endpoints = ScriptedEndpoints(SystemClock())
        await at.press("y")
        await at.sees("y URL It has no endpoint yet.", "t command peft-tui test ticket-router")
        await at.press("y", "escape")
        await at.press("j", "j", "j", "y", "y")
        await at.sees("URL given to the")
        assert at.app.clipboard == "https://api.together.ai/v1"
        await at.press("y")
        await at.sees("c curl curl 'http://")
        await at.press("c")
        await at.until(lambda: at.app.clipboard.startswith("curl 'http://"))
        await at.press("y", "s")
        await at.until(lambda: '"name": "support-bot"' in at.app.clipboard)


async def test_refresh_asks_the_platforms(tmp_path: Path) -> None:
    async with at_home(still_app(tmp_path, populated)) as at:
        await at.press("r", "r", "r")
        await at.until(lambda: backend_of(at).refreshed == 3)
        await at.sees("asking")
        assert not at.app.screen.query("Toast"), "presses must not pile up over the list"
        await put_health(at)
        await at.sees("live")


async def put_health(at: Driver) -> None:
    """The platforms have answered."""
    store = backend_of(at).store
    async with store.database.transaction() as transaction:
        await store.platforms.listed(transaction, "together", NOON, account="acme")


async def test_help_shows_the_keys_in_force_and_does_what_is_picked(tmp_path: Path) -> None:
    async with at_home(still_app(tmp_path, populated)) as at:
        await at.press("question_mark")
        await at.sees("Keys enter does it", "Narrow the list while typing.", "* Mark all")
        await at.type("next column")
        await at.gone("Narrow the list")
        await at.press("enter")
        await at.sees("by name")


async def test_the_palette_finds_actions_and_deployments(tmp_path: Path) -> None:
    async def strange(store: Store) -> None:
        await populated(store)
        await put(store, made("[/x] odd"), observed(Status.ACTIVE))

    async with at_home(still_app(tmp_path, strange)) as at:
        await at.press("ctrl+p")
        await at.type("old-demo")
        await at.sees("old-demo")
        await at.press("enter")
        await at.until(lambda: len(at.app.screen_stack) == 2)
        await at.selects("old-demo")
        await at.press("ctrl+p")
        await at.type("odd")
        await at.sees("[/x] odd")


async def test_foreign_text_is_shown_as_text(tmp_path: Path) -> None:
    payload = "\x1b]52;c;eA==\x07[/x][@click=app.quit]\u202e"

    async def hostile(store: Store) -> None:
        evil = made(f"evil{payload}", base=f"base{payload}")
        seen = observed(
            Status.ACTIVE,
            reason=payload,
            platform_status=payload,
            endpoint_url=f"https://x/{payload}",
            model=payload,
        )
        await put(store, evil, seen)
        operation = await create(store, evil, begun="upload", done=1, total=2, note=payload)
        await store.operations.step_failed(operation, operation.steps[1], payload)

    async with at_home(still_app(tmp_path, hostile), size=(140, 40)) as at:
        await at.sees("[/x][@click=app.quit]")
        assert all(line.isprintable() for line in at.lines)
        assert "\u202e" not in at.text
        await at.press("y", "y")
        await at.sees("URL given to")
        assert all(line.isprintable() for line in at.lines)


async def test_a_store_that_cannot_be_opened_is_explained() -> None:
    async def broken() -> Any:
        raise ConfigurationInvalid("The store [/x] is not one.", hint="Set PEFT_TUI_DATA_DIR.")

    async with drive(PeftTui(broken)) as at:
        await at.sees("The store [/x] is not one.", "Set PEFT_TUI_DATA_DIR.", "q quits")
        await at.press("q")
        await at.until(lambda: not at.app.is_running)


async def test_a_backend_that_cannot_start_leaves_the_list_usable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def start(self: StillBackend) -> None:
        raise ConfigurationInvalid("No port is free.", hint="Close something.")

    monkeypatch.setattr(StillBackend, "start", start)
    async with at_home(still_app(tmp_path, populated)) as at:
        await at.sees("No port is free. Close something.", "✖ nothing is refreshed", "support-bot")
        await at.press("j")
        await at.selects("legal-draft")


async def test_plain_marks_where_the_font_has_no_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "linux")
    async with at_home(still_app(tmp_path, populated, sandbox=True)) as at:
        await at.sees("support-bot together * active 2h", "~ uploading 40%")
        assert at.text.isascii()


@pytest.mark.parametrize(
    ("size", "seed", "keys", "theme"),
    [
        pytest.param((80, 24), populated, "jjj", "", id="populated"),
        pytest.param((140, 40), populated, "jjj", "", id="wide"),
        pytest.param((80, 24), nobody, "", "", id="empty"),
        pytest.param((80, 24), failing, "jjj", "", id="failing"),
        pytest.param((120, 36), populated, "j", "peft-light", id="light"),
        pytest.param((80, 24), populated, "", "peft-ansi", id="ansi"),
    ],
)
def test_looks(
    snap_compare: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    size: tuple[int, int],
    seed: Any,
    keys: str,
    theme: str,
) -> None:
    monkeypatch.setenv("PEFT_TUI_THEME", theme)

    async def settle(pilot: Any) -> None:
        at = Driver(pilot)
        await at.until(lambda: at.shows("Nothing is deployed") or at.shows("adapter"))
        await pilot.press(*keys)
        lines = pilot.app.screen.query_one("#detail", Lines)
        await at.until(lambda: not at.shows("▸ ") or lines.lines[0][0].text in at.selected)
        await pilot.pause()

    assert snap_compare(still_app(tmp_path, seed), terminal_size=size, run_before=settle)
