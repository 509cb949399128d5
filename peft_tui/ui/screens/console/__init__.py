"""The test console: try it, time it, trust it."""

from peft_tui.ui.screens.console.screen import ConsoleScreen

__all__ = ["ConsoleScreen"]
