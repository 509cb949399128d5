"""What a verb would do, as data, for whoever asks a person before it is done."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from peft_tui.domain.deployment import Deployment, Origin
from peft_tui.domain.offers import Change, PlannedStep
from peft_tui.domain.operation import VERSION, Operation, OperationKind
from peft_tui.domain.spec import Settings
from peft_tui.domain.status import Condition, Status
from peft_tui.drivers import capabilities
from peft_tui.services.changes import ChangedSetting, difference, local_part, read_changes
from peft_tui.services.reasons import as_seen, forgets, left_by_create, stops_again, why_not


@dataclass(frozen=True, slots=True)
class Preview:
    """Of one verb on one deployment."""

    deployment: Deployment
    kind: OperationKind
    refused: str
    """Why it cannot be done; empty when it can."""
    usd_per_hour: Decimal | None
    """What it costs now; None when that is not known."""
    steps: tuple[PlannedStep, ...]
    """What is sent and waited for; nothing when it is kept here only."""
    changes: tuple[ChangedSetting, ...] = ()
    gives_up: Operation | None = None
    """What is under way and ends with it."""
    stops: str = ""
    """What ends, for a person."""
    afterwards: str = ""
    """What may bill when it is done, or what is left."""
    takes_along: tuple[str, ...] = ()
    """The names of what is attached to it, and ends with it."""
    forgets: bool = False
    """It is gone at the platform: it is only taken off the list."""

    @property
    def rolls_out(self) -> bool:
        """Whether any of it makes a new rollout instead of changing what runs."""
        return any(line.change is Change.REDEPLOY and not line.kept_here for line in self.changes)


def preview(
    deployment: Deployment,
    kind: OperationKind,
    changes: Settings | None = None,
    others: Sequence[Deployment] = (),
) -> Preview:
    """What `kind` would do to `deployment`, from what is known here.

    Args:
        changes: of an update: text by setting; of a rollback: what `LifeService.going_back` tells.
        others: all that there are: some may be attached to it.

    Raises:
        ConfigurationInvalid: the changes cannot be.
    """
    refused = why_not(deployment, kind)
    settings: Settings = {}
    lines: tuple[ChangedSetting, ...] = ()
    if kind is OperationKind.UPDATE:
        typed = {key: str(value) for key, value in (changes or {}).items()}
        lines = difference(deployment, typed)
        parsed = read_changes(deployment, typed)
        local, _ = local_part(deployment, parsed)
        settings = {key: value for key, value in parsed.items() if key not in local}
    elif kind is OperationKind.START and (bounds := deployment.bounds_to_start):
        settings = {"min_instances": bounds[0], "max_instances": bounds[1]}
    elif kind is OperationKind.ROLLBACK:
        settings = changes or {}
        lines = _other_settings(deployment, settings)
    plan = capabilities(deployment.platform).verbs.get(kind)
    steps = plan(deployment.spec.changed(settings), settings) if plan and not refused else ()
    forgotten = kind is OperationKind.DELETE and forgets(deployment)
    again = kind is OperationKind.STOP and stops_again(deployment)
    if forgotten or again or (kind is OperationKind.UPDATE and not settings):
        steps = ()
    ends = kind in (OperationKind.STOP, OperationKind.DELETE)
    return Preview(
        deployment,
        kind,
        refused,
        deployment.usd_per_hour,
        steps,
        lines,
        (deployment.waiting_start if again else deployment.under_way) if ends else None,
        "" if forgotten or again else _stops(deployment, kind),
        _afterwards(deployment, kind, settings),
        attached_to(deployment, others) if ends and not forgotten else (),
        forgotten,
    )


def may_carry(deployments: Iterable[Deployment]) -> bool:
    """Whether others can be attached to one of them: only then all have to be known for a preview."""
    return any(capabilities(deployment.platform).carrier is not None for deployment in deployments)


def attached_to(deployment: Deployment, others: Sequence[Deployment]) -> tuple[str, ...]:
    """The names of those that serve through it."""
    carrier = capabilities(deployment.platform).carrier
    return tuple(
        other.name
        for other in others
        if carrier is not None
        and other.platform == deployment.platform
        and other.condition is not Condition.GONE
        and carrier(as_seen(other)) == deployment.remote_name
    )


def is_half_known(deployment: Deployment) -> bool:
    """Adopted, and all that is known of its adapter is the deployment's own name."""
    spec = deployment.spec
    return not spec.base_model and spec.source.reference in ("", deployment.remote_name)


def _other_settings(deployment: Deployment, settings: Settings) -> tuple[ChangedSetting, ...]:
    """What an earlier version was set to, where it is another thing than now."""
    now = deployment.spec.settings
    return tuple(
        ChangedSetting(s.key, s.title, now.get(s.key), settings[s.key] or None, s.change, False)
        for s in capabilities(deployment.platform).settings
        if s.key in settings
    )


def total_usd_per_hour(previews: Sequence[Preview]) -> tuple[Decimal, int]:
    """What several cost now together, and of how many it is not known."""
    known = [one.usd_per_hour for one in previews if one.usd_per_hour is not None]
    return sum(known, Decimal(0)), len(previews) - len(known)


def _stops(deployment: Deployment, kind: OperationKind) -> str:
    seen = deployment.observation
    if kind not in (OperationKind.STOP, OperationKind.DELETE) or deployment.status is Status.STOPPED:
        return ""
    if deployment.came_to_nothing:
        left = left_by_create(deployment)
        return f"Nothing that runs; what its create left is taken away: {', '.join(left)}." if left else ""
    if deployment.condition is Condition.ASLEEP and deployment.under_way is None:
        return "Nothing runs now; a request does not boot it any more."
    if seen is None or not seen.ready_instances:
        return "What is under way is ended; requests that wait are lost."
    if seen.billed_instances == 0:
        return "Nothing that bills; its requests are refused."
    plural = "" if seen.ready_instances == 1 else "s"
    return f"{seen.ready_instances} instance{plural} of {deployment.remote_name}; its requests are refused."


def _afterwards(deployment: Deployment, kind: OperationKind, settings: Settings) -> str:
    offers = capabilities(deployment.platform)
    match kind:
        case OperationKind.STOP if stops_again(deployment):
            return "It is being stopped already, and is not started again after it. It bills until then."
        case OperationKind.DELETE if forgets(deployment):
            made = dict.fromkeys(step.makes for step in offers.plan(deployment.spec) if step.makes)
            beside = (
                f" What it was made with may still lie there ({', '.join(made)}): that is not looked for,"
                " and is not billed by the hour."
            )
            return (
                f"It does not run at the platform any more; it is taken off the list.{beside if made else ''}"
            )
        case OperationKind.STOP:
            again = offers.refuses(OperationKind.START, as_seen(deployment))
            if not again and offers.starts_anew and is_half_known(deployment):
                again = "What it is made of is not known here in full: it may have to be deployed anew."
            return (
                "Nothing bills once the platform says stopped."
                f" {again or 'Its settings stay, to start it again.'}"
            )
        case OperationKind.START:
            low, high = settings.get("min_instances", "—"), settings.get("max_instances", "—")
            guard = offers.guard(deployment.spec.settings) if deployment.origin is Origin.OURS else ""
            return f"{low} to {high} instances bill. {guard or 'Nothing stops it by itself.'}"
        case OperationKind.ROLLBACK:
            known = "" if len(settings) > 1 else " What that version was set to is not known here."
            return (
                f"Version {settings.get(VERSION)} serves, as a new version. Its containers replace those that"
                f" serve now: while both are there, both bill.{known}"
            )
        case OperationKind.DELETE:
            return offers.leaves(deployment.spec) or "Nothing of it is left there."
        case _:
            return ""
