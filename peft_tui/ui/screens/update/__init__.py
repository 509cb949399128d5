"""The form that changes the settings of deployments that exist."""

from peft_tui.ui.screens.update.screen import UpdateScreen

__all__ = ["UpdateScreen"]
