"""Platforms: where each credential comes from, and whether it works."""

from peft_tui.ui.screens.platforms.screen import PlatformsScreen

__all__ = ["PlatformsScreen"]
