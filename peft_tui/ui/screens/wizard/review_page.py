"""Page 4: everything that was asked for, what will be done, what it costs, and what stops it."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import Horizontal

from peft_tui.domain.money import usd
from peft_tui.domain.offers import Level, Setting
from peft_tui.domain.spec import DeploymentSpec, Value
from peft_tui.text import clean_line
from peft_tui.ui.screens.wizard.checks import (
    configuration_problem,
    model_problem,
    platform_problem,
    typed_name,
)
from peft_tui.ui.screens.wizard.page import Page, Work
from peft_tui.ui.screens.wizard.words import command_line, finding_lines, price_source, unknowns
from peft_tui.ui.widgets.blocks import Block
from peft_tui.ui.widgets.lines import Line, marked, wrapped
from peft_tui.ui.widgets.live_table import Cell

_LABEL = 19
_UNGUARDED = "Nothing stops it by itself: it bills until you stop it."


class ReviewPage(Page):
    """Is this what you want?"""

    STEP, TITLE, SHORT = 4, "Review & Deploy", "Review"

    def __init__(self, work: Work) -> None:
        super().__init__(work)
        self._asked_for = Block(self._draw_asked_for, classes="column")
        self._will_happen = Block(self._draw_will_happen, classes="column")
        self._below = Block(self._draw_below, id="below")

    def compose(self) -> ComposeResult:
        with Horizontal(id="columns"):
            yield self._asked_for
            yield self._will_happen
        yield self._below

    @property
    def headline(self) -> Line:
        name = clean_line(typed_name(self.draft), 60)
        return (Cell(self.work.offers.title, "strong"), Cell(f" · {name}", "dim"))

    @property
    def foot(self) -> str:
        more = "; ↓ shows the rest" if self.max_scroll_y else ""
        return f"nothing was sent yet{more}"

    @property
    def spec(self) -> DeploymentSpec:
        return self.draft.spec(self.work.adapter.value, self.work.assessment.value)

    @property
    def command(self) -> str:
        """The same for a shell."""
        return command_line(self.spec)

    def answers_came(self) -> None:
        for block in (self._asked_for, self._will_happen, self._below):
            block.redraw()

    async def why_not(self) -> str:
        """Everything once more: an answer may have come since, or another window taken the name."""
        name = typed_name(self.draft)
        return (
            platform_problem(self.work.offers, self.work.backend.credentials.state(self.work.offers))
            or model_problem(self.work, await self.work.name_is_taken(name))
            or configuration_problem(self.work)
        )

    # Left: what was asked for

    def _draw_asked_for(self, width: int) -> list[Line]:
        spec = self.spec
        facts = [
            ("Name", spec.name),
            ("Platform", self.work.offers.title),
            ("Adapter", spec.source.reference),
            ("Base model", spec.base_model or "—"),
        ]
        left_out = []
        for setting in self.work.offers.settings:
            value = spec.settings.get(setting.key)
            if setting.key == "min_instances":
                facts.append(("Instances", f"{spec.min_instances} – {spec.max_instances}"))
            elif setting.key == "max_instances" or not setting.supported:
                continue
            elif value is None:
                left_out.append(setting.title.lower())
            else:
                facts.append((setting.title, self._words(setting, value)))
        lines: list[Line] = []
        for title, value in facts:
            first, *rest = wrapped(clean_line(value), width - _LABEL) or [()]
            lines.append((Cell(title[: _LABEL - 1].ljust(_LABEL), "dim"), *first))
            lines += [(Cell(" " * _LABEL), *line) for line in rest]
        if left_out:
            lines += wrapped(f"not given: {', '.join(left_out)}", width, "dim")
        return lines

    def _words(self, setting: Setting, value: Value) -> str:
        if setting.key == "instance_type" and (assessment := self.work.assessment.value):
            machine = assessment.instance_type(str(value))
            return (machine.title or machine.id) if machine else str(value)
        words = dict(setting.choices).get(str(value), str(value))
        return f"{words} {setting.unit}".rstrip()

    # Right: what will happen

    def _draw_will_happen(self, width: int) -> list[Line]:
        assessment = self.work.assessment.value
        cost, spec = self.draft.cost(assessment), self.spec
        lines: list[Line] = [(Cell("Costs", "dim"),)]
        low, high = usd(cost.low), usd(cost.high)
        size = max(len(low), len(high))
        ends = ((low, "least", spec.min_instances), (high, "most", spec.max_instances))
        for amount, words, count in ends:
            times = f"  {count} × {usd(cost.price.usd_per_hour)}" if cost.price else ""
            figure = Cell(f"  {amount.rjust(size)}/h", "strong")
            lines.append((figure, Cell(f" at {words}"), Cell(times, "dim")))
        lines += wrapped(price_source(cost.price, self.work.now), width, "dim", indent=2)
        lines += self._stops(width)
        if (failed := self.work.instead_of) is not None:
            words = f"{failed.remote_name}, which failed, is deleted with what it left there."
            lines += marked("−", "dim", clean_line(words, 300), width)
        lines += [(), (Cell("Steps", "dim"), Cell("   $ from here on it may bill", "dim"))]
        for number, step in enumerate(self.work.offers.plan(spec), 1):
            mark = Cell("$ " if step.bills else "  ", "warn")
            first, *rest = wrapped(step.title, width - 5)
            lines.append((mark, Cell(f"{number:>2} ", "dim"), *first))
            lines += [(Cell("     "), *line) for line in rest]
        return lines

    def _stops(self, width: int) -> list[Line]:
        if guard := self.work.offers.guard(self.spec.settings):
            return marked("✓", "good", clean_line(guard), width)
        return marked("!", "warn", _UNGUARDED, width, "warn")

    # Below, as wide as there is: what to mind, what is not known, the command

    def _draw_below(self, width: int) -> list[Line]:
        assessment = self.work.assessment.value
        spec, offers = self.spec, self.work.offers
        lines: list[Line] = []
        findings = [f for f in (assessment.findings if assessment else ()) if f.level is not Level.OK]
        lines += finding_lines(findings, width)
        machine = assessment.instance_type(spec.instance_type) if assessment else None
        cost = self.draft.cost(assessment)
        warnings = self.draft.checked(assessment).warnings
        lines += [line for words in warnings.values() for line in marked("!", "warn", words, width)]
        unknown = "; ".join(unknowns(spec, offers, cost, machine.available if machine else None))
        if unknown:
            lines += marked("?", "dim", f"Not known: {clean_line(unknown, 600)}.", width, "dim")
        lines += [(), (Cell("The same as a command", "dim"), Cell("   y copies it", "dim"))]
        return [*lines, *wrapped(self.command, width, indent=2)]
