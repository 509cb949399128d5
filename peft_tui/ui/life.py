"""What can be done to a deployment from a screen: asked first, then written down as an intent.

key → why not? → a sentence … or → confirmation → LifeService → notice of the store → the row says so
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from decimal import Decimal
from enum import Enum
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from textual.binding import Binding, BindingType
from textual.notifications import SeverityLevel
from textual.screen import Screen

from peft_tui.backend import Backend
from peft_tui.domain.deployment import Deployment
from peft_tui.domain.errors import READ_ONLY, PeftTuiError
from peft_tui.domain.money import usd
from peft_tui.domain.operation import OperationKind
from peft_tui.domain.status import Condition
from peft_tui.store import StoreError
from peft_tui.text import clean_line
from peft_tui.ui.rows import UNKNOWN
from peft_tui.ui.work import start_work

if TYPE_CHECKING:
    from peft_tui.app import PeftTui
    from peft_tui.services.previews import Preview
    from peft_tui.ui.screens.dialogs import Question, RowOutcome


class Verb(Enum):
    """The value is the name of its action."""

    STOP = "stop"
    START = "start"
    UPDATE = "update"
    DELETE = "delete"
    ADOPT = "adopt"
    CANCEL = "cancel"
    ROLLBACK = "rollback"

    @property
    def kind(self) -> OperationKind | None:
        """None for what is no operation of its own."""
        return None if self in (Verb.ADOPT, Verb.CANCEL) else OperationKind(self.value)


LATELY = timedelta(minutes=15)
"""A deployment that was asked something within this time is one that somebody relies on."""
GREYED = (*(verb.value for verb in Verb), "again")
"""The actions that come and go with what is chosen."""
CHANGING = frozenset({"new", "again", *(verb.value for verb in Verb)})
"""Actions that change something at a platform, or here what is managed."""
_VERBS = {verb.value: verb for verb in Verb}

LIFE_BINDINGS: list[BindingType] = [
    Binding("x", "stop", "Stop", tooltip="End the billing; its settings stay.", id="life.stop"),
    Binding("o", "start", "Start", tooltip="Serve again, within the bounds it had.", id="life.start"),
    Binding("u", "update", "Update", tooltip="Change its settings.", id="life.update"),
    Binding(
        "R", "again", "Try again", tooltip="What failed: change its answers, deploy it anew.", id="life.again"
    ),
    Binding("a", "adopt", "Adopt", tooltip="Manage from here what was made elsewhere.", id="life.adopt"),
    Binding("c", "cancel", "Give up", tooltip="End what is under way and clean up.", id="life.cancel"),
    Binding(
        "D,delete",
        "delete",
        "Delete",
        tooltip="Leave nothing of it at the platform.",
        show=False,
        id="life.delete",
    ),
]
"""The same on every screen that shows deployments. None of them lies on a key that moves."""


class LifeScreen(Screen[str | None]):
    """A screen with deployments that something can be done to; left for another one by the id of that."""

    app: PeftTui
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
        verb = _VERBS.get(action)
        # What a platform can do is in its declaration, which the first frame does without.
        if verb is None or not self.app.ready:
            return ""
        targets = self.targets()
        if not targets:
            return "No deployment is chosen."
        reasons = [why_not(verb, deployment) for deployment in targets]
        if not all(reasons):
            return ""
        return reasons[0] if len(targets) == 1 else f"None of the {len(targets)}: {reasons[0]}"

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

    def _begin(self, verb: Verb) -> None:
        # A second press while the first still asks would ask twice.
        if not any(worker.group == "life" and not worker.is_finished for worker in self.workers):
            start_work(self, partial(self._carry_out, verb), group="life")

    # From the key to the intent

    async def _carry_out(self, verb: Verb) -> None:
        from peft_tui.ui.screens.dialogs import RowOutcome

        if refusal := self.refusal(verb.value) if self._backend.config.read_only else "":
            self._say(refusal)
            return
        targets = self.targets()
        reasons = {deployment.id: why_not(verb, deployment) for deployment in targets}
        able = [deployment for deployment in targets if not reasons[deployment.id]]
        if not able:
            self._say(self.refusal(verb.value) or "No deployment is chosen.")
            return
        try:
            write = await self._ask(verb, able)
        except PeftTuiError as error:
            self._say(f"{error.message} {error.hint}".strip(), severity="error")
            return
        if write is None:
            return
        rows = [RowOutcome(d.name, refused=reasons[d.id]) for d in targets if reasons[d.id]]
        done: list[str] = []
        for deployment in able:
            failure = await self._write(write, deployment, verb)
            rows.append(RowOutcome(deployment.name, failure))
            if failure is None:
                done.append(deployment.id)
        self.carried_out(done)
        await self._tell(verb, rows)

    async def _ask(
        self, verb: Verb, able: list[Deployment]
    ) -> Callable[[Deployment], Awaitable[object]] | None:
        """What to write for each of them once the person has agreed; None when she has not."""
        from peft_tui.ui.screens.dialogs import ConfirmScreen, question

        life = self._backend.life
        if verb is Verb.UPDATE:
            return await self._ask_for_changes(able)
        if verb is Verb.ROLLBACK:
            return await self._ask_for_version(able[0])
        asked: Question
        if verb is Verb.ADOPT:
            asked, write = question.about_adopting(able, sums(able)), _by_id(life.adopt)
        elif verb is Verb.CANCEL:
            asked, write = question.about_cancelling(able), self._give_up
        else:
            previews = [_preview(deployment, verb) for deployment in able]
            asked = question.asked_about(
                previews, sums(able), await self._coming(previews), await self._traffic(able)
            )
            write = _by_id({Verb.STOP: life.stop, Verb.START: life.start, Verb.DELETE: life.delete}[verb])
        screen = ConfirmScreen(asked)
        if not await self.app.push_screen_wait(screen):
            return None
        return _by_id(partial(life.delete, keep_adapter=True)) if screen.option_taken else write

    async def _ask_for_changes(
        self, able: list[Deployment]
    ) -> Callable[[Deployment], Awaitable[object]] | None:
        from peft_tui.ui.screens.update import UpdateScreen

        if len({deployment.platform for deployment in able}) > 1:
            self._say("Settings are each platform's own: mark those of one.")
            return None
        changes = await self.app.push_screen_wait(UpdateScreen(self._backend, able))
        if not changes:
            return None

        async def write(deployment: Deployment) -> object:
            return await self._backend.life.update(deployment.id, changes)

        return write

    async def _ask_for_version(
        self, deployment: Deployment
    ) -> Callable[[Deployment], Awaitable[object]] | None:
        """Which version, then what going back to it does."""
        from peft_tui.services.previews import preview
        from peft_tui.ui.screens.dialogs import ConfirmScreen, VersionsScreen, question

        version = await self.app.push_screen_wait(VersionsScreen(self._backend, deployment))
        if version is None:
            return None
        changes = await self._backend.life.going_back(deployment.id, version)
        before = preview(deployment, OperationKind.ROLLBACK, changes)
        asked = question.asked_about([before], sums([deployment]))
        if not await self.app.push_screen_wait(ConfirmScreen(asked)):
            return None

        async def write(one: Deployment) -> object:
            return await self._backend.life.rollback(one.id, version)

        return write

    async def _give_up(self, deployment: Deployment) -> object:
        if deployment.to_give_up is None:
            return None
        return await self._backend.life.cancel(deployment.to_give_up.id)

    async def _coming(self, previews: Sequence[Preview]) -> str:
        """What a start will cost per hour, from the prices that were heard of last."""
        from peft_tui.services.lookups import Question as Asked
        from peft_tui.services.lookups import Topic

        if previews[0].kind is not OperationKind.START:
            return ""
        low = high = Decimal(0)
        unknown = 0
        for preview in previews:
            asked = Asked(preview.deployment.platform, Topic.INSTANCE_TYPES)
            answer = await self._backend.lookups.answer(asked)
            self._backend.lookups.want(asked)
            bounds = preview.deployment.bounds_to_start
            price = hourly_price(preview.deployment, answer.value if answer else None)
            if price is None or bounds is None:
                unknown += 1
                continue
            low, high = low + price * bounds[0], high + price * bounds[1]
        if unknown == len(previews):
            return "the price is not known"
        more = f" and {unknown} of unknown price" if unknown else ""
        return (f"{usd(low)}/h" if low == high else f"{usd(low)} – {usd(high)}/h") + more

    async def _traffic(self, deployments: Sequence[Deployment]) -> dict[str, int]:
        """How many requests were sent to each of them lately."""
        lately = self._backend.clock.now() - LATELY
        return await self._backend.store.requests.since([d.id for d in deployments], lately)

    async def _write(
        self, write: Callable[[Deployment], Awaitable[object]], deployment: Deployment, verb: Verb
    ) -> PeftTuiError | None:
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
            self._say(
                f"{verb.value.capitalize()}: asked for {len(rows)} deployments.", severity="information"
            )

    def _say(self, words: str, severity: SeverityLevel = "warning") -> None:
        self.app.notify(clean_line(words, 300), severity=severity, timeout=4, markup=False)


def _mark(screen: Screen[Any]) -> None:
    from peft_tui.ui.widgets.banner import SandboxBanner

    if not screen.query(SandboxBanner):
        screen.mount(SandboxBanner())


def why_not(verb: Verb, deployment: Deployment) -> str:
    """A sentence, or nothing where the verb is possible."""
    from peft_tui.services import reasons

    try:
        if verb is Verb.ADOPT:
            return reasons.why_not_adopt(deployment)
        if verb is Verb.CANCEL:
            return _why_not_cancel(deployment)
        kind = verb.kind
        assert kind is not None
        return reasons.why_not(deployment, kind)
    except PeftTuiError as error:
        # A platform that this version does not know: a newer one wrote it.
        return error.message


def _why_not_cancel(deployment: Deployment) -> str:
    operation = deployment.to_give_up
    if operation is None:
        return "Nothing is under way."
    if operation.given_up:
        return "It is being given up already."
    if operation.kind is OperationKind.STOP and operation.begun:
        return "The stop was sent: start it again when it is stopped."
    return ""


def sums(deployments: Sequence[Deployment]) -> tuple[str, str]:
    """What they cost per hour now, and how many of them are not in that because it is not known."""
    prices = [d.usd_per_hour for d in deployments if d.usd_per_hour is not None]
    unknown = len(deployments) - len(prices)
    if unknown == len(deployments):
        return UNKNOWN, "  what it costs is not known" if unknown == 1 else "  what they cost is not known"
    about = "~" if any(d.is_guess for d in deployments) else ""
    return about + usd(sum(prices, Decimal(0))), f" and {unknown} of unknown price" if unknown else ""


def per_hour(sums: tuple[str, str]) -> str:
    """`$10.98/h`, or that it is not known."""
    return f"{sums[0]}/h{sums[1]}" if sums[0] != UNKNOWN else sums[1].strip()


def hourly_price(deployment: Deployment, machines: object) -> Decimal | None:
    """Of one instance: what the platform lists, else what the last look at it allows to say."""
    from peft_tui.domain.offers import InstanceType

    seen = deployment.observation
    wanted = (seen.instance_type if seen else "") or deployment.spec.instance_type
    for machine in machines if isinstance(machines, tuple) else ():
        if isinstance(machine, InstanceType) and machine.id == wanted and machine.price:
            return machine.price.usd_per_hour
    if seen and seen.usd_per_hour and seen.billed_instances:
        return seen.usd_per_hour / seen.billed_instances
    return None


def _preview(deployment: Deployment, verb: Verb, changes: Mapping[str, str] | None = None) -> Preview:
    from peft_tui.services.previews import preview

    kind = verb.kind
    assert kind is not None
    return preview(deployment, kind, changes)


def _by_id(write: Callable[[str], Awaitable[object]]) -> Callable[[Deployment], Awaitable[object]]:
    return partial(_written, write)


async def _written(write: Callable[[str], Awaitable[object]], deployment: Deployment) -> object:
    return await write(deployment.id)
