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
from peft_tui.ui.life import per_hour
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
) -> Question:
    """The confirmation of one verb on one or several deployments.

    Args:
        previews: of those for which it is possible; all of one kind.
        sums: what all of them cost per hour now, and a note to that.
        coming: what they will cost per hour, where that is another thing.
        traffic: how many requests were sent to each of them lately, by id.
    """
    kind = previews[0].kind
    word = kind.value.capitalize()
    deployments = [preview.deployment for preview in previews]
    costs = Fact("now", per_hour(sums), "strong" if kind in DESTRUCTIVE else "")
    then = [Fact("then", coming, "strong")] if coming else []
    if kind in DESTRUCTIVE and (requests := sum((traffic or {}).values())):
        plural = "" if requests == 1 else "s"
        then.append(Fact("traffic", f"{requests} request{plural} from here in the last 15 minutes", "warn"))
    if len(previews) > 1:
        return Question(
            f"{word} {len(previews)} deployments?",
            word,
            (costs, *then, *_named(deployments), *_common(previews)),
            _to_type(kind, deployments, traffic or {}),
            "bad" if kind is OperationKind.DELETE else "warn",
            _option(kind, deployments),
        )
    preview, deployment = previews[0], deployments[0]
    facts = [costs, *then]
    if preview.gives_up is not None:
        doing = DOING[preview.gives_up.kind]
        waits = preview.gives_up is deployment.waiting_start
        where = "waits for the stop" if waits else "is under way"
        facts.append(Fact("ends", f"{doing}, which {where}, is given up", "warn"))
    for line in preview.changes:
        old, new = ("—" if value is None else str(value) for value in (line.old, line.new))
        facts.append(Fact("changes", clean_line(f"{line.title}  {old} → {new}", 200)))
    if preview.stops:
        facts.append(Fact("stops", clean_line(preview.stops, 400)))
    facts += _steps(preview)
    if preview.afterwards:
        facts.append(Fact("after", clean_line(preview.afterwards, 600)))
    return Question(
        f"{word} {clean_line(deployment.name, 80)} on {clean_line(deployment.platform, 40)}?",
        word,
        tuple(facts),
        _to_type(kind, deployments, traffic or {}),
        "bad" if kind is OperationKind.DELETE else "warn",
        _option(kind, deployments),
    )


def about_adopting(deployments: Sequence[Deployment], sums: tuple[str, str]) -> Question:
    """Nothing is sent for it; still one should see what one takes over."""
    what = clean_line(deployments[0].name, 80) if len(deployments) == 1 else f"{len(deployments)} deployments"
    return Question(
        f"Adopt {what}?",
        "Adopt",
        (
            Fact("now", per_hour(sums)),
            *(_named(deployments) if len(deployments) > 1 else ()),
            Fact(
                "after", "It is managed from here: it can be started, updated and deleted. Nothing is sent."
            ),
        ),
        tone="accent",
    )


def about_cancelling(deployments: Sequence[Deployment]) -> Question:
    """What giving up means depends on what is under way."""
    facts = [
        Fact("ends", f"{clean_line(d.name, 60)}: {_given_up(d)}")
        for d in deployments[:MOST_NAMES]
        if d.to_give_up is not None
    ]
    if more := len(deployments) - MOST_NAMES:
        facts += [Fact("", f"and {more} more")] if more > 0 else []
    what = clean_line(deployments[0].name, 80) if len(deployments) == 1 else f"{len(deployments)} deployments"
    return Question(f"Give up what is under way: {what}?", "Give up", tuple(facts))


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
            whose.setdefault(one.afterwards, {})[one.deployment.platform] = None
    several = len({one.deployment.platform for one in previews}) > 1
    for words, there in list(whose.items())[:4]:
        facts.append(Fact("after", clean_line(f"{', '.join(there)}: {words}" if several else words, 400)))
    return facts
