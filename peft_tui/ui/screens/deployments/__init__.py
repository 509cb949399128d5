"""Home: every deployment with its state and what it costs."""

from peft_tui.ui.screens.deployments.screen import DeploymentsScreen

__all__ = ["DeploymentsScreen"]
