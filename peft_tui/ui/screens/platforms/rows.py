"""What the screen says of each credential, as lines."""

from __future__ import annotations

from datetime import datetime

from peft_tui.credentials import Place, Rung
from peft_tui.domain.ages import ago
from peft_tui.domain.offers import Account
from peft_tui.services.credentials import Holder, Whereabouts
from peft_tui.services.lookups import Answer
from peft_tui.text import clean_line
from peft_tui.ui.widgets.lines import Line, clipped, marked, wrapped
from peft_tui.ui.widgets.live_table import Cell

TITLE_CELLS = 15
NAME_CELLS = 24
NARROW = 62
"""Below that many cells the title has a line of its own."""
NARROWER = 46
"""And below that many what is said of a field too."""


def field_lines(
    holder: Holder,
    found: Whereabouts,
    check: Answer[Account] | None,
    asking: bool,
    now: datetime,
    width: int,
) -> list[Line]:
    """The row of one field; the holder's title stands beside its first one, what it said below."""
    first = found.field is holder.fields[0]
    narrow = width < NARROW
    title = holder.title if first else ""
    indent = 2 if narrow else TITLE_CELLS
    lines: list[Line] = []
    if narrow and first:
        lines.append((Cell(title),))
    head = Cell(" " * indent) if narrow else Cell(title.ljust(TITLE_CELLS))
    if width < NARROWER:
        lines.append(clipped((head, Cell(found.field.env)), width))
        lines.append(clipped((Cell(" " * indent), *_state(found)), width))
    else:
        name = Cell(found.field.env.ljust(NAME_CELLS) + " ")
        lines.append(clipped((head, name, *_state(found)), width))
    room = max(width - indent, 8)
    said: list[Line] = []
    if found.trouble:
        said += marked("!", "warn", f"{found.trouble}: u unlocks", room, "dim")
    if found.unused and found.source is Place.ENVIRONMENT:
        said += wrapped(f"also in the {' and the '.join(found.unused)}, not used", room, "dim")
    if first and holder.checkable and found.source is not None:
        said += _checked(check, asking, now, room)
    lines += [(Cell(" " * indent), *line) for line in said]
    if found.field is holder.fields[-1]:
        lines.append(())
    return lines


def _state(found: Whereabouts) -> Line:
    if found.source is not None:
        where = Cell(str(found.source))
        value = (Cell(f"  {clean_line(found.value, 80)}", "dim"),) if found.value else ()
        return (Cell("✓ ", "good"), where, *value)
    if found.trouble:
        return (Cell("! ", "warn"), Cell("locked"))
    if found.field.required:
        return (Cell("✖ ", "bad"), Cell("not set"))
    return (Cell("· ", "dim"), Cell(found.field.default or "not set, optional", "dim"))


def _checked(check: Answer[Account] | None, asking: bool, now: datetime, width: int) -> list[Line]:
    if asking:
        return [(Cell("  asking whose it is…", "dim"),)]
    if check is None:
        return [(Cell("  v asks the platform whose it is", "dim"),)]
    age = ago(check.fetched_at, now)
    if check.error is not None:
        lines = marked("✖", "bad", check.error.message, width)
        return [*lines, *wrapped(f"{clean_line(check.error.hint)}  {age}", width, "dim", indent=2)]
    assert check.value is not None
    parts = (check.value.title or check.value.id, check.value.detail)
    words = " · ".join(clean_line(part, 80) for part in parts if part)
    first, *rest = marked("✓", "good", words, width)
    return [(*first, Cell(f"  {age}", "dim")), *rest]


def store_lines(rungs: tuple[Rung, ...] | None, fault: str, width: int) -> list[Line]:
    """Where a new one will be kept, and what is in the way of anything better."""
    if rungs is None:
        return [(Cell("Looking for a keyring…", "dim"),)]
    lines = marked("!", "warn", fault, width) if fault else []
    best = next((rung for rung in rungs if rung.usable), rungs[-1])
    if best.place is Place.SESSION:
        lines += wrapped("New ones are kept for this session only.", width)
    else:
        lines += wrapped(f"New ones are kept in the {best.place}: {best.words}.", width)
    above = [rung for rung in rungs[: rungs.index(best)] if not rung.usable]
    if above:
        lines += wrapped("; ".join(f"{rung.place}: {rung.words}" for rung in above), width, "dim")
    return lines
