"""Questions and their answers: each a modal screen that knows nothing of who asked."""

from peft_tui.ui.screens.dialogs.confirm import ConfirmScreen
from peft_tui.ui.screens.dialogs.outcome import OutcomeScreen, RowOutcome
from peft_tui.ui.screens.dialogs.question import LeftOut, Question
from peft_tui.ui.screens.dialogs.versions import VersionsScreen

__all__ = ["ConfirmScreen", "LeftOut", "OutcomeScreen", "Question", "RowOutcome", "VersionsScreen"]
