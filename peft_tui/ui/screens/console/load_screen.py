"""A load run: what it would cost, then what comes of it."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal, InvalidOperation
from functools import partial
from pathlib import Path
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.screen import Screen
from textual.widgets import Input

from peft_tui.backend import Backend
from peft_tui.domain.deployment import Deployment
from peft_tui.domain.errors import ConfigurationInvalid, PeftTuiError
from peft_tui.domain.inference import InferenceTarget, PromptRequest, ServedModel
from peft_tui.domain.money import usd
from peft_tui.services import load, load_files, load_plan, load_report
from peft_tui.services.wording import progress, report
from peft_tui.text import clean_line
from peft_tui.ui.application import Application
from peft_tui.ui.keymap import named
from peft_tui.ui.screens.console.parameters import Small, Title
from peft_tui.ui.widgets.blocks import Block
from peft_tui.ui.widgets.keys import KeyBar
from peft_tui.ui.widgets.lines import Line, wrapped
from peft_tui.ui.widgets.live_table import Cell
from peft_tui.ui.work import start_work

DRAW_SECONDS = 0.25
FIELDS = (
    ("requests", "requests", "50", 8),
    ("concurrency", "at a time", "4", 6),
    ("rate", "or a second", "", 7),
    ("cap", "cap $", "1.00", 8),
)


class LoadScreen(Screen[None]):
    """Sends one prompt, or those of a file, many times."""

    DEFAULT_CSS = """
    LoadScreen {
        background: $background;
        & > Horizontal { height: 1; margin: 1 0 0 0; }
        & .title { width: auto; height: 1; }
        & #preview { height: auto; padding: 1 1 0 1; }
        & #result { height: 1fr; padding: 1 1 0 1; overflow-y: auto; }
    }
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+s", "start", "Start", priority=True, tooltip="Send them: from here on it costs."),
        Binding("escape", "back", "Stop or back", tooltip="Cancel what is under way; then back."),
        Binding("ctrl+o", "export", "Export", priority=True, tooltip="Each request as CSV and JSON."),
        Binding("pageup", "scroll_lines(-10)", "Page up", show=False),
        Binding("pagedown", "scroll_lines(10)", "Page down", show=False),
    ]
    BINDINGS = named("load", BINDINGS)
    app: Application

    def __init__(
        self,
        backend: Backend,
        deployment: Deployment,
        target: InferenceTarget,
        model: ServedModel,
        request: PromptRequest,
        seconds: float | None,
    ) -> None:
        super().__init__()
        self._backend = backend
        self._deployment, self._target, self._model = deployment, target, model
        self._request, self._seconds = request, seconds
        self._run: load_report.LoadRun | None = None
        self._under_way = False
        self._said = ""

    def compose(self) -> ComposeResult:
        with Horizontal():
            for key, title, default, width in FIELDS:
                yield Title(title)
                yield Small(default, width, id=key)
        with Horizontal():
            yield Title("prompts file")
            yield Small("", None, id="file", placeholder="JSONL; empty: the prompt of the console")
        yield Block(self._preview, id="preview")
        yield Block(self._result, id="result")
        yield KeyBar()

    def on_mount(self) -> None:
        self.query_one("#requests", Small).focus()
        self._drawing = self.set_interval(DRAW_SECONDS, self._draw, pause=True)

    @on(Input.Changed)
    def _typed(self) -> None:
        self._said = ""
        self.query_one("#preview", Block).redraw()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "start":
            return not self._under_way
        if action == "export":
            return self._run is not None and not self._under_way and bool(self._run.exchanges)
        return True

    # What is to be sent

    def plan(self) -> load_plan.LoadPlan:
        """What the fields say.

        Raises:
            ConfigurationInvalid: one of them says something else than it should.
        """
        try:
            requests, at_a_time = int(self._value("requests")), int(self._value("concurrency"))
            rate = float(self._value("rate")) if self._value("rate") else None
            cap = Decimal(self._value("cap")) if self._value("cap") else None
        except (ValueError, InvalidOperation):
            raise ConfigurationInvalid("Numbers are needed.") from None
        prompts: tuple[PromptRequest, ...] = (self._request,)
        if name := self._value("file"):
            prompts = load_files.read_prompts(name, self._request)
        plan = load_plan.LoadPlan(prompts, requests, at_a_time, rate, cap)
        if problem := plan.problem():
            raise ConfigurationInvalid(problem)
        if self._target.price is None:
            plan = replace(plan, cap_usd=None)
        return plan

    def _value(self, key: str) -> str:
        return self.query_one(f"#{key}", Small).value.strip()

    def _preview(self, width: int) -> list[Line]:
        if self._said:
            return wrapped(self._said, width, "bad")
        try:
            plan = self.plan()
        except ConfigurationInvalid as error:
            return wrapped(f"✖ {error.message}", width, "bad")
        seen = load_plan.preview(plan, self._target, self._deployment, self._seconds)
        words = seen.words
        if plan.cap_usd is not None:
            words += f" It ends at {usd(plan.cap_usd)} at the latest."
        loop = "open loop: times count from when each was meant to be sent" if plan.rate else "closed loop"
        lines = wrapped(words, width)
        lines.append((Cell(loop, "dim"),))
        if self._target.wake_words:
            lines += wrapped(self._target.wake_words, width, "warn")
        return lines

    # Sending

    def action_start(self) -> None:
        try:
            plan = self.plan()
        except ConfigurationInvalid:
            self.query_one("#preview", Block).redraw()
            return
        self._run, self._under_way = load_report.LoadRun(plan), True
        self._drawing.resume()
        self.refresh_bindings()
        start_work(self, partial(self._carry_out, self._run), group="load")

    async def _carry_out(self, running: load_report.LoadRun) -> None:
        try:
            await load.run(
                self._backend.prompts,
                self._deployment,
                self._target,
                self._model,
                running,
                self._backend.clock,
            )
        except PeftTuiError as error:
            self._said = f"✖ {error.sentences}"
        finally:
            self._under_way = False
            if self.is_attached:
                self._drawing.pause()
                self._draw()
                self.query_one("#preview", Block).redraw()
                self.refresh_bindings()

    def action_back(self) -> None:
        if self._under_way:
            if self._run is not None:
                self._run.stopped = "cancelled"
            self.workers.cancel_group(self, "load")
        else:
            self.dismiss(None)

    def action_scroll_lines(self, by: int) -> None:
        self.query_one("#result", Block).action_scroll_by(by)

    def action_export(self) -> None:
        """Beside each other in the working directory, under a name of their own."""
        assert self._run is not None
        running, stem = self._run, f"peft-tui-load-{self._run.run_id[:8]}"

        def write() -> None:
            Path(f"{stem}.csv").write_text(load_files.as_csv(running), "utf-8")
            Path(f"{stem}.json").write_text(load_files.as_json(running), "utf-8")

        async def export() -> None:
            import asyncio

            try:
                await asyncio.to_thread(write)
            except OSError as error:
                self.notify(
                    f"It cannot be written: {clean_line(error.strerror)}", severity="error", markup=False
                )
            else:
                self.notify(f"Written: {clean_line(Path.cwd() / stem)}.csv and .json", markup=False)

        start_work(self, export, group="export")

    # Drawing

    def _draw(self) -> None:
        self.query_one("#result", Block).redraw()

    def _result(self, width: int) -> list[Line]:
        running = self._run
        if running is None:
            return []
        if self._under_way:
            return [(Cell(progress(running), "accent"),)]
        return [line for text in report(running, running.report()) for line in _lines(text, width)]


def _lines(text: str, width: int) -> list[Line]:
    # Bars keep their spaces; sentences may be broken.
    return [(Cell(text),)] if len(text) <= width else wrapped(text, width)
