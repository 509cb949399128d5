"""The answer as it comes, and what else there is to see of an exchange: pages beside the text."""

from __future__ import annotations

from collections.abc import Callable

from textual.app import ComposeResult
from textual.containers import Vertical

from peft_tui.clock import Clock
from peft_tui.domain.errors import PeftTuiError
from peft_tui.domain.inference import InferenceTarget, StreamEvent, TextPiece, Waiting
from peft_tui.domain.measure import Outcome
from peft_tui.domain.request import Exchange
from peft_tui.services.snippets import Snippet
from peft_tui.services.wording import figures, packed
from peft_tui.text import Cleaner, clean_line
from peft_tui.ui.screens.console.flowing import Flowing
from peft_tui.ui.screens.console.pages import TABS, json_lines, snippet_lines, tab_line, timing_lines
from peft_tui.ui.widgets.blocks import Block
from peft_tui.ui.widgets.lines import Line, clipped
from peft_tui.ui.widgets.live_table import Cell

APPEND_SECONDS = 0.1
"""A streaming answer is appended this often at most."""
_TONES = {Outcome.OK: "good", Outcome.FAILED: "bad", Outcome.CANCELLED: "warn"}


class AnswerPanel(Vertical):
    """Text, JSON, timings or snippets, and one line of figures below.

    Pieces are collected as they are heard and drawn ten times a second.
    """

    def __init__(self, clock: Clock, snippets: Callable[[], tuple[Snippet, ...]]) -> None:
        """`snippets` makes those for what the fields say now."""
        super().__init__()
        self._clock = clock
        self._make_snippets = snippets
        self.target: InferenceTarget | None = None
        self.trouble: PeftTuiError | None = None
        """Why there is no target."""
        self.exchange: Exchange | None = None
        """The one that is shown."""
        self.asking = ""
        """What is under way, in a word; empty while nothing is."""
        self.page = TABS[0]
        self._began = 0.0
        self._pending: list[str] = []
        self._cleaner = Cleaner()
        self._snippets: tuple[Snippet, ...] = ()
        self._snippet = 0

    def compose(self) -> ComposeResult:
        yield Block(lambda width: [clipped(tab_line(self.page), width)], id="tabs")
        yield Flowing(id="answer")
        yield Block(self._page_lines, id="page")
        yield Block(self._status, id="status")

    def on_mount(self) -> None:
        self.query_one("#page", Block).can_focus = True
        self._flushing = self.set_interval(APPEND_SECONDS, self._flush, pause=True)

    # One that is under way

    def begin(self, word: str) -> None:
        self.asking, self._began = word, self._clock.monotonic()
        self._pending, self._cleaner, self.exchange = [], Cleaner(), None
        self.flowing.clear()
        self.turn_to("text")
        self._flushing.resume()

    def hear(self, event: StreamEvent) -> None:
        """Called for each piece: nothing is drawn here."""
        if isinstance(event, TextPiece):
            self.asking = "thinking" if event.thought else "answering"
            if not event.thought:
                self._pending.append(event.text)
        elif isinstance(event, Waiting):
            self.asking = clean_line(event.words, 80)

    def end(self, exchange: Exchange | None) -> None:
        """It is whole, or what came of it is; None where there is nothing to show of it."""
        self.asking = ""
        self._flush()
        self.flowing.append(self._cleaner.finish())
        self._flushing.pause()
        self.exchange = exchange or self.exchange
        self.redraw()

    def _flush(self) -> None:
        if self._pending:
            text, self._pending = "".join(self._pending), []
            self.flowing.append(self._cleaner.feed(text))
        self.query_one("#status", Block).redraw()

    # One that has been

    def show(self, exchange: Exchange | None) -> None:
        """An earlier one as it was, or none."""
        self.exchange = exchange
        self.flowing.clear()
        self.flowing.append(exchange.texts.response if exchange and exchange.texts else "")
        self.redraw()

    # Pages

    def turn_page(self) -> None:
        self.turn_to(TABS[(TABS.index(self.page) + 1) % len(TABS)])

    def turn_to(self, page: str) -> None:
        self.page = page
        self.screen.set_class(page != "text", "-paged")
        self.renew_snippets()
        self.redraw()

    def turn_snippet(self, by: int) -> None:
        self._snippet = (self._snippet + by) % (len(self._snippets) + 1)
        self.query_one("#page", Block).redraw()

    def renew_snippets(self) -> None:
        """After the fields have changed."""
        if self.page == "snippets":
            self._snippets = self._make_snippets()
            self._snippet = min(self._snippet, len(self._snippets))
            self.query_one("#page", Block).redraw()

    @property
    def what(self) -> str:
        """What `text` is, in a word or two."""
        if self.page == "snippets":
            return "URL" if self._snippet == 0 else f"Snippet ({self._snippets[self._snippet - 1].title})"
        return {"text": "Answer", "json": "JSON", "timings": "Timings"}[self.page]

    @property
    def text(self) -> str:
        """What is shown, for a clipboard or a pager."""
        if self.page == "text":
            return self.flowing.text
        if self.page == "snippets" and self.target is not None:
            return self.target.url if self._snippet == 0 else self._snippets[self._snippet - 1].code
        if self.page == "json" and self.exchange is not None and self.exchange.texts is not None:
            return self.exchange.texts.raw
        return "\n".join("".join(cell.text for cell in line) for line in self._page_lines(1000))

    # Drawing

    def redraw(self) -> None:
        for block in self.query(Block):
            block.redraw()

    def _status(self, width: int) -> list[Line]:
        if self.asking:
            seconds = int(self._clock.monotonic() - self._began)
            return [(Cell("▸ ", "accent"), Cell(self.asking), Cell(f"  {seconds} s   esc cancels", "dim"))]
        if self.exchange is None:
            return [()]
        first, *more = packed(figures(self.exchange), width - 2)
        dot = Cell("● ", _TONES[self.exchange.outcome])
        return [(dot, Cell(first)), *((Cell("  "), Cell(line)) for line in more)]

    def _page_lines(self, width: int) -> list[Line]:
        if self.page == "json":
            return json_lines(self.exchange, self.target, width)
        if self.page == "timings":
            return timing_lines(self.exchange, width)
        return snippet_lines(self.target, self._snippets, self._snippet, self.trouble, width)

    @property
    def flowing(self) -> Flowing:
        return self.query_one("#answer", Flowing)
