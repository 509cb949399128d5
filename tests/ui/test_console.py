"""The test console, driven by keys and read as text."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from textual.app import App, ComposeResult
from textual.widgets import Input

from peft_tui.domain.errors import TimedOut
from peft_tui.domain.inference import PromptRequest, Role, Wake
from peft_tui.domain.measure import Outcome, Source
from peft_tui.domain.request import Exchange
from peft_tui.domain.status import Status
from peft_tui.store import Store
from peft_tui.ui.screens.console import ConsoleScreen
from peft_tui.ui.screens.console.flowing import Flowing, broken
from peft_tui.ui.screens.console.load_screen import LoadScreen
from peft_tui.ui.screens.console.prompt_box import PromptBox
from peft_tui.ui.screens.console.side_by_side import SideBySideScreen
from tests.doubles import TARGET, VirtualClock
from tests.driving import Driver, drive
from tests.endpoints import Say, ScriptedEndpoints
from tests.seeds import NOON, made, observed, put, still_app

ALONE = replace(TARGET, models=TARGET.models[:1])


async def alone(store: Store) -> None:
    """One deployment, up and seen just now."""
    await put(
        store,
        made("support-bot", adapter="acme/support-r16"),
        observed(Status.ACTIVE, 2, ready_instances=2, billed_instances=2, usd_per_hour=Decimal("10.98")),
    )


@asynccontextmanager
async def console(
    tmp_path: Path, size: tuple[int, int] = (80, 24), *, keep_texts: bool = True
) -> AsyncIterator[tuple[Driver, ScriptedEndpoints, Store]]:
    """The console of `support-bot`, opened by its key."""
    async with drive(still_app(tmp_path, alone), size) as at:
        await at.selects("support-bot")
        endpoints = ScriptedEndpoints(VirtualClock(leaps=True))
        backend = at.app._backend  # type: ignore[attr-defined]
        backend.prompts.endpoints, backend.prompts.keep_texts = endpoints, keep_texts
        await at.press("t")
        await at.until(lambda: isinstance(at.app.screen, ConsoleScreen))
        await at.sees(re.compile("max .*100 .*0.7 .*p .*0.9"))
        yield at, endpoints, backend.store


def write(at: Driver, text: str) -> None:
    at.app.screen.query_one(PromptBox).text = text


async def test_a_prompt_is_typed_sent_and_timed_and_only_its_key_sends_it(tmp_path: Path) -> None:
    async with console(tmp_path) as (at, endpoints, store):
        from textual.events import Paste

        await at.press("ctrl+s")
        await at.sees("Write a prompt first")
        box = at.app.screen.query_one(PromptBox)
        at.app.post_message(Paste("one\rtwo \x1b]52;c;x\x07three\x1b[2J\x9b31m\r\nfour\nfive"))
        await at.until(lambda: box.text == "one\ntwo three\nfour\nfive", box.text)
        await at.press("enter")
        assert box.text.endswith("\n") and endpoints.asked == []
        box.text = ""
        await at.type("Where is it")
        await at.press("ctrl+s")
        await at.sees("Hello", "● 200", "first text 200 ms", "total 300 ms", "in 9 · out 2")
        ((request, model),) = endpoints.asked
        assert request == PromptRequest("Where is it")
        assert model.role is Role.ADAPTER
        # In the history, with its time.
        await at.sees("300 ms 200 ms 2 adapter Where is it")
        # What is asked from elsewhere is seen as well: the newest stand above.
        await history(store, at.app.screen._deployment.id, *(f"prompt {n}" for n in range(6)))  # type: ignore[attr-defined]
        await at.sees("prompt 5")


async def test_what_cannot_be_is_said_and_not_sent(tmp_path: Path) -> None:
    async with console(tmp_path) as (at, endpoints, _):
        write(at, "Hello")
        for field, value, words in (
            ("#temperature", "3", "temperature: a number, 0 to 2"),
            ("#max_tokens", "1.5", "max tokens: a whole number"),
            ("#top_p", "x", "top-p: a number, 0 to 1"),
            ("#seed", "-1", "seed: a whole number, or nothing"),
        ):
            box = at.app.screen.query_one(field, Input)
            before, box.value = box.value, value
            await at.sees(words)
            await at.press("ctrl+s")
            await at.pilot.pause()
            box.value = before
            await at.gone(words)
        assert endpoints.asked == []


async def test_parameters_go_along_and_the_base_can_be_chosen_where_both_are_served(tmp_path: Path) -> None:
    async with console(tmp_path) as (at, endpoints, _):
        await at.sees("model acme/bot (adapter)")
        write(at, "Hello")
        for field, value in {"#system": "Be kind.", "#seed": "7", "#stop": "END | STOP"}.items():
            at.app.screen.query_one(field, Input).value = value
        at.app.screen.query_one("Choice").focus()
        await at.press("right")
        await at.sees("the base (base)")
        await at.press("ctrl+s")
        await at.sees("● 200")
        ((request, model),) = endpoints.asked
        assert request == PromptRequest("Hello", "Be kind.", stop=("END", "STOP"), seed=7)
        assert model.role is Role.BASE


async def test_esc_closes_the_connection_then_goes_back_and_the_prompt_stays(
    tmp_path: Path,
) -> None:
    async with console(tmp_path) as (at, endpoints, _):
        endpoints.answer = lambda request, model: Say(("Half an",), hangs=True)
        write(at, "Hello")
        at.app.screen.query_one("#system", Input).value = "Be kind."
        await at.press("ctrl+s")
        await at.sees("Half an", "answering", "esc cancels")
        await at.press("escape")
        await at.sees("Cancelled: the connection is closed")
        assert (endpoints.open, endpoints.closed_early) == (0, 1)
        await at.sees("Half an")
        await at.sees("◼")
        await at.press("escape")
        await at.sees("NAME", "PLATFORM")
        await at.press("t")
        await at.sees("Be kind.")
        assert at.app.screen.query_one(PromptBox).text == "Hello"
        # Leaving closes the connection too.
        await at.press("ctrl+s")
        await at.sees("Half an")
        await at.app.pop_screen()
        await at.until(lambda: endpoints.open == 0)


async def test_a_prompt_outlives_the_program_unless_texts_are_not_kept(
    tmp_path: Path,
) -> None:
    for kept in (True, False):
        directory = tmp_path / str(kept)
        async with console(directory, keep_texts=kept) as (at, _, __):
            write(at, "Half a quest")
            at.app.screen.query_one("#temperature", Input).value = "0.3"
        async with drive(still_app(directory, None)) as at:
            # The console stands open as it was left.
            await at.sees("max tokens")
            if kept:
                await at.sees("Half a quest", "temperature 0.3")
            assert bool(at.app.screen.query_one(PromptBox).text) is kept


async def test_a_failure_shows_what_came_and_what_to_do(tmp_path: Path) -> None:
    async with console(tmp_path) as (at, endpoints, _):
        error = TimedOut("Acme sent nothing for 60 s", hint="It may have been billed.", status=200)
        endpoints.answer = lambda request, model: Say(("Half an",), error=error)
        write(at, "Hello")
        await at.press("ctrl+s")
        await at.sees("✖ Acme sent nothing for 60 s. It may have been billed.", "Half an")
        await at.sees("Hello — Acme sent nothing")
        # A bug of ours is no cancel.
        endpoints.answer = lambda request, model: Say(("Half",), error=RuntimeError("odd \x1b[2J"))
        await at.press("ctrl+s")
        await at.sees("✖ Internal error while asking: RuntimeError: odd", "Half", "may be billed")


async def test_the_prompt_goes_to_the_editor_and_the_answer_to_the_pager(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The terminal is the other program's meanwhile; here there is none."""

    def program(name: str, does: str) -> None:
        file = tmp_path / name
        file.write_text(f"#!/bin/sh\n{does}\n")
        file.chmod(0o700)
        monkeypatch.setenv(name.upper(), str(file))

    monkeypatch.delenv("VISUAL", raising=False)
    program("editor", 'printf "%s, please.\\n" "$(cat "$1")" > "$1.new" && mv "$1.new" "$1"')
    program("pager", f'cat "$1" > {tmp_path}/read')
    async with console(tmp_path / "store") as (at, _, __):
        monkeypatch.setattr(at.app, "suspend", contextlib.nullcontext)
        write(at, "Say\nhello")
        await at.press("f4")
        box = at.app.screen.query_one(PromptBox)
        await at.until(lambda: box.text == "Say\nhello, please.", box.text)
        await at.press("f3")
        await at.sees("nothing to read yet")
        await at.press("ctrl+s")
        await at.sees("● 200")
        await at.press("f3")
        await at.until((tmp_path / "read").exists)
        await at.until(lambda: (tmp_path / "read").read_text() == "Hello\n")
        monkeypatch.setenv("EDITOR", "no-such-editor-at-all")
        await at.press("f4")
        await at.sees("no-such-editor-at-all is not there")
        assert box.text == "Say\nhello, please."


async def test_what_sending_does_is_said_before_and_what_is_stopped_is_not_sent(tmp_path: Path) -> None:
    async with console(tmp_path) as (at, endpoints, _):
        screen = at.app.screen
        assert isinstance(screen, ConsoleScreen)
        endpoints.found = replace(TARGET, wake=Wake.WAKES, wake_words="This boots an instance, $3.51/h.")
        screen._ask_how()
        await at.sees("This boots an instance, $3.51/h.")
        endpoints.found = replace(TARGET, wake=Wake.REFUSED, wake_words="It is stopped: start it first.")
        screen._ask_how()
        await at.sees("It is stopped: start it first.")
        write(at, "Hello")
        await at.press("ctrl+s")
        await at.sees("Not sent. It is stopped")
        assert endpoints.asked == []


async def test_what_is_sent_before_it_is_known_how_goes_as_soon_as_it_is_unless_it_costs_more(
    tmp_path: Path,
) -> None:
    async with console(tmp_path) as (at, endpoints, _):
        screen, prompts = at.app.screen, at.app._backend.prompts  # type: ignore[attr-defined]
        assert isinstance(screen, ConsoleScreen)
        write(at, "Hello")
        for wake, words in ((Wake.NOTHING, ""), (Wake.WAKES, "This boots an instance.")):
            endpoints.found = replace(TARGET, wake=wake, wake_words=words)
            screen._target, prompts.endpoints = None, None
            asked = len(endpoints.asked)
            await at.press("ctrl+s")
            await at.sees("Asking how it is asked; then it is sent.")
            prompts.endpoints = endpoints
            if words:
                await at.sees(words)
                assert len(endpoints.asked) == asked
                await at.press("ctrl+s")
            await at.until(lambda: len(endpoints.asked) > asked)  # noqa: B023
            await at.sees("● 200")


HOSTILE = (
    "a\x1b]52;c;cm0=\x1b\\b\x1b]0;pwned\x07c\x1b[2Jd\x9b31me\u202ef [/x] [@click=app.quit]no[/] \x90q\x9cg"
)


async def test_a_hostile_answer_is_text_like_any_other(tmp_path: Path) -> None:
    async with console(tmp_path) as (at, endpoints, _):
        endpoints.answer = lambda request, model: Say(list(HOSTILE), gap_s=0.0)
        write(at, "Hello")
        await at.press("ctrl+s")
        await at.sees("abcde·f [/x] [@click=app.quit]no[/] g")
        for _ in range(3):
            await at.press("ctrl+t")
            await at.pilot.pause()
        controls = {chr(n) for n in (*range(32), *range(0x7F, 0xA0))} - {"\n"}
        assert not controls & set(at.text)


async def test_the_pages_show_data_times_and_snippets(tmp_path: Path) -> None:
    async with console(tmp_path, (100, 40)) as (at, _, __):
        write(at, "Hello")
        await at.press("ctrl+s")
        await at.sees("● 200")
        await at.press("ctrl+t")
        await at.sees("POST http://127.0.0.1:9/v1/chat/completions", '"model": "bot-lora"')
        at.app.screen.query_one("#page").focus()
        await at.press("G")
        await at.sees("answered 200", '{"a": 1}')
        await at.press("ctrl+t")
        await at.sees("first text 200 ms", "(TTFT), measured here", "total 300 ms", "counted by the platform")
        await at.press("ctrl+t")
        await at.sees("url http://127.0.0.1:9/v1", "model bot-lora", "adapter")
        at.app.screen.query_one("#page").focus()
        await at.press("right")
        await at.sees("curl 'http://127.0.0.1:9/v1/chat/completions'")
        await at.press("right")
        await at.sees("from openai import OpenAI")


async def test_what_is_shown_is_copied_masked_and_it_is_said_that_nobody_answers(tmp_path: Path) -> None:
    from peft_tui.credentials import Secret

    Secret("sk-abcdefghijklmnop123456")
    async with console(tmp_path) as (at, endpoints, _):
        endpoints.answer = lambda request, model: Say(("The key is sk-abcdefghijklmnop123456.",))
        write(at, "Hello")
        await at.press("ctrl+s")
        await at.sees("● 200")
        await at.press("ctrl+y")
        await at.until(lambda: any("OSC 52" in said.message for said in at.app._notifications))
        assert at.app.clipboard.startswith("The key is ")
        assert "abcdefghijklmnop" not in at.app.clipboard


async def test_base_and_adapter_are_compared_by_one_key(tmp_path: Path) -> None:
    async with console(tmp_path, (100, 30)) as (at, endpoints, _):
        endpoints.answer = lambda request, model: Say((f"I am the {model.role}.",))
        write(at, "Who?")
        await at.press("ctrl+g")
        await at.until(lambda: isinstance(at.app.screen, SideBySideScreen))
        await at.sees("Different on 3 of 3 at temperature 0: the adapter is applied.", "▸ Who?")
        await at.sees("I am the base.", "I am the adapter.")
        assert len(endpoints.asked) == 6
        await at.press("escape")
        endpoints.answer = lambda request, model: Say(("The same.",))
        await at.press("ctrl+g")
        await at.sees("Identical on all 3", "probably not applied")


async def test_where_only_one_is_served_it_is_said(tmp_path: Path) -> None:
    async with console(tmp_path) as (at, endpoints, _):
        endpoints.found = ALONE
        screen = at.app.screen
        assert isinstance(screen, ConsoleScreen)
        screen._ask_how()
        await at.until(lambda: screen._target is ALONE)
        await at.press("ctrl+g")
        await at.sees("Only one of adapter and base is served here")
        await at.until(lambda: "is it applied" not in at.footer)
        assert endpoints.asked == []


async def history(store: Store, deployment_id: str, *prompts: str) -> None:
    from peft_tui.domain.measure import Measured
    from peft_tui.domain.request import Texts

    await store.requests.record(
        [
            Exchange(
                deployment_id, NOON, Source.CONSOLE, "acme/bot", Role.ADAPTER, PromptRequest(p, max_tokens=5),
                Outcome.OK, Measured(0.2, None, 1.0, tokens_out=3), texts=Texts(p, response=f"answer to {p}"),
            )
            for p in prompts
        ]
    )  # fmt: skip


async def test_older_ones_are_shown_searched_run_again_compared_and_deleted(tmp_path: Path) -> None:
    async with console(tmp_path, (100, 40)) as (at, endpoints, store):
        screen = at.app.screen
        assert isinstance(screen, ConsoleScreen)
        await history(store, screen._deployment.id, *(f"prompt {n}" for n in range(12)))
        await at.sees("prompt 11", "prompt 2")
        assert not at.shows("prompt 1 ") and not at.shows("prompt 0")
        screen._past.table.focus()
        await at.press("enter")
        await at.sees("answer to prompt 11")
        # An older one by a word of its answer
        await at.press("slash")
        await at.type("prompt 7")
        await at.sees("found: 1")
        await at.press("enter")
        await at.press("r")
        await at.until(lambda: bool(endpoints.asked))
        assert endpoints.asked[0][0] == PromptRequest("prompt 7", max_tokens=5)
        await at.sees("● 200")
        screen._past.table.focus()
        await at.press("escape")
        await at.sees("prompt 11")
        # Two of them beside each other
        screen._past.table.focus()
        await at.press("g", "space", "j", "space")
        await at.until(lambda: isinstance(at.app.screen, SideBySideScreen))
        await at.sees("answer to prompt 11")
        await at.press("escape")
        # One away for good
        screen._past.table.focus()
        await at.press("G")
        doomed = screen._past.under_cursor
        assert doomed is not None
        await at.press("d")
        await at.sees("Delete its prompt and answer for good?")
        await at.press("escape")
        assert await store.requests.get(doomed.id) is not None
        await at.press("d", "y")
        await at.sees("Deleted.")
        assert await store.requests.get(doomed.id) is None


async def test_a_load_run_says_what_is_wrong_and_its_price_first_and_then_figures(tmp_path: Path) -> None:
    async with console(tmp_path, (100, 40)) as (at, endpoints, _):
        write(at, "Hello")
        await at.press("ctrl+l")
        await at.until(lambda: isinstance(at.app.screen, LoadScreen))
        await at.sees("50 requests", "closed loop")
        # Whatever is typed is answered with a sentence.
        for field, typed, said in (
            ("cap", "nan", "cap"),
            ("rate", "1e-300", "rate"),
            ("file", "~nobody-at-all/x", "cannot be read"),
            ("file", "/dev/zero", "no file"),
            ("file", "a\0b", "cannot be read"),
        ):
            box = at.app.screen.query_one(f"#{field}", Input)
            before, box.value = box.value, typed
            await at.sees("✖", said)
            box.value = before
            await at.gone("✖")
        assert endpoints.asked == []
        at.app.screen.query_one("#requests").value = "8"  # type: ignore[attr-defined]
        at.app.screen.query_one("#concurrency").value = "x"  # type: ignore[attr-defined]
        await at.sees("Numbers are needed")
        at.app.screen.query_one("#concurrency").value = "2"  # type: ignore[attr-defined]
        await at.press("ctrl+s")
        await at.sees("8 ok, 0 failed", "P50", "needs n ≥ 72", "█")
        assert len(endpoints.asked) == 8
        await at.press("escape")
        await at.until(lambda: isinstance(at.app.screen, ConsoleScreen))


class Page(App[None]):
    """A text that grows, and nothing else."""

    def compose(self) -> ComposeResult:
        yield Flowing(id="answer")


async def test_a_fast_stream_neither_blocks_the_screen_nor_grows_in_cost() -> None:
    """20,000 tokens: the last thousand cost what the first did, and a key is taken in between."""
    async with drive(Page()) as at:
        answer = at.app.screen.query_one("#answer", Flowing)
        loop = asyncio.get_running_loop()
        words = "token " * 100
        took = []
        for _ in range(200):
            began = loop.time()
            answer.append(words)
            took.append(loop.time() - began)
        early, late = sorted(took[5:55])[25], sorted(took[-50:])[25]
        assert late < early * 5 + 0.002
        assert len(answer.text) == 20_000 * 6
        answer.focus()
        await at.press("g")
        await at.until(lambda: answer.scroll_offset.y == 0)


async def test_it_fits(tmp_path: Path) -> None:
    async with console(tmp_path, (60, 20)) as (at, _, __):
        write(at, "Hello")
        await at.press("ctrl+s")
        for size in ((60, 20), (80, 24), (140, 40), (40, 12)):
            await at.pilot.resize_terminal(*size)
            await at.sees("Hello", "● 200")
            assert at.footer.strip()
            assert at.app.screen.query_one("#stop").size.width >= 5 or size[0] < 60


class TestFlowing:
    def test_lines_are_broken_between_words_and_lose_nothing(self) -> None:
        text = "The quick brown fox jumps over the lazy dog and averyveryverylongwordwithoutanyspace at all"
        lines = broken(text, 20)
        assert all(len(line) <= 20 for line in lines)
        assert "".join(lines).replace(" ", "") == text.replace(" ", "")

    def test_wide_characters_are_not_cut_in_half(self) -> None:
        assert "".join(broken("日本語の文章" * 5, 7)) == "日本語の文章" * 5

    async def test_pieces_make_the_same_lines_as_the_whole(self) -> None:
        text = (
            "Grüße from 日本.\n\nA line\twith a tab, and a much longer one that has to be broken somewhere. "
            * 5
        )
        async with drive(Page()) as at:
            flowing = at.app.screen.query_one("#answer", Flowing)
            flowing.append(text)
            whole = list(flowing._lines)
            flowing.clear()
            for letter in text:
                flowing.append(letter)
            assert [line.rstrip() for line in flowing._lines] == [line.rstrip() for line in whole]
