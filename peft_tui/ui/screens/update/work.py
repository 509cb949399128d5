"""What the form stands on: the settings as they are, what was typed, and the difference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal

from peft_tui.backend import Backend
from peft_tui.domain.deployment import Deployment
from peft_tui.domain.errors import ConfigurationInvalid
from peft_tui.domain.money import Price
from peft_tui.domain.offers import Assessment, Change, Setting
from peft_tui.domain.operation import OperationKind
from peft_tui.services.changes import current_value, is_stopped
from peft_tui.services.lookups import Question, Topic
from peft_tui.services.previews import Preview, preview
from peft_tui.ui.costs import hourly_price
from peft_tui.ui.screens.wizard.answers import Answers, Look
from peft_tui.ui.screens.wizard.draft import Draft
from peft_tui.ui.screens.wizard.page import Work

CHANGEABLE = frozenset({Change.LIVE, Change.REDEPLOY})


@dataclass(frozen=True, slots=True)
class Bounds:
    """What all of it costs per hour, at least and at most; None where that is not known."""

    low: Decimal | None = None
    high: Decimal | None = None


@dataclass(slots=True)
class UpdateWork(Work):
    """Of one deployment, or of several at one platform, which are then changed alike."""

    deployments: tuple[Deployment, ...] = ()
    current: Mapping[str, str] = field(default_factory=dict)
    """The text of each setting before anything was typed; empty where it is not known or differs."""

    @classmethod
    def on(cls, backend: Backend, deployments: Sequence[Deployment]) -> UpdateWork:
        first = deployments[0]
        draft = Draft.of_deployment(first, {})
        current = {s.key: common_text(deployments, s) for s in draft.offers.settings if s.supported}
        draft = Draft.of_deployment(first, current)
        return cls(backend, draft, Answers(backend), deployments=tuple(deployments), current=current)

    @property
    def machines(self) -> Question:
        return Question(self.draft.platform, Topic.INSTANCE_TYPES)

    @property
    def assessment(self) -> Look[Assessment]:
        """The machines on offer: nothing else of the adapter's fit is asked again."""
        look = self.answers.look(self.machines)
        value = None if look.value is None else Assessment(instance_types=look.value)
        return replace(look, value=value)

    def questions(self) -> list[Question]:
        return [self.machines]

    @property
    def changes(self) -> dict[str, str]:
        """What was typed and is another thing than before."""
        typed = {key: self.draft.text(key).strip() for key in self.current if self._is_changeable(key)}
        return {key: text for key, text in typed.items() if text != self.current[key]}

    def previews(self) -> list[Preview]:
        """What the changes would do to each of them.

        Raises:
            ConfigurationInvalid: they cannot be; the message says which and why.
        """
        return [preview(one, OperationKind.UPDATE, self.changes) for one in self.deployments]

    @property
    def problem(self) -> str:
        """Why it cannot be applied; empty when it can."""
        if not self.changes:
            return "Nothing is different yet."
        try:
            refused = [one.refused for one in self.previews() if one.refused]
        except ConfigurationInvalid as error:
            key, _, sentence = error.message.partition(": ")
            setting = self.offers.setting(key.partition("=")[0])
            return f"{setting.title}: {sentence}" if setting and sentence else error.message
        return refused[0] if refused else ""

    def price(self, deployment: Deployment) -> Price | Decimal | None:
        """Of one instance: on offer now, or what the last look allows to say."""
        wanted = self.draft.text("instance_type") or current_text(deployment, "instance_type")
        assessment = self.assessment.value
        machine = assessment.instance_type(wanted) if assessment else None
        if machine is not None and machine.price is not None:
            return machine.price
        # Another machine than it has now costs another price, which nobody named.
        changed = "instance_type" in self.changes
        return None if changed else hourly_price(deployment, None)

    def bounds(self, changes: Mapping[str, str]) -> Bounds:
        """What all of them cost per hour with these changes."""
        low = high = Decimal(0)
        for deployment in self.deployments:
            price = self.price(deployment)
            amount = price.usd_per_hour if isinstance(price, Price) else price
            counts = [
                changes.get(key, current_text(deployment, key)) for key in ("min_instances", "max_instances")
            ]
            if amount is None or not all(count.isdigit() for count in counts):
                return Bounds()
            low, high = low + amount * int(counts[0]), high + amount * int(counts[1])
        return Bounds(low, high)

    @property
    def are_stopped(self) -> bool:
        """What they would cost they cost after a start."""
        return all(map(is_stopped, self.deployments))

    def _is_changeable(self, key: str) -> bool:
        setting = self.offers.setting(key)
        return setting is not None and setting.change in CHANGEABLE


def current_text(deployment: Deployment, key: str) -> str:
    """A setting as a person would type it; empty when it is not known."""
    value = current_value(deployment, key)
    return "" if value is None else str(value)


def common_text(deployments: Sequence[Deployment], setting: Setting) -> str:
    """The same of several: empty where they differ."""
    texts = {current_text(deployment, setting.key) for deployment in deployments}
    return texts.pop() if len(texts) == 1 else ""
