"""What can be done to a deployment from a screen: asked first, then written down as an intent.

key → why not? → a sentence … or → confirmation → LifeService → notice of the store → the row says so
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from textual.notifications import SeverityLevel
from textual.screen import Screen

from peft_tui.backend import Backend
from peft_tui.domain.deployment import Deployment
from peft_tui.domain.errors import READ_ONLY, PeftTuiError
from peft_tui.domain.status import Condition
from peft_tui.store import StoreError
from peft_tui.text import clean_line
from peft_tui.ui.verbs import CHANGING, VERBS, Verb, why_none, why_not
from peft_tui.ui.work import start_work

if TYPE_CHECKING:
    from peft_tui.ui.application import Application
    from peft_tui.ui.consent import Write
    from peft_tui.ui.screens.dialogs import RowOutcome


class LifeScreen(Screen[str | None]):
    """A screen with deployments that something can be done to; left for another one by the id of that."""

    app: Application
    _backend: Backend

    AUTO_FOCUS: ClassVar[str | None] = None

    def targets(self) -> list[Deployment]:
        """Those that a verb applies to now: the marked ones, else the one under the cursor."""
        raise NotImplementedError

    def carried_out(self, done: Sequence[str]) -> None:
        """Intents for these deployments were written down."""

    # Why not

    def refusal(self, action: str) -> str:
        """Why an action is not possible now; empty when it is, or when that is not known yet."""
        if action == "errors":
            return "" if len(self.app.troubles) else "Nothing went wrong in this session."
        if action == "copy":
            return "" if self.chosen else "No deployment is chosen."
        if action == "again" and not self._backend.config.read_only:
            return self._why_not_again()
        if self._backend.config.read_only and action in CHANGING:
            return READ_ONLY
        if action == "console":
            gone = self.chosen is not None and self.chosen.condition is Condition.GONE
            return "The platform does not have it any more." if gone else ""
        verb = VERBS.get(action)
        # What a platform can do is in its declaration, which the first frame does without.
        if verb is None or not self.app.ready:
            return ""
        return why_none(verb, self.targets())

    def _why_not_again(self) -> str:
        if self.chosen is None or not self.app.ready:
            return "No deployment is chosen." if self.chosen is None else ""
        from peft_tui.services.reasons import why_not_again

        return why_not_again(self.chosen)

    # Keys

    def action_again(self) -> None:
        """Its answers in the wizard."""
        if refusal := self.refusal("again"):
            self._say(refusal)
        elif self.chosen is not None:
            from peft_tui.ui.screens.wizard import WizardScreen

            wizard = WizardScreen(self._backend, again=self.chosen)
            self.app.push_screen(wizard, self._made)
            self.mark_sandbox(wizard)

    def mark_sandbox(self, screen: Screen[Any]) -> None:
        """Nowhere in the sandbox may it be forgotten, least of all where prices are shown."""
        if self.app.sandbox:
            screen.call_later(_mark, screen)

    def _made(self, deployment: Deployment | None) -> None:
        """The wizard was left, with what was asked for in it."""
        if deployment is not None:
            self.go_to(deployment.id)

    def action_stop(self) -> None:
        self._begin(Verb.STOP)

    def action_start(self) -> None:
        self._begin(Verb.START)

    def action_update(self) -> None:
        self._begin(Verb.UPDATE)

    def action_delete(self) -> None:
        self._begin(Verb.DELETE)

    def action_adopt(self) -> None:
        self._begin(Verb.ADOPT)

    def action_cancel(self) -> None:
        self._begin(Verb.CANCEL)

    def action_rollback(self) -> None:
        self._begin(Verb.ROLLBACK)

    def action_help(self) -> None:
        from peft_tui.ui.screens.help import show_help

        show_help(self)

    def action_errors(self) -> None:
        from peft_tui.ui.screens.errors import ErrorsScreen

        self.app.push_screen(ErrorsScreen(self.app.troubles, self._backend.clock), self.go_to)

    def go_to(self, key: str | None) -> None:
        """Show a deployment that something was told of."""

    def action_console(self) -> None:
        if refusal := self.refusal("console"):
            self._say(refusal)
        elif self.chosen is not None:
            # Its text area costs more to load than the first frame can give.
            from peft_tui.ui.screens.console import ConsoleScreen

            self.app.push_screen(ConsoleScreen(self._backend, self.chosen))

    def action_metrics(self) -> None:
        if self.chosen is not None:
            # Its charts cost more to load than the first frame can give.
            from peft_tui.ui.screens.metrics import MetricsScreen

            self.app.push_screen(MetricsScreen(self._backend, self.chosen))

    def action_copy(self) -> None:
        """A menu of what can be taken of it; twice `y` is its URL."""
        deployment = self.chosen
        if deployment is None:
            return
        from peft_tui.services import copies
        from peft_tui.ui.screens.copying import CopyScreen

        def chosen(copy: copies.Copy | None) -> None:
            if copy is not None:
                self.app.copy(copy.text, copy.title)

        more = partial(copies.of_request, deployment, self._backend.prompts)
        self.app.push_screen(CopyScreen(copies.of_deployment(deployment), more), chosen)

    @property
    def chosen(self) -> Deployment | None:
        """The one under the cursor, whatever is marked."""
        raise NotImplementedError

    def act_on(self, action: str, deployment: Deployment) -> None:
        """What a key does, for this one, whatever is marked."""
        self.go_to(deployment.id)
        if action in VERBS:
            self._begin(VERBS[action], [deployment])
        else:
            getattr(self, f"action_{action}")()

    def _begin(self, verb: Verb, targets: list[Deployment] | None = None) -> None:
        # A second press while the first still asks would ask twice.
        if not any(worker.group == "life" and not worker.is_finished for worker in self.workers):
            work = partial(self._carry_out, verb, self.targets() if targets is None else targets)
            start_work(self, work, group="life")

    # From the key to the intent

    async def _carry_out(self, verb: Verb, targets: list[Deployment]) -> None:
        if self._backend.config.read_only:
            self._say(READ_ONLY)
            return
        # Not for the first frame.
        from peft_tui.ui.consent import Consent
        from peft_tui.ui.screens.dialogs import LeftOut, RowOutcome

        reasons = {deployment.id: why_not(verb, deployment) for deployment in targets}
        able = [deployment for deployment in targets if not reasons[deployment.id]]
        left_out = [LeftOut(d.name, reasons[d.id]) for d in targets if reasons[d.id]]
        if not able:
            self._say(why_none(verb, targets))
            return
        try:
            write = await Consent(self.app, self._backend).to(verb, able, left_out)
        except PeftTuiError as error:
            self._say(f"{error.message} {error.hint}".strip(), severity="error")
            return
        if write is None:
            return
        rows = [RowOutcome(one.name, refused=one.reason) for one in left_out]
        done: list[str] = []
        for deployment in able:
            failure = await self._write(write, deployment, verb)
            rows.append(RowOutcome(deployment.name, failure))
            if failure is None:
                done.append(deployment.id)
        self.carried_out(done)
        await self._tell(verb, rows)

    async def _write(self, write: Write, deployment: Deployment, verb: Verb) -> PeftTuiError | None:
        """One intent; what refuses it is kept for the error list."""
        try:
            await write(deployment)
        except PeftTuiError as error:
            refused = error
        except StoreError as error:
            # A full disk, say: nothing was written, so nothing is sent.
            refused = PeftTuiError(
                f"It could not be written down: {clean_line(error, 120)}.", hint="Nothing was sent."
            )
        else:
            return None
        now = self._backend.clock.now()
        self.app.troubles.note(deployment.name, f"{verb.value} refused", refused, now, deployment.id)
        return refused

    async def _tell(self, verb: Verb, rows: Sequence[RowOutcome]) -> None:
        """One line where all went well or there was but one; else row by row."""
        from peft_tui.ui.screens.dialogs import OutcomeScreen

        bad = [row for row in rows if not row.is_good]
        if len(rows) > 1 and bad:
            await self.app.push_screen_wait(OutcomeScreen(verb.value.capitalize(), rows))
        elif bad and (error := bad[0].error):
            self._say(f"{error.message} {error.hint}".strip(), severity="error")
        elif len(rows) > 1:
            said = "Managed from here" if verb is Verb.ADOPT else f"{verb.value.capitalize()} asked for"
            self._say(f"{said}: {len(rows)} deployments.", severity="information")

    def _say(self, words: str, severity: SeverityLevel = "warning") -> None:
        self.app.notify(clean_line(words, 300), severity=severity, timeout=4, markup=False)


def _mark(screen: Screen[Any]) -> None:
    from peft_tui.ui.widgets.banner import SandboxBanner

    if not screen.query(SandboxBanner):
        screen.mount(SandboxBanner())
