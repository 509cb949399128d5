"""What is asked before something is done, as data: of what, what it costs, what happens, what remains."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from peft_tui.domain.deployment import Deployment
from peft_tui.domain.money import per_hour as price_of
from peft_tui.domain.operation import DOING, OperationKind
from peft_tui.domain.status import Condition, Status, word_for
from peft_tui.text import clean_line
from peft_tui.ui.costs import per_hour
from peft_tui.ui.widgets.lines import Line, wrapped
from peft_tui.ui.widgets.live_table import Cell

if TYPE_CHECKING:
    from peft_tui.services.previews import Preview

LABEL = 10
"""Cells of the column of labels."""
MOST_NAMES = 8
"""Deployments that are named one by one; of more than that the rest is counted."""
KEEP_ADAPTER = "keep the adapter there: what would delete it is left out"
DESTRUCTIVE = frozenset({OperationKind.STOP, OperationKind.DELETE})


@dataclass(frozen=True, slots=True)
class Fact:
    """A line or several of the question, with a label."""

    label: str
    text: str
    tone: str = ""


@dataclass(frozen=True, slots=True)
class LeftOut:
    """One that was chosen too, and for which it is not possible."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class Question:
    """Everything that a confirmation shows, and what it takes to say yes."""

    title: str
    yes: str
    """The word that does it."""
    facts: tuple[Fact, ...] = ()
    typed: str = ""
    """What has to be typed first; empty where a word is enough."""
    tone: str = "warn"
    option: str = ""
    """What can be chosen beside it; it is off at first."""

    def lines(self, width: int) -> list[Line]:
        """The facts, laid out for a width."""
        lines: list[Line] = []
        label = ""
        for fact in self.facts:
            shown = fact.label if fact.label != label else ""
            label = fact.label
            for number, line in enumerate(wrapped(fact.text, width - LABEL, fact.tone)):
                lines.append((Cell((shown if number == 0 else "").ljust(LABEL), "dim"), *line))
        return lines


def asked_about(
    previews: Sequence[Preview],
    sums: tuple[str, str],
    coming: str = "",
    traffic: Mapping[str, int] | None = None,
    left_out: Sequence[LeftOut] = (),
) -> Question:
    """The confirmation of one verb on one or several deployments.

    Args:
        previews: of those for which it is possible; all of one kind.
        sums: what all of them cost per hour now, and a note to that.
        coming: what they will cost per hour, where that is another thing.
        traffic: how many requests were sent to each of them lately, by id.
        left_out: those that were chosen too.
    """
    kind = previews[0].kind
    word = kind.value.capitalize()
    deployments = [preview.deployment for preview in previews]
    facts = [Fact("now", per_hour(sums), "strong" if kind in DESTRUCTIVE else "")]
    facts += [Fact("then", coming, "strong")] if coming else []
    if kind in DESTRUCTIVE and (requests := sum((traffic or {}).values())):
        plural = "" if requests == 1 else "s"
        facts.append(Fact("traffic", f"{requests} request{plural} from here in the last 15 minutes", "warn"))
    if len(previews) > 1:
        facts += [*_named(deployments), *_left_out(left_out)]
        if kind is OperationKind.UPDATE:
            # They are changed alike.
            facts += [*_changes(previews[0]), *_steps(previews[0])]
        facts += _common(previews)
    else:
        facts += [*_left_out(left_out), *_facts_of(previews[0])]
    if kind is OperationKind.UPDATE and any(preview.rolls_out for preview in previews):
        facts.append(Fact("mind", "It rolls out anew: what serves now may pause.", "warn"))
    facts += _taken_along(previews)
    one = deployments[0]
    return Question(
        f"{word} {_what(deployments)}{f' on {title_of(one)}' if len(previews) == 1 else ''}?",
        "Apply" if kind is OperationKind.UPDATE else word,
        tuple(facts),
        _to_type(kind, deployments, traffic or {}),
        {OperationKind.DELETE: "bad", OperationKind.UPDATE: "accent"}.get(kind, "warn"),
        _option(kind, deployments),
    )


def about_adopting(
    deployments: Sequence[Deployment], sums: tuple[str, str], left_out: Sequence[LeftOut] = ()
) -> Question:
    """Nothing is sent for it; still one should see what one takes over."""
    they = "They are managed from here: each" if len(deployments) > 1 else "It is managed from here: it"
    return Question(
        f"Adopt {_what(deployments)}?",
        "Adopt",
        (
            Fact("now", per_hour(sums)),
            *(_named(deployments) if len(deployments) > 1 else ()),
            *_left_out(left_out),
            Fact("after", f"{they} can be started, updated and deleted. Nothing is sent."),
        ),
        tone="accent",
    )


def about_cancelling(
    deployments: Sequence[Deployment], sums: tuple[str, str], left_out: Sequence[LeftOut] = ()
) -> Question:
    """What giving up means depends on what is under way."""
    facts = [Fact("now", per_hour(sums))]
    facts += [
        Fact("ends", f"{clean_line(d.name, 60)}: {_given_up(d)}")
        for d in deployments[:MOST_NAMES]
        if d.to_give_up is not None
    ]
    if (more := len(deployments) - MOST_NAMES) > 0:
        facts.append(Fact("", f"and {more} more"))
    facts += _left_out(left_out)
    return Question(f"Give up what is under way: {_what(deployments)}?", "Give up", tuple(facts))


def title_of(deployment: Deployment) -> str:
    """Its platform as that calls itself."""
    from peft_tui.drivers import capabilities

    return clean_line(capabilities(deployment.platform).title, 40)


def _what(deployments: Sequence[Deployment]) -> str:
    return clean_line(deployments[0].name, 80) if len(deployments) == 1 else f"{len(deployments)} deployments"


def _facts_of(preview: Preview) -> list[Fact]:
    """What it means for one."""
    facts = []
    if preview.gives_up is not None:
        waits = preview.gives_up is preview.deployment.waiting_start
        where = "waits for the stop" if waits else "is under way"
        facts.append(Fact("ends", f"{DOING[preview.gives_up.kind]}, which {where}, is given up", "warn"))
    facts += _changes(preview)
    if preview.stops:
        facts.append(Fact("stops", clean_line(preview.stops, 400)))
    facts += _steps(preview)
    if preview.afterwards:
        facts.append(Fact("after", clean_line(preview.afterwards, 600)))
    return facts


def _changes(preview: Preview) -> list[Fact]:
    facts = []
    for line in preview.changes:
        old, new = ("—" if value is None else str(value) for value in (line.old, line.new))
        facts.append(Fact("changes", clean_line(f"{line.title}: {old} → {new} · {line.how}", 200)))
    return facts


def _taken_along(previews: Sequence[Preview]) -> list[Fact]:
    """What nobody chose, and what ends all the same."""
    chosen = {preview.deployment.name for preview in previews}
    facts = []
    for preview in previews:
        names = [name for name in preview.takes_along if name not in chosen]
        if names:
            words = f"{', '.join(names)}: attached to {preview.deployment.name}, and ends with it"
            facts.append(Fact("mind", clean_line(words, 300), "warn"))
    return facts


def _left_out(left_out: Sequence[LeftOut]) -> list[Fact]:
    facts = [
        Fact("left out", clean_line(f"{one.name}: {one.reason}", 300), "dim") for one in left_out[:MOST_NAMES]
    ]
    if (more := len(left_out) - MOST_NAMES) > 0:
        facts.append(Fact("left out", f"and {more} more", "dim"))
    return facts


def _given_up(deployment: Deployment) -> str:
    operation = deployment.to_give_up
    if operation is None:
        return ""
    if operation is deployment.waiting_start:
        return "it is not started again after the stop"
    return {
        OperationKind.CREATE: "deploying ends, and what was made already is deleted",
        OperationKind.START: "starting ends, and it is stopped again",
        OperationKind.UPDATE: "the update stays as far as it came",
        OperationKind.STOP: "it goes on running, and billing, unless the stop was sent",
        OperationKind.DELETE: "it stays as far as nothing was deleted yet",
        OperationKind.ROLLBACK: "the version stays that serves, unless the rollback was sent",
    }[operation.kind]


def serves(deployment: Deployment) -> bool:
    """Requests may be reaching it now."""
    seen = deployment.observation
    if seen is None or seen.status is not Status.ACTIVE or seen.ready_instances == 0:
        return False
    return seen.condition not in (Condition.NO_TRAFFIC, Condition.ASLEEP, Condition.GONE)


def _option(kind: OperationKind, deployments: Sequence[Deployment]) -> str:
    """A delete may leave the adapter there, where the platform knows it as a thing of its own."""
    from peft_tui.drivers import capabilities

    keeps = any(capabilities(d.platform).keeps_adapter(d.spec) for d in deployments)
    return KEEP_ADAPTER if kind is OperationKind.DELETE and keeps else ""


def _to_type(kind: OperationKind, deployments: Sequence[Deployment], traffic: Mapping[str, int]) -> str:
    """What somebody relies on is not ended with one key, nor what cannot be had back with a start."""
    deletes_what_serves = kind is OperationKind.DELETE and any(map(serves, deployments))
    if not deletes_what_serves and not (kind in DESTRUCTIVE and traffic):
        return ""
    return deployments[0].name if len(deployments) == 1 else f"{kind.value} {len(deployments)}"


def _named(deployments: Sequence[Deployment]) -> list[Fact]:
    facts = []
    for deployment in deployments[:MOST_NAMES]:
        costs = price_of(deployment.usd_per_hour, deployment.is_guess)
        name, platform = clean_line(deployment.name, 60), clean_line(deployment.platform, 40)
        word = word_for(deployment.status, deployment.condition)
        facts.append(Fact("which", f"{name} · {platform} · {word} · {costs}"))
    if more := max(len(deployments) - MOST_NAMES, 0):
        facts.append(Fact("which", f"and {more} more", "dim"))
    return facts


def _steps(preview: Preview) -> list[Fact]:
    if not preview.steps:
        return [Fact("steps", "nothing is sent", "dim")]
    return [
        Fact(
            "steps", f"{number} {clean_line(step.title, 120)}" + ("  $ bills from here" if step.bills else "")
        )
        for number, step in enumerate(preview.steps, 1)
    ]


def _common(previews: Sequence[Preview]) -> list[Fact]:
    """What holds for all of them, or for those of each platform."""
    facts = []
    if ending := sum(preview.gives_up is not None for preview in previews):
        facts.append(Fact("ends", f"what is under way for {ending} of them is given up", "warn"))
    whose: dict[str, dict[str, None]] = {}
    for one in previews:
        if one.afterwards:
            whose.setdefault(one.afterwards, {})[title_of(one.deployment)] = None
    for words, there in list(whose.items())[:4]:
        several = len(whose) > 1
        facts.append(Fact("after", clean_line(f"{', '.join(there)}: {words}" if several else words, 400)))
    return facts
