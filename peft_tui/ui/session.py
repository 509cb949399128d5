"""How the list was left: kept in the store, so that a lost line, too, opens it again as it was."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from peft_tui.ui.filter import Filter
from peft_tui.ui.order import SORTS


@dataclass(frozen=True, slots=True)
class View:
    """Filter, order and cursor."""

    sought: Filter = Filter()
    sort: tuple[str, bool] | None = None
    cursor: str | None = None
    """The deployment under the cursor."""

    def as_dict(self) -> dict[str, Any]:
        return {
            "filter": str(self.sought),
            "sort": list(self.sort) if self.sort else None,
            "cursor": self.cursor,
        }

    @classmethod
    def from_dict(cls, kept: Mapping[str, Any]) -> View:
        """What cannot be used any more is left out."""
        text, sort, cursor = kept.get("filter"), kept.get("sort"), kept.get("cursor")
        ordered = None
        if isinstance(sort, list) and len(sort) == 2 and sort[0] in SORTS:
            ordered = (str(sort[0]), bool(sort[1]))
        return cls(
            Filter.parse(text) if isinstance(text, str) else Filter(),
            ordered,
            cursor if isinstance(cursor, str) else None,
        )
