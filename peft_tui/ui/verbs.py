"""The verbs on deployments: their keys, and why one cannot be done now."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

from textual.binding import Binding, BindingType

from peft_tui.domain.deployment import Deployment
from peft_tui.domain.errors import PeftTuiError
from peft_tui.domain.operation import OperationKind


class Verb(Enum):
    """The value is the name of its action."""

    STOP = "stop"
    START = "start"
    UPDATE = "update"
    DELETE = "delete"
    ADOPT = "adopt"
    CANCEL = "cancel"
    ROLLBACK = "rollback"


GREYED = (*(verb.value for verb in Verb), "again")
"""The actions that come and go with what is chosen."""
CHANGING = frozenset({"new", *GREYED})
"""Actions that change something at a platform, or here what is managed."""
VERBS = {verb.value: verb for verb in Verb}

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


def why_not(verb: Verb, deployment: Deployment) -> str:
    """A sentence, or nothing where the verb is possible."""
    from peft_tui.services import reasons

    try:
        if verb is Verb.ADOPT:
            return reasons.why_not_adopt(deployment)
        if verb is Verb.CANCEL:
            return _why_not_cancel(deployment)
        return reasons.why_not(deployment, OperationKind(verb.value))
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


def why_none(verb: Verb, deployments: Sequence[Deployment]) -> str:
    """Why it is possible for none of them; empty when it is for one."""
    if not deployments:
        return "No deployment is chosen."
    reasons = [why_not(verb, deployment) for deployment in deployments]
    if not all(reasons):
        return ""
    return reasons[0] if len(reasons) == 1 else f"None of the {len(reasons)}: {reasons[0]}"
