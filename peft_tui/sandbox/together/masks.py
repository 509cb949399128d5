"""Update masks: which fields a PATCH is about."""

from __future__ import annotations

import re
from typing import Any

from peft_tui.sandbox.together.access import Call


def mask(call: Call, body: dict[str, Any], known: tuple[str, ...]) -> list[str]:
    """The paths to update: the query's `updateMask`, or else what the body fills.

    An empty list in the body counts as absent unless the mask names it.

    Raises:
        Refusal: 400 for an unknown path or nothing to do.
    """
    text = call.query.get("updateMask", "").strip()
    if text:
        paths = [_camel(p.strip()) for p in text.split(",") if p.strip()]
    else:
        paths = [k for k, v in body.items() if k in known and v not in (None, [], {}, "")]
    for path in paths:
        if path.partition(".")[0] not in known:
            raise call.refuse(400, f"Invalid Argument: update mask has unknown path {path!r}")
    if not paths:
        raise call.refuse(400, "Invalid Argument: no fields to update")
    return paths


def _camel(path: str) -> str:
    return re.sub(r"_([a-z])", lambda m: m.group(1).upper(), path)
