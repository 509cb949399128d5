"""The wizard's configuration page, as the form of what exists: what can be changed, and what changed."""

from __future__ import annotations

from peft_tui.domain.money import Price, usd_range
from peft_tui.domain.offers import Assessment, Change, Setting
from peft_tui.services.changes import HOW
from peft_tui.text import clean_line
from peft_tui.ui.rows import UNKNOWN
from peft_tui.ui.screens.update.work import CHANGEABLE, UpdateWork, common_text
from peft_tui.ui.screens.wizard.configuration_page import ConfigurationPage, other_lines
from peft_tui.ui.screens.wizard.words import price_source
from peft_tui.ui.widgets.blocks import Block
from peft_tui.ui.widgets.lines import Line, width_of, wrapped
from peft_tui.ui.widgets.live_table import Cell

LABEL = 10


class UpdatePage(ConfigurationPage):
    """How should it run from now on?"""

    TITLE, SHORT = "Update", "Update"

    work: UpdateWork

    def __init__(self, work: UpdateWork) -> None:
        super().__init__(work)
        self.difference = Block(self.draw_difference, id="difference")

    def asked_for(self) -> list[Setting]:
        return [setting for setting in self.work.offers.settings if setting.change in CHANGEABLE]

    def choice(self, setting: Setting, assessment: Assessment | None) -> str:
        return self.draft.text(setting.key)

    def emptied(self, setting: Setting) -> str:
        return "differ" if self._differ(setting) else ""

    async def why_not(self) -> str:
        self._show_problems()
        return self.work.problem

    def note(self, setting: Setting) -> tuple[str, str]:
        note = "kept here" if setting.local else HOW[setting.change]
        if setting.key in self.work.changes:
            before = "they differ" if self._differ(setting) else self._words(setting, self._before(setting))
            return f"● {note}", f"was {before}"
        # What is kept here says so once.
        help = "" if setting.local else setting.help
        return f"  {note}", " · ".join(part for part in (setting.unit, help) if part)

    def draw_others(self, width: int) -> list[Line]:
        lines: list[Line] = []
        for setting in self.work.offers.settings:
            if setting.change is Change.CREATE_ONLY and (before := self._before(setting)):
                now = self._words(setting, before)
                lines += other_lines(setting.title, f"{now} · decided when it was created", width)
        return lines + super().draw_others(width)

    def draw_difference(self, width: int) -> list[Line]:
        """Old and new, what it costs then, and how it is done."""
        work = self.work
        changes = work.changes
        if not changes:
            return [(Cell("Nothing is different yet.", "dim"),)]
        if problem := work.problem:
            return [(Cell("✖ ", "bad"), *line) for line in wrapped(clean_line(problem, 300), width - 2)]
        lines: list[Line] = []
        hows = {line.key: line.how for line in work.previews()[0].changes}
        for key, text in changes.items():
            setting = work.offers.setting(key)
            assert setting is not None
            before = "differ" if self._differ(setting) else self._words(setting, self._before(setting))
            cells = (
                Cell(("changes" if not lines else "").ljust(LABEL), "dim"),
                Cell(f"{setting.title}  "),
                Cell(before, "dim"),
                Cell(" → "),
                Cell(self._words(setting, text), "strong"),
                Cell(f"   {hows.get(key, HOW[setting.change])}", "dim"),
            )
            lines.append(cells)
        now, then = work.bounds({}), work.bounds(changes)
        price = work.price(work.deployments[0])
        known = then.low is not None
        costs = Cell(usd_range(then.low, then.high) if known else "not known", "strong")
        words = f"now {usd_range(now.low, now.high)}" if now != then else "as now"
        if work.are_stopped:
            words = "once it is started"
        source = f"   {price_source(price, work.now)}" if isinstance(price, Price) else ""
        figures: Line = (
            Cell("costs".ljust(LABEL), "dim"),
            costs,
            Cell(f"   {words}" if known else "", "dim"),
        )
        if not known or width_of(figures) + len(source) <= width:
            lines.append((*figures, Cell(source if known else "", "dim")))
        else:
            lines += [figures, *wrapped(source, width, "dim", indent=LABEL)]
        return lines + self._steps(width)

    def _steps(self, width: int) -> list[Line]:
        first = self.work.previews()[0]
        titles = [("$ " if step.bills else "") + clean_line(step.title, 120) for step in first.steps]
        words = " → ".join(titles) or "nothing is sent: it is kept here"
        if first.rolls_out:
            words += ". It rolls out anew: what serves now may pause."
        return [
            (Cell(("steps" if number == 0 else "").ljust(LABEL), "dim"), *line)
            for number, line in enumerate(wrapped(words, width - LABEL))
        ]

    def _before(self, setting: Setting) -> str:
        return self.work.current.get(setting.key, "")

    def _differ(self, setting: Setting) -> bool:
        if len(self.work.deployments) < 2 or self._before(setting):
            return False
        return any(common_text((one,), setting) for one in self.work.deployments)

    def _words(self, setting: Setting, text: str) -> str:
        """A value for a person."""
        if not text:
            return UNKNOWN
        return clean_line(f"{dict(setting.choices).get(text, text)} {setting.unit}".strip(), 60)
