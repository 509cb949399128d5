"""Page 2: the name, the adapter, and how it fits the platform."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.timer import Timer
from textual.widget import Widget
from textual.widgets import Input

from peft_tui.domain.adapter import SourceKind
from peft_tui.services.lookups import Question, Topic
from peft_tui.text import clean_line
from peft_tui.ui.screens.wizard.checks import model_problem, typed_name
from peft_tui.ui.screens.wizard.draft import derived_name, numbered
from peft_tui.ui.screens.wizard.facts import adapter_lines, base_lines, fit_lines
from peft_tui.ui.screens.wizard.model_list import model_picks
from peft_tui.ui.screens.wizard.page import Page, Work
from peft_tui.ui.screens.wizard.words import source_title
from peft_tui.ui.widgets.blocks import Block
from peft_tui.ui.widgets.fields import FieldRow, TextField
from peft_tui.ui.widgets.lines import Line, marked, wrapped
from peft_tui.ui.widgets.live_table import Cell
from peft_tui.ui.widgets.pick_list import Pick, PickList
from peft_tui.ui.work import start_work

DEBOUNCE_S = 0.3
_KINDS = tuple(SourceKind)
_TITLES = {
    SourceKind.DIRECTORY: ("Directory", "ctrl+o browses"),
    SourceKind.HUGGING_FACE: ("Hugging Face id", "owner/name, or owner/name@revision"),
    SourceKind.PLATFORM: ("Id there", "type it, or pick it from the list"),
}


class ModelPage(Page):
    """What should be served, and under which name?"""

    STEP, TITLE, SHORT = 2, "Model", "Model"

    def __init__(self, work: Work) -> None:
        super().__init__(work)
        self._name_field = TextField(self.draft.name, classes="wide")
        self._title_row = FieldRow(
            "name", "Name", self._name_field, help="of the deployment; empty, it is taken from the adapter"
        )
        self._kinds = PickList()
        self._kinds_row = FieldRow("kind", "Adapter from", self._kinds)
        self._kinds_row.put_note_below()
        self._kinds_row.note.display = False
        self._reference = TextField(self.draft.reference, classes="whole")
        self._reference_row = FieldRow("source", "", self._reference)
        self._reference_row.put_note_below()
        self._models = PickList(rows=6)
        self._models_row = FieldRow("models", "", self._models)
        self._models_row.put_note_below()
        self._facts = Block(self._draw_facts, id="facts")
        self._settling: Timer | None = None
        self._tried = False
        self._taken: dict[str, bool] = {}

    def compose(self) -> ComposeResult:
        yield self._title_row
        with Vertical(classes="group"):
            yield self._kinds_row
            yield self._reference_row
            yield self._models_row
        yield self._facts

    def on_mount(self) -> None:
        self._show_kinds()
        self._show_reference()
        self.answers_came()
        self._check_name()

    @property
    def headline(self) -> Line:
        account = self.work.account.value
        words = [account.title or account.id, account.detail] if account else []
        said = " · ".join(clean_line(word, 60) for word in words if word)
        return (Cell(self.work.offers.title, "strong"), Cell(f" · {said}" if said else "", "dim"))

    @property
    def first(self) -> Widget:
        return self._name_field

    def questions(self) -> Iterable[Question]:
        there = self.draft.kind is SourceKind.PLATFORM
        models = [Question(self.draft.platform, Topic.MODELS)] if there else []
        return [*models, *self.work.questions()]

    def answers_came(self) -> None:
        if self.draft.source is not None and self.work.adapter.value is not None:
            self.post_message(self.Wanted(*self.questions()))
        self._show_models()
        self._facts.redraw()
        self._derive_name()

    async def why_not(self) -> str:
        self._tried = True
        self._settle()
        if not self.draft.name_is_typed:
            # The worker that does this may not have come to it yet.
            await self._derive()
        name = typed_name(self.draft)
        taken = bool(name) and await self.work.name_is_taken(name)
        self._taken[name] = taken
        self._show_name()
        self._show_reference_note()
        return model_problem(self.work, taken)

    def help_of(self, widget: Widget) -> str:
        if widget is self._name_field:
            rule = self.work.offers.name_rule
            return f"{rule.words}, at most {rule.max_length}; empty, it is taken from the adapter"
        if widget is self._kinds:
            return self.work.offers.sources[self.draft.kind]
        if widget is self._models:
            return "what lies there already: enter takes it"
        more = " · pgdn shows the rest" if self.max_scroll_y > self.scroll_y else ""
        return _TITLES[self.draft.kind][1] + more

    def browsed(self, path: str) -> None:
        """A directory was picked in the browser."""
        self.draft.choose_kind(SourceKind.DIRECTORY)
        self.draft.type_reference(path)
        self._show_kinds()
        self._show_reference()
        self._settle()
        self._reference.focus()

    # The name

    @on(Input.Changed, "TextField")
    def _typed(self, event: Input.Changed) -> None:
        event.stop()
        if event.input is self._name_field and event.value != self.draft.name:
            self.draft.type_name(event.value)
            self._tried = True
            self._check_name()
            self.post_message(self.Changed())
        elif event.input is self._reference and event.value != self.draft.reference:
            self.draft.type_reference(event.value)
            self._reference_changed()

    def _check_name(self) -> None:
        self._show_name()
        start_work(self, self._look_name_up, group="name", exclusive=True)

    async def _look_name_up(self) -> None:
        name = typed_name(self.draft)
        if name and name not in self._taken:
            self._taken[name] = await self.work.name_is_taken(name)
            self._show_name()

    def _show_name(self) -> None:
        name = typed_name(self.draft)
        problem = self.draft.name_problem if name or self._tried else ""
        if not problem and self._taken.get(name):
            problem = "taken by another deployment here"
        note = "" if name else "empty: taken from the adapter"
        self._title_row.tell(note, problem=problem)

    def _derive_name(self) -> None:
        if not self.draft.name_is_typed:
            start_work(self, self._derive, group="derive", exclusive=True)

    async def _derive(self) -> None:
        source, rule = self.draft.source, self.work.offers.name_rule
        there = source is not None and source.kind is SourceKind.PLATFORM
        known = self.work.assessment.value if there else self.work.adapter.value
        if source is None or known is None or not (name := derived_name(source, rule)):
            return
        wanted, number = name, 1
        while await self.work.name_is_taken(name):
            number += 1
            name = numbered(wanted, number, rule)
        if not self.draft.name_is_typed and self.draft.source == source:
            self.draft.name = name
            self._taken[name] = False
            with self.prevent(Input.Changed):
                self._name_field.value = name
            self._show_name()

    # Where the adapter comes from

    @on(PickList.Moved)
    def _picked(self, event: PickList.Moved) -> None:
        event.stop()
        if event.pick_list is self._kinds:
            self.draft.choose_kind(SourceKind(event.key))
            self._tried = False
            self._show_kinds()
            self._show_reference()
            self._reference_changed()

    @on(PickList.Chosen)
    def _confirmed(self, event: PickList.Chosen) -> None:
        event.stop()
        if event.pick_list is self._kinds:
            self._reference.focus()
        else:
            self._reference.value = event.key
            self._settle()
            self._reference.focus()

    @on(Input.Submitted, "TextField")
    def _entered(self, event: Input.Submitted) -> None:
        event.stop()
        if event.input is self._name_field:
            self.screen.focus_next()
        else:
            self.post_message(self.Done(self))

    def _reference_changed(self) -> None:
        self._show_reference_note()
        self._show_models()
        self._facts.redraw()
        if self._settling is not None:
            self._settling.stop()
        self._settling = self.set_timer(DEBOUNCE_S, self._settle)
        self.post_message(self.Changed())

    def _settle(self) -> None:
        """The typing paused or ended: ask."""
        if self._settling is not None:
            self._settling.stop()
            self._settling = None
        self.post_message(self.Wanted(*self.questions()))
        self._show_reference_note()
        self._facts.redraw()

    # What is shown

    def _show_kinds(self) -> None:
        offers = self.work.offers
        picks = []
        for kind in _KINDS:
            how, why_not = offers.sources.get(kind, ""), offers.no_sources.get(kind, "")
            if how or why_not:
                title = source_title(kind, offers)
                picks.append(Pick(kind, partial(_kind_row, title, how, why_not), disabled=not how))
        self._kinds.set_picks(picks, self.draft.kind)

    def _show_reference(self) -> None:
        self._reference_row.title = _TITLES[self.draft.kind][0]
        self._reference_row.query_one(".title", Block).redraw()
        with self.prevent(Input.Changed):
            self._reference.value = self.draft.reference
        self._show_reference_note()
        self._show_models()

    def _show_reference_note(self) -> None:
        problem = self.draft.source_problem
        shown = problem if self.draft.reference.strip() or self._tried else ""
        self._reference_row.tell(problem=shown)
        self._reference_row.note.display = bool(shown)

    def _show_models(self) -> None:
        row = self._models_row
        row.display = self.draft.kind is SourceKind.PLATFORM
        if row.display:
            look = self.work.answers.models(self.draft.platform)
            picks, words = model_picks(look, self.draft.reference, self.work.offers.title)
            self._models.display = bool(picks)
            self._models.set_picks(picks, self._models.cursor_key)
            row.note.display = not picks
            row.note.put(words)

    def _draw_facts(self, width: int) -> list[Line]:
        return [
            *adapter_lines(self.work, width),
            *base_lines(self.work, width),
            (),
            *fit_lines(self.work, width),
        ]


def _kind_row(title: str, how: str, why_not: str, width: int) -> list[Line]:
    head = title.ljust(15)
    lines = wrapped(how, width - 15, "dim") if how else marked("–", "dim", why_not, width - 15, "dim")
    first, *rest = lines
    return [(Cell(head, "" if how else "dim"), *first), *((Cell(" " * 15), *line) for line in rest)]
