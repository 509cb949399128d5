"""The wizard: platform, model, configuration, review. Its answer is the deployment that was asked for."""

from peft_tui.ui.screens.wizard.screen import WizardScreen

__all__ = ["WizardScreen"]
