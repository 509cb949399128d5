"""Text that lays itself out for the width it has."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from textual.events import Resize

from peft_tui.ui.widgets.lines import Line, Lines

Build = Callable[[int], Sequence[Line]]


class Block(Lines):
    """Lines that are composed anew when the width changes; equal lines are not drawn again."""

    DEFAULT_CSS = """
    Block { width: 1fr; height: auto; }
    """

    def __init__(
        self, build: Build | None = None, *, id: str | None = None, classes: str | None = None
    ) -> None:
        super().__init__(id=id, classes=classes)
        self.build = build
        self._width_shown = 0

    def put(self, build: Build) -> None:
        """Show what `build` makes of the width, now and after every resize."""
        self.build = build
        self.redraw()

    def redraw(self) -> None:
        """Ask again what to show."""
        if self.build is not None and self.is_attached:
            self._width_shown = self.width
            self.show(self.build(self.width or max(self.app.size.width - 2, 8)))

    def on_mount(self) -> None:
        self.ascii_only = bool(getattr(self.app, "ascii_only", False))
        self.redraw()

    def watch_has_focus(self, _has_focus: bool) -> None:
        """What shows that it has the keys, once it has them: its handlers are told before that is so."""
        super().watch_has_focus(_has_focus)
        if self.can_focus:
            self.redraw()

    def on_resize(self, event: Resize) -> None:
        if self.width != self._width_shown:
            self.redraw()
