"""What it did, how quickly, and what that cost."""

from peft_tui.ui.screens.metrics.overview import OverviewScreen
from peft_tui.ui.screens.metrics.screen import MetricsScreen

__all__ = ["MetricsScreen", "OverviewScreen"]
