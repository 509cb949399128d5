"""One deployment on a screen of its own."""

from peft_tui.ui.screens.deployment.screen import DeploymentScreen

__all__ = ["DeploymentScreen"]
