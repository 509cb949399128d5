"""Page 3: exactly the settings that this platform declares, and why the others are not there."""

from __future__ import annotations

from functools import partial

from textual import on
from textual.app import ComposeResult
from textual.widget import Widget
from textual.widgets import Input

from peft_tui.domain.money import usd
from peft_tui.domain.offers import (
    Assessment,
    Change,
    InstanceType,
    Kind,
    Setting,
)
from peft_tui.text import clean_line
from peft_tui.ui.screens.wizard.checks import configuration_problem, typed_name
from peft_tui.ui.screens.wizard.facts import LABEL
from peft_tui.ui.screens.wizard.page import Page, Work
from peft_tui.ui.widgets.blocks import Block
from peft_tui.ui.widgets.fields import Choice, FieldRow, TextField
from peft_tui.ui.widgets.lines import Line, first_part, marked, wrapped
from peft_tui.ui.widgets.live_table import Cell, fit_text
from peft_tui.ui.widgets.pick_list import Pick, PickList

_CHANGES = {
    Change.LIVE: "can be changed live",
    Change.REDEPLOY: "a change redeploys",
    Change.CREATE_ONLY: "fixed once created",
    Change.UNSUPPORTED: "",
}
_SAID = 18
"""At most so many cells are kept for what is said of a machine: a long title gives way."""


class ConfigurationPage(Page):
    """How should it run?"""

    STEP, TITLE, SHORT = 3, "Configuration", "Config"

    def __init__(self, work: Work) -> None:
        super().__init__(work)
        assessment = work.assessment.value
        self._rows = [self._row(setting, assessment) for setting in self.asked_for()]
        self._others = Block(self.draw_others, id="others")

    def compose(self) -> ComposeResult:
        if self.work.instead_of is not None:
            yield Block(self._draw_failure, classes="failure")
        yield from self._rows
        yield self._others

    def on_mount(self) -> None:
        self._show_all()

    @property
    def headline(self) -> Line:
        name = clean_line(typed_name(self.draft), 60)
        return (Cell(self.work.offers.title, "strong"), Cell(f" · {name}", "dim"))

    @property
    def first(self) -> Widget | None:
        return self._rows[0].control if self._rows else None

    def answers_came(self) -> None:
        self._show_all()

    async def why_not(self) -> str:
        self._show_problems()
        return configuration_problem(self.work)

    def help_of(self, widget: Widget) -> str:
        row = next((row for row in self._rows if row.control is widget), None)
        return row.help if row else ""

    def _draw_failure(self, width: int) -> list[Line]:
        """What went wrong with the one that gives way, for that is what is to be mended."""
        failed = self.work.instead_of
        operation = failed.operation if failed else None
        told = (operation.error or {}).get("message", "") if operation else ""
        why = told or (failed.observation.reason if failed and failed.observation else "")
        return marked(
            "✖", "bad", f"It failed: {clean_line(why, 300) or 'the platform did not say why'}", width
        )

    # What the form of a deployment that exists does otherwise

    def asked_for(self) -> list[Setting]:
        """The settings that have a field."""
        return [setting for setting in self.work.offers.settings if setting.supported]

    def choice(self, setting: Setting, assessment: Assessment | None) -> str:
        """The value of a choice."""
        return self.draft.chosen(setting, assessment)

    def emptied(self, setting: Setting) -> str:
        """What an empty field means."""
        return "" if setting.default is None else str(setting.default)

    def note(self, setting: Setting) -> tuple[str, str]:
        """A word beside the field, and what else there is to say where there is room."""
        return setting.change.value, " · ".join(part for part in (setting.unit, setting.help) if part)

    def draw_others(self, width: int) -> list[Line]:
        """The settings that have no field, each with its reason."""
        lines: list[Line] = []
        for setting in self.work.offers.settings:
            if not setting.supported:
                lines += other_lines(setting.title, setting.help, width)
        return lines

    def _row(self, setting: Setting, assessment: Assessment | None) -> FieldRow:
        control: Widget
        if setting.kind is Kind.INSTANCE_TYPE:
            control = PickList(rows=7)
        elif setting.kind is Kind.CHOICE:
            ruled_out = [v for v, _ in setting.choices if self._reason(setting, v, assessment)]
            control = Choice(setting.choices, self.choice(setting, assessment), ruled_out)
        elif setting.kind is Kind.REGION:
            control = Choice(self._regions(assessment), self.draft.text(setting.key))
        else:
            width = "number" if setting.kind is Kind.INTEGER else "words"
            control = TextField(self.draft.text(setting.key), classes=width)
            # An emptied field means the default, and says so.
            control.placeholder = self.emptied(setting)
        row = FieldRow(setting.key, setting.title, control, help=_whole_help(setting))
        row.put_note_below(setting.kind is Kind.INSTANCE_TYPE or bool(self._reasons(setting)))
        row.set_class(setting.kind is Kind.INSTANCE_TYPE, "-list")
        return row

    # What is typed and chosen

    @on(Input.Changed, "TextField")
    def _typed(self, event: Input.Changed) -> None:
        event.stop()
        row = self._row_of(event.input)
        # A field says so too when it is filled for the first time.
        if event.value != self.draft.text(row.key):
            self._keep(row, event.value)

    @on(Choice.Turned)
    def _turned(self, event: Choice.Turned) -> None:
        event.stop()
        self._keep(self._row_of(event.choice), event.value)

    @on(PickList.Moved)
    def _picked(self, event: PickList.Moved) -> None:
        event.stop()
        self._keep(self._row_of(event.pick_list), event.key)
        self._show_regions()

    def _row_of(self, control: Widget) -> FieldRow:
        return next(row for row in self._rows if row.control is control)

    def _keep(self, row: FieldRow, text: str) -> None:
        self.draft.type(row.key, text)
        self._show_problems()
        self.post_message(self.Changed())

    @on(Input.Submitted, "TextField")
    @on(Choice.Confirmed)
    @on(PickList.Chosen)
    def _entered(self, event: Input.Submitted | Choice.Confirmed | PickList.Chosen) -> None:
        event.stop()
        if self._rows and self.screen.focused is self._rows[-1].control:
            self.post_message(self.Done(self))
        else:
            self.screen.focus_next()

    # What is shown

    def _show_all(self) -> None:
        assessment = self.work.assessment.value
        for row in self._rows:
            if isinstance(row.control, PickList):
                machines = assessment.instance_types if assessment else ()
                picks = [Pick(m.id, partial(_machine, m, machines)) for m in machines]
                setting = self.work.offers.setting(row.key)
                assert setting is not None
                row.control.set_picks(picks, self.choice(setting, assessment))
        self._show_regions()
        self._show_problems()
        self._others.redraw()

    def _show_regions(self) -> None:
        """They are those of the instance type that is chosen now."""
        for row in self._rows:
            setting = self.work.offers.setting(row.key)
            if setting is not None and setting.kind is Kind.REGION and isinstance(row.control, Choice):
                row.control.offer(self._regions(self.work.assessment.value), self.draft.text(row.key))

    def _regions(self, assessment: Assessment | None) -> list[tuple[str, str]]:
        wanted = next(s for s in self.work.offers.settings if s.kind is Kind.INSTANCE_TYPE)
        machine = assessment.instance_type(self.choice(wanted, assessment)) if assessment else None
        found = machine.regions if machine else {}
        named = [(key, clean_line(f"{key} · {words}" if words else key, 60)) for key, words in found.items()]
        return [("", "anywhere"), *named]

    def _show_problems(self) -> None:
        checked = self.draft.checked(self.work.assessment.value)
        for row in self._rows:
            setting = self.work.offers.setting(row.key)
            assert setting is not None
            problem, warning = checked.problems.get(row.key, ""), checked.warnings.get(row.key, "")
            reasons = self._reasons(setting)
            note, more = self.note(setting)
            row.tell(note, more, problem=problem, warning=warning, aside=reasons)
            if setting.kind is Kind.INSTANCE_TYPE:
                row.note.display = bool(problem or warning)

    def _reasons(self, setting: Setting) -> str:
        """Why some of its choices do not apply to this adapter."""
        assessment = self.work.assessment.value
        found = [(v, self._reason(setting, v, assessment)) for v, _ in setting.choices]
        return " · ".join(f"not “{value}”: {reason}" for value, reason in found if reason)

    def _reason(self, setting: Setting, value: str, assessment: Assessment | None) -> str:
        return clean_line(assessment.unsupported.get(f"{setting.key}={value}", "")) if assessment else ""


def other_lines(title: str, words: str, width: int) -> list[Line]:
    """A setting without a field."""
    first, *rest = wrapped(words, width - LABEL, "dim")
    head = f"– {title}"
    return [
        (Cell(fit_text(head if len(head) < LABEL else title, LABEL - 1) + " ", "dim"), *first),
        *((Cell(" " * LABEL), *line) for line in rest),
    ]


def _whole_help(setting: Setting) -> str:
    """Everything about a setting, for the foot of the screen."""
    parts = [setting.unit, setting.help, _CHANGES[setting.change]]
    return " · ".join(part for part in parts if part)


def _machine(machine: InstanceType, all_of_them: tuple[InstanceType, ...], width: int) -> list[Line]:
    """Title, price, availability: each in its column."""
    prices = [usd(m.price.usd_per_hour if m.price else None) for m in all_of_them]
    titles = [clean_line(m.title or m.id, 60) for m in all_of_them]
    price_cells = max(map(len, prices)) + 2
    said = (first_part(clean_line(m.availability, 80), _SAID) for m in all_of_them)
    kept = max(map(len, said), default=0)
    title_cells = min(max(map(len, titles)), max(width - price_cells - 4 - kept, 8))
    price = usd(machine.price.usd_per_hour if machine.price else None)
    left = width - title_cells - price_cells - 4
    words = clean_line(machine.availability, 80)
    if machine.available is False:
        words = f"! {words or 'none free'}"
    line = (
        Cell(fit_text(clean_line(machine.title or machine.id, 60), title_cells, "left", "middle")),
        Cell("  " + f"{price}/h".rjust(price_cells)),
        Cell("  "),
        Cell(
            fit_text(first_part(words, left), max(left, 0)), "warn" if machine.available is False else "dim"
        ),
    )
    return [line]
