"""In which form should it be written? One question, one answer, and a new file in this directory."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar

from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical

from peft_tui.services import export
from peft_tui.text import clean_line
from peft_tui.ui.keymap import named
from peft_tui.ui.widgets.blocks import Block
from peft_tui.ui.widgets.lines import Line, clipped, width_of
from peft_tui.ui.widgets.live_table import Cell
from peft_tui.ui.widgets.opaque import OpaqueScreen


@dataclass(frozen=True, slots=True)
class Form:
    """One of the forms that there are."""

    key: str
    kind: str
    """As `services.export` calls it."""
    title: str


CSV = Form("c", "csv", "CSV")
JSON = Form("j", "json", "JSON")
PROMETHEUS = Form("p", "prometheus", "Prometheus")
SVG = Form("s", "svg", "SVG")
FORMS = (CSV, JSON, PROMETHEUS, SVG)


class ExportScreen(OpaqueScreen[str | None]):
    """Answers with the kind that was chosen."""

    DEFAULT_CSS = """
    ExportScreen { align: center middle; }
    ExportScreen > Vertical { width: 64; max-width: 100%; height: auto; padding: 1 2; }
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        *(Binding(form.key, f"choose('{form.kind}')", form.title) for form in FORMS),
        Binding("escape", "choose('')", "Close", tooltip="Write nothing."),
    ]
    BINDINGS = named("export", BINDINGS)

    def __init__(self, forms: Sequence[tuple[Form, str]]) -> None:
        """
        Args:
            forms: those that there are here, each with what stands in it.
        """
        super().__init__()
        self._forms = forms

    def compose(self) -> ComposeResult:
        with Vertical():
            yield Block(self._draw)

    def _draw(self, width: int) -> list[Line]:
        title = (Cell("Export", "strong"), Cell("   into this directory · esc closes", "dim"))
        rows: list[Line] = [
            (Cell(form.key, "accent"), Cell(f"  {form.title.ljust(12)}"), Cell(words, "dim"))
            for form, words in self._forms
        ]
        return [title if width_of(title) <= width else title[:1], (), *(clipped(row, width) for row in rows)]

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Only what there is here."""
        return action != "choose" or parameters[0] in ("", *(form.kind for form, _ in self._forms))

    def action_choose(self, kind: str) -> None:
        self.dismiss(kind or None)


async def write(app: App[Any], name: str, kind: str, text: str, now: datetime) -> None:
    """Into a new file, and say where it is."""
    try:
        path = await asyncio.to_thread(export.save, name, kind, text, now)
    except OSError as error:
        app.notify(f"It could not be written: {clean_line(error)}", severity="error", markup=False)
    else:
        app.notify(f"Written to {clean_line(path, 300)}", timeout=6, markup=False)
