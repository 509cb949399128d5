"""Beside or below the list: what matters of the row under the cursor."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from peft_tui.backend import Backend
from peft_tui.domain.deployment import Deployment
from peft_tui.store.deployments import HistoryLine
from peft_tui.ui.widgets.detail import Subject, folded, whole
from peft_tui.ui.widgets.lines import Lines
from peft_tui.ui.widgets.operations import Rates
from peft_tui.ui.work import start_work

MOST_KEPT = 200
"""Histories that are kept at once."""


class DetailPane(Lines):
    """Reads the history of what it is to show; draws once that is there."""

    def __init__(self, backend: Backend, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._backend = backend
        self._wanted: tuple[Deployment, datetime | None, Mapping[str, Any] | None] | None = None
        self._history: dict[str, list[HistoryLine]] = {}
        self._reading = False
        self._rates = Rates()

    def heard(self, deployment: Deployment, now: datetime) -> None:
        """It may have another history now; how quickly its steps advance is noted."""
        self._history.pop(deployment.id, None)
        if deployment.operation is not None:
            self._rates.note(deployment.operation, now)

    def follow(
        self, deployment: Deployment | None, seen: datetime | None, error: Mapping[str, Any] | None
    ) -> None:
        """Show this one, as soon as its history is read.

        Args:
            seen: when it was last seen.
            error: why its platform cannot be asked.
        """
        self._wanted = (deployment, seen, error) if deployment is not None else None
        if deployment is None:
            self.show([])
        elif deployment.id in self._history:
            self._draw()
        elif not self._reading:
            self._reading = True
            start_work(self, self._read, group="history")

    def to_top(self) -> None:
        """Another row: its first lines first."""
        self.scroll_to(y=0, animate=False)

    def _draw(self) -> None:
        if self._wanted is None:
            return
        deployment, seen, error = self._wanted
        now = self._backend.clock.now()
        operation = deployment.operation
        step = operation.current if operation and not operation.state.ended else None
        rate = self._rates.per_second(operation, step, now) if operation and step else None
        subject = Subject(deployment, now, seen, self._history[deployment.id], rate, error)
        if self.screen.has_class("-wide"):
            self.show(whole(subject, self.width))
        else:
            self.show(folded(subject, self.width, self.size.height or 6))

    async def _read(self) -> None:
        """For the row under the cursor; when it has moved meanwhile, for the next one."""
        try:
            while self._wanted is not None and (key := self._wanted[0].id) not in self._history:
                lines = await self._backend.store.deployments.history(key)
                if len(self._history) > MOST_KEPT:
                    self._history.clear()
                self._history[key] = lines
        finally:
            self._reading = False
        if self._wanted is not None and self._wanted[0].id in self._history:
            self._draw()
