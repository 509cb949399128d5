"""What is shown, and the prompt, taken to the person's own clipboard, pager and editor."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING

from textual.screen import Screen

from peft_tui.domain.errors import ConfigurationInvalid
from peft_tui.redaction import redact
from peft_tui.text import clean_line
from peft_tui.ui.programs import edited, paged
from peft_tui.ui.screens.console.answer_panel import AnswerPanel
from peft_tui.ui.screens.console.notice import Notice
from peft_tui.ui.screens.console.prompt_box import PromptBox
from peft_tui.ui.work import start_work

if TYPE_CHECKING:
    from peft_tui.ui.application import Application


class Elsewhere(Screen[None]):
    """Actions of a screen that has a prompt and an answer."""

    app: Application

    def action_copy(self) -> None:
        """By OSC 52, which goes through SSH and tmux; no terminal says whether it took it."""
        if text := self._answer.text:
            self.app.copy(text, self._answer.what)
        else:
            self._say("There is nothing to copy.", "warn")

    def action_page(self) -> None:
        """What is shown, in the person's pager."""
        text = redact(self._answer.text)
        if text:
            start_work(self, partial(self._outside, partial(paged, self.app, text)), group="outside")
        else:
            self._say("There is nothing to read yet.", "warn")

    def action_edit(self) -> None:
        """The prompt, in the person's editor."""
        start_work(self, partial(self._outside, self._edit), group="outside")

    async def _edit(self) -> None:
        self._prompt.put(await edited(self.app, self._prompt.text))

    async def _outside(self, work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
        except ConfigurationInvalid as error:
            self._say(clean_line(error.sentences, 300), "bad")

    def _say(self, words: str, tone: str = "dim") -> None:
        self.query_one(Notice).say(words, tone)

    @property
    def _prompt(self) -> PromptBox:
        return self.query_one(PromptBox)

    @property
    def _answer(self) -> AnswerPanel:
        return self.query_one(AnswerPanel)
