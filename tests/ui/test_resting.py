"""A person who looks elsewhere for long needs no refresh every five seconds, and sees that it rested."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from textual.events import AppBlur, AppFocus

from peft_tui.app import PeftTui
from peft_tui.domain.status import Status
from peft_tui.store import Store
from tests.driving import Driver
from tests.seeds import NOON, FrozenClock, listed, made, observed, put, see, still_app
from tests.ui.test_deployments_screen import at_home, backend_of, screen_of

pytestmark = pytest.mark.usefixtures("plain_terminal")


async def settled(store: Store) -> None:
    """One that runs, seen just now."""
    await see(store, await put(store, made("support-bot")), observed(Status.ACTIVE))
    await listed(store, "together")


def app_of(at: Driver) -> PeftTui:
    assert isinstance(at.app, PeftTui)
    return at.app


async def look_away(at: Driver, clock: FrozenClock, seconds: float) -> None:
    """Without the focus for so long; the platform was looked at just now."""
    at.app.post_message(AppBlur())
    await at.until(lambda: not at.app.app_focus)
    clock.turn(seconds)
    await listed(backend_of(at).store, "together", (NOON - clock.now()).total_seconds())
    app_of(at).rest_if_away()


async def test_it_rests_when_nobody_looks_for_long_and_says_so_until_somebody_does(tmp_path: Path) -> None:
    clock = FrozenClock()
    async with at_home(still_app(tmp_path, settled, clock=clock)) as at:
        await at.sees("live")
        await look_away(at, clock, 299)
        assert not app_of(at).resting and not backend_of(at).pace.rests
        clock.turn(2)
        app_of(at).rest_if_away()
        await at.sees("resting")
        assert backend_of(at).pace.rests
        at.app.post_message(AppFocus())
        await at.sees("asking")
        assert not backend_of(at).pace.rests and backend_of(at).refreshed == 1


async def test_while_it_rests_a_list_is_no_older_than_it_has_to_be(tmp_path: Path) -> None:
    clock = FrozenClock()
    async with at_home(still_app(tmp_path, settled, clock=clock)) as at:
        await look_away(at, clock, 300)
        for seconds, words in ((34, "resting"), (14, "together seen 45s ago")):
            clock.turn(seconds)
            screen_of(at).tick()
            await at.sees(words)
            await at.until(lambda seen=words != "resting": at.shows("active seen") is seen)  # type: ignore[misc]


async def test_what_is_under_way_is_live_although_nobody_looks(tmp_path: Path) -> None:
    clock = FrozenClock()
    async with at_home(still_app(tmp_path, settled, clock=clock)) as at:
        await look_away(at, clock, 300)
        await at.sees("resting")
        starting = await put(backend_of(at).store, made("intents"))
        await see(backend_of(at).store, starting, observed(Status.DEPLOYING))
        await at.sees("intents", "live")


async def test_where_the_terminal_tells_of_no_focus_it_never_rests(tmp_path: Path) -> None:
    clock = FrozenClock()
    async with at_home(still_app(tmp_path, settled, clock=clock)) as at:
        clock.turn(86400)
        app_of(at).rest_if_away()
        assert not app_of(at).resting


async def test_nobody_has_to_have_it_rest(tmp_path: Path) -> None:
    clock = FrozenClock()
    app = still_app(tmp_path, settled, clock=clock)
    app.settings = replace(app.settings, config=replace(app.settings.config, rest_minutes=0))
    async with at_home(app) as at:
        await look_away(at, clock, 86400)
        assert not app_of(at).resting


async def test_the_charts_rest_too_and_are_read_again_at_the_focus(tmp_path: Path) -> None:
    clock = FrozenClock()
    async with at_home(still_app(tmp_path, settled, clock=clock)) as at:
        for key, first in (("m", "live"), ("o", "live")):
            await at.press(key)
            await at.sees(first)
        await look_away(at, clock, 300)
        await at.sees("resting")
        at.app.post_message(AppFocus())
        await at.sees("live")
