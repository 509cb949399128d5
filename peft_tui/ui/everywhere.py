"""What the palette offers on every screen, besides what the application itself does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING

from peft_tui.ui.settings import described, edit
from peft_tui.ui.work import start_work

if TYPE_CHECKING:
    from peft_tui.backend import Backend
    from peft_tui.config import Settings
    from peft_tui.ui.application import Application

Command = tuple[str, str, Callable[[], object]]
"""Title, a sentence, and what it does."""


def commands(
    app: Application, backend: Backend, settings: Settings, change_theme: Callable[[], object]
) -> Iterator[Command]:
    """Each platform's credentials, and each setting."""
    from peft_tui.drivers import PLATFORMS, capabilities

    for platform in PLATFORMS:
        title = f"Platform: {capabilities(platform).title}"
        yield title, "Its credentials: where they are, set, check", partial(_show, app, backend, platform)
    for name, words in described(settings):
        yield f"Setting: {name}", words, change_theme if name == "theme" else partial(_edit, app, settings)


def _show(app: Application, backend: Backend, platform: str) -> None:
    from peft_tui.ui.screens.platforms import PlatformsScreen

    if isinstance(app.screen, PlatformsScreen):
        app.screen.go_to(platform)
    else:
        app.push_screen(PlatformsScreen(backend, platform))


def _edit(app: Application, settings: Settings) -> None:
    start_work(app, partial(edit, app, settings), group="settings")
