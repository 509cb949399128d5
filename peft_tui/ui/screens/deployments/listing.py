"""What the list shows: which deployments, in which order, and the row of each. No widget, no store."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING

from peft_tui.domain.deployment import Deployment
from peft_tui.pace import Pace
from peft_tui.services.deployments import Summary, summarize
from peft_tui.store.platforms import PlatformHealth
from peft_tui.ui.filter import Filter
from peft_tui.ui.marks import Marks
from peft_tui.ui.order import ordered
from peft_tui.ui.rows import table_row
from peft_tui.ui.status import in_time, is_moving, list_age, next_change, seen_at
from peft_tui.ui.theme import plain
from peft_tui.ui.widgets.live_table import Cell, Row

if TYPE_CHECKING:
    from peft_tui.services.figures import Brief


class Listing:
    """Rows are kept until something is heard of their deployment, or until they grow visibly older."""

    def __init__(self, pace: Pace) -> None:
        self._pace = pace
        self.deployments: dict[str, Deployment] = {}
        self.health: Mapping[str, PlatformHealth] = {}
        self.shown: list[str] = []
        """Keys of those that the filter leaves, in their order."""
        self.sought = Filter()
        self.sort: tuple[str, bool] | None = None
        """The column, and whether downwards; None is newest first."""
        self.marks = Marks()
        self.ascii_only = False
        self._briefs: dict[str, Brief] = {}
        self._drawn: dict[str, tuple[Row, datetime]] = {}
        """The row of each, and until when it stays as it is if nothing is heard."""
        self._ages: dict[str, str] = {}
        """How old each platform's list looked the last time."""

    # What is told

    def take(self, found: Iterable[Deployment]) -> None:
        """News of these."""
        for deployment in found:
            self.deployments[deployment.id] = deployment
            self._drawn.pop(deployment.id, None)

    def drop(self, keys: Iterable[str]) -> None:
        """These are not there any more."""
        for key in keys:
            self.deployments.pop(key, None)
            self._drawn.pop(key, None)

    def take_figures(self, briefs: Mapping[str, Brief]) -> None:
        """What they did and cost so far."""
        for key, brief in briefs.items():
            if self._briefs.get(key) != brief:
                self._briefs[key] = brief
                self._drawn.pop(key, None)

    # What is asked

    def arrange(self) -> None:
        """Which are shown, and where, after news, another filter or another order."""
        visible = [d for d in self.deployments.values() if self.sought.admits(d)]
        order = [deployment.id for deployment in ordered(visible, self.sort, self._briefs)]
        if len(self.marks):
            # While one marks, nothing changes places under one's hands.
            places = {key: place for place, key in enumerate(self.shown)}
            order.sort(key=lambda key: places.get(key, len(places)))
        self.shown = order

    def rows(self, now: datetime, *, always: bool = False, most: int | None = None) -> list[Row] | None:
        """The row of each that is shown, or of the first; None when all are as they were, unless `always`."""
        fresh = self._pace.fresh_seconds
        ages = {platform: list_age(health, now, fresh) for platform, health in self.health.items()}
        moved = {platform for platform, age in ages.items() if self._ages.get(platform) != age}
        self._ages = ages
        news = always
        for key in self.shown[:most]:
            deployment = self.deployments[key]
            drawn = self._drawn.get(key)
            if drawn is not None and now < drawn[1] and deployment.platform not in moved:
                continue
            seen = self.seen(deployment, now)
            row = table_row(deployment, now, seen, self._briefs.get(key))
            if self.ascii_only:
                row = Row(row.key, tuple(Cell(plain(c.text), c.tone, plain(c.short)) for c in row.cells))
            self._drawn[key] = (row, next_change(deployment, now, seen))
            news |= drawn is None or drawn[0] != row
        return [self._drawn[key][0] for key in self.shown[:most]] if news else None

    def seen(self, deployment: Deployment, now: datetime) -> datetime | None:
        """When it was last seen."""
        health = self.health.get(deployment.platform)
        seen = seen_at(deployment, health)
        return in_time(seen, now, self._pace.fresh_seconds)

    @property
    def moves(self) -> bool:
        """Whether anything is under way or starts up."""
        return any(is_moving(deployment) for deployment in self.deployments.values())

    def summary(self) -> Summary:
        return summarize(self.deployments.values())

    def document(self, kind: str) -> str:
        """What is shown, in its order, in one of the forms of `services.export`."""
        from peft_tui.services import export

        return export.listing(kind, [self.deployments[key] for key in self.shown], self._briefs)

    def marked(self) -> list[Deployment]:
        """In the order in which they were marked."""
        return [self.deployments[key] for key in self.marks.keys if key in self.deployments]
