"""A question at the terminal: what is typed, what is hidden, and that nothing waits for it but who asked."""

from __future__ import annotations

import asyncio
import os
import sys
import termios
from collections.abc import AsyncIterator

import pytest

from peft_tui.cli.asking import agrees, ask
from tests.doubles import finished, until


class Person:
    """Somebody at the other end of a terminal."""

    def __init__(self, keyboard: int, terminal: int) -> None:
        self._keyboard, self._terminal = keyboard, terminal

    def types(self, text: str) -> None:
        os.write(self._keyboard, text.encode())

    @property
    def sees_what_is_typed(self) -> bool:
        return bool(termios.tcgetattr(self._terminal)[3] & termios.ECHO)


@pytest.fixture
async def person(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Person]:
    keyboard, terminal = os.openpty()
    with os.fdopen(terminal, "r", encoding="utf-8") as file:
        monkeypatch.setattr(sys, "stdin", file)
        yield Person(keyboard, terminal)
    os.close(keyboard)


async def test_the_program_goes_on_while_it_asks(person: Person) -> None:
    """It may hold the duty for a platform: the stop of another window is not to wait for this answer."""
    asking = asyncio.create_task(ask("Name: "))
    for _ in range(50):
        await asyncio.sleep(0)
    assert not asking.done()
    person.types("bot ä\n")
    assert await finished(asking) == "bot ä"


async def test_what_is_hidden_is_not_shown_and_the_terminal_is_as_before(person: Person) -> None:
    asking = asyncio.create_task(ask("Key: ", hidden=True))
    await until(lambda: not person.sees_what_is_typed)
    person.types("secret\n")
    assert await finished(asking) == "secret"
    assert person.sees_what_is_typed


async def test_a_question_that_is_given_up_ends_at_once_and_leaves_the_terminal_as_it_was(
    person: Person,
) -> None:
    """ctrl+c: a thread that waited for the line kept the whole program until enter was pressed."""
    asking = asyncio.create_task(ask("Passphrase: ", hidden=True))
    await until(lambda: not person.sees_what_is_typed)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await finished(asking)
    assert person.sees_what_is_typed


@pytest.mark.parametrize(
    ("typed", "answer"), [("y\n", True), (" YES\n", True), ("\n", False), ("n\n", False)]
)
async def test_only_a_yes_is_one(person: Person, typed: str, answer: bool) -> None:
    asking = asyncio.create_task(agrees("Deploy?"))
    person.types(typed)
    assert await finished(asking) is answer


async def test_the_end_of_input_is_no_answer(person: Person) -> None:
    asking = asyncio.create_task(agrees("Deploy?"))
    person.types("\x04")
    assert await finished(asking) is False
