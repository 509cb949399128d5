"""Keys that arrive in one read do what they would do one by one."""

from __future__ import annotations

import asyncio

import pytest
from textual import events
from textual.app import ComposeResult
from textual.binding import Binding
from textual.widgets import Input, TextArea

from peft_tui.ui import keys_in_order
from peft_tui.ui.keys_in_order import KeysInOrder
from tests.doubles import until
from tests.driving import Driver, drive


class Fields(KeysInOrder):
    def compose(self) -> ComposeResult:
        yield Input("123")
        yield Input("x")
        yield TextArea("", tab_behavior="focus")


def together(at: Driver, *keys: str) -> None:
    for key in keys:
        at.app.post_message(events.Key(key, key if len(key) == 1 else None))


def values(at: Driver) -> list[str]:
    return [field.value for field in at.app.query(Input)] + [at.app.query_one(TextArea).text]


async def test_letters_do_not_overtake_what_deletes_or_moves_nor_stay_in_the_field_that_was_left() -> None:
    async with drive(Fields()) as at:
        together(
            at,
            "ctrl+u",
            "5",
            "6",
            "backspace",
            "7",
            "left",
            "8",
            "tab",
            "end",
            "9",
            "tab",
            "a",
            "b",
            "left",
            "c",
        )
        await at.until(lambda: values(at) == ["587", "x9", "acb"])


async def test_a_field_that_never_ends_with_its_key_does_not_hold_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ended = asyncio.Event()

    class Stuck(Input):
        async def _on_key(self, event: events.Key) -> None:
            await ended.wait()

    class Held(KeysInOrder):
        BINDINGS = [Binding("f5", "count", priority=True)]
        counted = 0

        def compose(self) -> ComposeResult:
            yield Stuck()

        def action_count(self) -> None:
            self.counted += 1

    monkeypatch.setattr(keys_in_order, "PATIENCE_SECONDS", 0.01)
    app = Held()
    async with app.run_test() as pilot:
        at = Driver(pilot)
        together(at, "a", "f5", "f5")
        # The pilot waits for every widget, and one of them does not answer.
        await until(lambda: app.counted == 2, "the keys behind it never came")
        ended.set()
