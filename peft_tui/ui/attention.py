"""Tells a person who looks elsewhere that a deployment is up, or failed: bell and desktop notice.

They travel through the terminal, the only thing of the person's that is here over SSH. tmux and screen hand
nothing on that is not wrapped; they do turn the bell into a mark on the window.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from peft_tui.domain.deployment import Deployment
from peft_tui.domain.errors import PeftTuiError
from peft_tui.domain.operation import OperationState
from peft_tui.domain.status import Status
from peft_tui.text import clean_line

BELL = "\a"
MOST_CELLS = 120
_SPEAK_777 = ("rxvt", "foot")


class Watch:
    """Finds what is worth a notice: what became active or failed since it was last seen."""

    def __init__(self) -> None:
        self._before: dict[str, tuple[Status, bool]] = {}

    def news(self, deployments: Iterable[Deployment], *, first: bool = False) -> list[str]:
        """A sentence for each turn. What is seen for the first time at the start is no news."""
        sentences = []
        for deployment in deployments:
            operation = deployment.operation
            failed = operation is not None and operation.state is OperationState.FAILED
            now = (deployment.status, failed)
            before = self._before.get(deployment.id)
            self._before[deployment.id] = now
            if first or before is None or before == now:
                continue
            if words := _turn(deployment, before, now):
                sentences.append(words)
        return sentences


def _turn(deployment: Deployment, before: tuple[Status, bool], now: tuple[Status, bool]) -> str:
    name, operation = clean_line(deployment.name, 60), deployment.operation
    if now[1] and not before[1] and operation is not None:
        error = PeftTuiError.from_dict(dict(operation.error or {}))
        return f"{name}: {operation.kind.value} failed. {clean_line(error.message, 80)}".rstrip()
    if now[0] is Status.FAILED and before[0] is not Status.FAILED:
        reason = deployment.observation.reason if deployment.observation else ""
        return f"{name} has failed. {clean_line(reason, 80)}".rstrip()
    if now[0] is Status.ACTIVE and before[0] in (Status.PENDING, Status.DEPLOYING):
        return f"{name} is active on {clean_line(deployment.platform, 40)}"
    return ""


def notice(text: str, environ: Mapping[str, str]) -> str:
    """What makes the terminal tell `text`: always the bell, and a desktop notice where one may be shown."""
    # A semicolon divides the fields of these sequences.
    text = clean_line(text, MOST_CELLS).replace(";", ",")
    terminal = environ.get("TERM", "")
    if terminal in ("linux", "dumb", ""):
        return BELL
    # Terminals that know both would tell it twice.
    if environ.get("VTE_VERSION") or terminal.startswith(_SPEAK_777):
        sequence = f"\x1b]777;notify;peft-tui;{text}{BELL}"
    else:
        sequence = f"\x1b]9;peft-tui: {text}{BELL}"
    if environ.get("TMUX"):
        # Needs `allow-passthrough on`; without it tmux drops this and keeps the bell.
        sequence = "\x1bPtmux;" + sequence.replace("\x1b", "\x1b\x1b") + "\x1b\\"
    elif environ.get("STY") or terminal.startswith("screen"):
        sequence = f"\x1bP{sequence}\x1b\\"
    return sequence + BELL
