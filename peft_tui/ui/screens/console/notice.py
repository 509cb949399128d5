"""What there is to say: of what was done last, else of what sending does now, else of why that cannot be."""

from __future__ import annotations

from peft_tui.domain.errors import PeftTuiError
from peft_tui.domain.inference import InferenceTarget
from peft_tui.text import clean_line
from peft_tui.ui.widgets.blocks import Block
from peft_tui.ui.widgets.lines import Line, wrapped


class Notice(Block):
    """A sentence or two, or nothing."""

    def __init__(self) -> None:
        super().__init__(self._now, id="notice")
        self._words, self._tone = "", "dim"
        self._target: InferenceTarget | None = None
        self._trouble: PeftTuiError | None = None

    def say(self, words: str, tone: str = "dim") -> None:
        """Until something else is said; nothing brings back what stands for itself."""
        self._words, self._tone = words, tone
        self.redraw()

    def stand(self, target: InferenceTarget | None, trouble: PeftTuiError | None) -> None:
        """What is seen while nothing is said."""
        self._target, self._trouble = target, trouble
        self.redraw()

    def _now(self, width: int) -> list[Line]:
        if self._words:
            return wrapped(self._words, width, self._tone)
        if self._target is not None and self._target.wake_words:
            return wrapped(self._target.wake_words, width, "warn")
        if self._trouble is not None:
            return wrapped(clean_line(self._trouble.sentences, 400), width, "bad")
        return []
