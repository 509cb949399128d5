"""From the key to the answer, or to both answers where base and adapter are compared."""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import replace
from functools import partial

from peft_tui.backend import Backend
from peft_tui.domain.deployment import Deployment
from peft_tui.domain.errors import PeftTuiError, sentences
from peft_tui.domain.inference import InferenceTarget, PromptRequest, ServedModel, StreamEvent, Wake
from peft_tui.domain.request import Exchange
from peft_tui.services.comparing import can_be_compared, compare
from peft_tui.services.prompts import Question, unexpected
from peft_tui.text import clean_line
from peft_tui.ui.screens.console.elsewhere import Elsewhere
from peft_tui.ui.screens.console.parameters import Parameters
from peft_tui.ui.screens.console.side_by_side import SideBySideScreen, side
from peft_tui.ui.widgets.blocks import Block
from peft_tui.ui.work import start_work

STANDARD = ("Who are you?", "Explain in two sentences what you were trained for.", "Say hello.")
"""Asked of base and adapter besides the prompt at hand."""
NOT_KNOWN = "Asking how it is asked; then it is sent."


class Asking(Elsewhere):
    """Actions of a screen that has parameters, too. What is asked is asked in a worker of its own."""

    def __init__(self, backend: Backend, deployment: Deployment) -> None:
        super().__init__()
        self._backend = backend
        self._deployment = deployment
        self._target: InferenceTarget | None = None
        self._trouble: PeftTuiError | None = None
        """Why there is no target."""
        self._impatient = False
        """It was to be sent before it was known how."""

    def _ask_how(self) -> None:
        """Find the target, soon."""
        raise NotImplementedError

    def action_send(self) -> None:
        """Ask, after the field at hand has taken what was typed before: keys may come in one go."""
        (self.focused or self).call_later(self._send)

    def _send(self) -> None:
        request = self._parameters.request(self._prompt.text)
        if request is None or self._answer.asking:
            return
        if not request.prompt.strip():
            self._say("Write a prompt first.", "warn")
            self._prompt.focus()
        elif self._target is None:
            self._impatient = self._trouble is None
            self._say(
                self._trouble.message if self._trouble else NOT_KNOWN, "bad" if self._trouble else "dim"
            )
            self._ask_how()
        elif self._target.wake is Wake.REFUSED:
            self._say(f"Not sent. {self._target.wake_words}", "bad")
        else:
            self._begin("waiting")
            model = self._parameters.model(self._target)
            question = Question(self._deployment, self._target, model, request)
            start_work(self, partial(self._ask, question), group="ask")

    def _begin(self, word: str) -> None:
        self._answer.begin(word)
        self._say("")
        self.refresh_bindings()

    async def _ask(self, question: Question) -> None:
        try:
            exchange = await self._backend.prompts.ask(question, self._answer.hear)
        except asyncio.CancelledError:
            self._ended(None, "Cancelled: the connection is closed. What came until then may be billed.")
            raise
        except Exception as error:
            self._ended(None, unexpected(error).message, "bad")
            raise
        if exchange.error is not None:
            words = sentences(exchange.error_message, str(exchange.error.get("hint", "")))
            self._ended(exchange, clean_line(f"✖ {words}", 400), "bad")
        elif exchange.warning:
            self._ended(exchange, exchange.warning)
        elif not exchange.id:
            self._ended(exchange, "It could not be written down: the store does not take it.", "warn")
        else:
            self._ended(exchange)

    def _ended(self, exchange: Exchange | None, words: str = "", tone: str = "warn") -> None:
        if self.is_attached:
            self._answer.end(exchange)
            self._say(words, tone)
            self._redraw()
            self.refresh_bindings()

    def action_cancel(self) -> None:
        self.workers.cancel_group(self, "ask")

    # Base and adapter

    def refusal(self, action: str) -> str:
        """Why it cannot be done here at all."""
        target = self._target
        if action == "compare" and target is not None and not can_be_compared(target):
            return "Only one of adapter and base is served here: they cannot be compared."
        return ""

    def action_compare(self) -> None:
        """Is the adapter really applied? The same prompts to both, greedily."""
        target = self._target
        if target is None or self._answer.asking:
            return
        if refusal := self.refusal("compare"):
            self._say(refusal, "warn")
            return
        if target.wake is Wake.REFUSED:
            self._say(f"Not sent. {target.wake_words}", "bad")
            return
        request = self._parameters.request(self._prompt.text)
        if request is None:
            return
        own = (request.prompt,) if request.prompt.strip() else ()
        asked = [replace(request, prompt=prompt) for prompt in dict.fromkeys((*own, *STANDARD))][:3]
        self._begin("comparing")
        start_work(self, partial(self._compare, target, asked), group="ask")

    async def _compare(self, target: InferenceTarget, asked: list[PromptRequest]) -> None:
        try:
            verdict = await compare(
                self._backend.prompts, self._deployment, target, asked, uuid.uuid4().hex, self._compared
            )
        except asyncio.CancelledError:
            self._ended(None, "Cancelled: nothing can be said of base and adapter.")
            raise
        except Exception as error:
            self._ended(None, unexpected(error).message, "bad")
            raise
        tone = {True: "good", False: "bad", None: "warn"}[verdict.applied]
        self._ended(None, verdict.words, tone)
        pairs = [(p.prompt, side(p.base, "base"), side(p.adapter, "adapter")) for p in verdict.pairs]
        if self.is_current:
            await self.app.push_screen(SideBySideScreen(verdict.words, tone, pairs))

    def _compared(self, model: ServedModel, event: StreamEvent) -> None:
        self._answer.asking = f"comparing: the {model.role} answers"

    def _redraw(self) -> None:
        for block in self.query(Block):
            block.redraw()

    @property
    def _parameters(self) -> Parameters:
        return self.query_one(Parameters)
