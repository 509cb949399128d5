"""How the screens were left: kept in the store, so that a lost line, too, opens them again as they were."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from peft_tui.store import StoreError
from peft_tui.store.views import Views
from peft_tui.ui.filter import Filter
from peft_tui.ui.order import DOWNWARDS

REST_SECONDS = 0.5
"""How long something stays as it is before it is written down."""
MARKS_LAST = timedelta(hours=12)
"""Marks that are older are forgotten: what is done is done to all marked."""


class ViewKeeper:
    """Writes down how something is once it has been so for a moment; what is equal is not written again."""

    def __init__(self, views: Views, name: str) -> None:
        self._views = views
        self._name = name
        self._written: Mapping[str, Any] = {}
        self._wanted: Mapping[str, Any] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._writing: asyncio.Task[None] | None = None

    async def read(self) -> dict[str, Any]:
        """As it was left; empty when it never was, or when that cannot be read."""
        await self.close()
        found: dict[str, Any] = {}
        with suppress(StoreError):
            found = await self._views.get(self._name)
        self._written = self._wanted = found
        return found

    def keep(self, document: Mapping[str, Any], after: float = REST_SECONDS) -> None:
        """Write this, soon."""
        self._wanted = document
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(after, self._write_soon)

    async def write(self, document: Mapping[str, Any]) -> None:
        """Write this, at once."""
        self.keep(document)
        await self.close()

    def drop(self) -> None:
        """Do not write what is still to be written."""
        self._wanted = self._written

    async def close(self) -> None:
        """Write what is still to be written, and nothing after that."""
        if self._timer is not None:
            self._timer.cancel()
        if self._writing is not None:
            await self._writing
        await self._write()

    def _write_soon(self) -> None:
        if self._writing is None or self._writing.done():
            self._writing = asyncio.ensure_future(self._write())
        else:
            self.keep(self._wanted)

    async def _write(self) -> None:
        wanted = self._wanted
        if _lasting(wanted) != _lasting(self._written):
            with suppress(StoreError):
                await self._views.put(self._name, wanted)
                self._written = wanted


def _lasting(document: Mapping[str, Any]) -> dict[str, Any]:
    """Without when it was written."""
    return {key: value for key, value in document.items() if key != "at"}


@dataclass(frozen=True, slots=True)
class View:
    """Filter, order, cursor, marks and columns of the list."""

    sought: Filter = Filter()
    sort: tuple[str, bool] | None = None
    cursor: str | None = None
    """The deployment under the cursor."""
    marks: tuple[str, ...] = ()
    hidden: frozenset[str] = frozenset()
    """Columns that the person does not want to see."""

    def as_dict(self, now: datetime) -> dict[str, Any]:
        return {
            "filter": str(self.sought),
            "sort": list(self.sort) if self.sort else None,
            "cursor": self.cursor,
            "marks": list(self.marks),
            "hidden": sorted(self.hidden),
            "at": now.isoformat(),
        }

    @classmethod
    def from_dict(cls, kept: Mapping[str, Any], now: datetime) -> View:
        """What cannot be used any more is left out."""
        text, sort, cursor = kept.get("filter"), kept.get("sort"), kept.get("cursor")
        ordered = None
        if isinstance(sort, list) and len(sort) == 2 and sort[0] in DOWNWARDS:
            ordered = (str(sort[0]), bool(sort[1]))
        recent = now - _moment(kept.get("at"), now) < MARKS_LAST
        return cls(
            Filter.parse(text) if isinstance(text, str) else Filter(),
            ordered,
            cursor if isinstance(cursor, str) else None,
            _texts(kept.get("marks")) if recent else (),
            frozenset(_texts(kept.get("hidden"))),
        )


def _texts(kept: object) -> tuple[str, ...]:
    return tuple(text for text in kept if isinstance(text, str)) if isinstance(kept, list) else ()


def _moment(kept: object, otherwise: datetime) -> datetime:
    try:
        found = datetime.fromisoformat(kept) if isinstance(kept, str) else otherwise
    except ValueError:
        return otherwise
    return found if found.tzinfo is not None else otherwise
