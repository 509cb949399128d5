"""Where each credential comes from; to check, set, replace and delete it.

enter → Prompt → Credentials.set, in a worker → the workers take it up → Lookups.want(CHECK)
… the answer is written … change notice → read → the rows are drawn anew
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.screen import Screen

from peft_tui.backend import Backend
from peft_tui.credentials import Place, Rung, Vault
from peft_tui.domain.errors import PeftTuiError
from peft_tui.domain.offers import Account, CredentialField
from peft_tui.services.credentials import Holder, holders, whereabouts
from peft_tui.services.lookups import Answer, Question, Topic
from peft_tui.store import Changes
from peft_tui.text import clean_line
from peft_tui.ui.application import Application
from peft_tui.ui.keymap import named
from peft_tui.ui.screens.help import show_help
from peft_tui.ui.screens.platforms.prompt import Prompt
from peft_tui.ui.screens.platforms.rows import field_lines, store_lines
from peft_tui.ui.widgets.blocks import Block
from peft_tui.ui.widgets.keys import KeyBar
from peft_tui.ui.widgets.lines import Line, marked, width_of, wrapped
from peft_tui.ui.widgets.live_table import Cell
from peft_tui.ui.widgets.palette import ActionCommands
from peft_tui.ui.widgets.pick_list import Pick, PickList
from peft_tui.ui.work import start_work

AGES_SECONDS = 30.0
MARKS = {"bad": "✖", "warn": "!", "good": "✓"}


class FieldList(PickList):
    """The fields, with what Enter does here."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "choose", "Set", tooltip="Give it, or another in its place."),
    ]
    BINDINGS = named("credentials", BINDINGS)


class PlatformsScreen(Screen[None]):
    """A row for each field of each platform; below, where new ones are kept."""

    DEFAULT_CSS = """
    PlatformsScreen {
        background: $background; color: $foreground;
        & > #title { padding: 0 1; height: 1; margin: 0 0 1 0; }
        & > VerticalScroll {
            height: 1fr; padding: 0 1; scrollbar-size-vertical: 1; background: $background;
        }
        & > #stores, & > #told { padding: 0 1; max-height: 4; }
        &.-tiny > #title { margin: 0; }
        &.-tiny > #stores { display: none; }
    }
    """
    AUTO_FOCUS = "FieldList"
    VERTICAL_BREAKPOINTS = [(0, "-tiny"), (14, "-short"), (22, "-tall")]
    COMMANDS = {ActionCommands}
    app: Application

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("v", "check", "Check", tooltip="Ask the platform whose it is, now."),
        Binding("x", "delete", "Delete", tooltip="Wherever it is kept."),
        Binding("escape", "back", "Back", tooltip="Where you came from."),
        Binding("u", "unlock", "Unlock", tooltip="The encrypted file, or begin one with a passphrase."),
        Binding("r", "look_again", "Look again", tooltip="For a keyring that was unlocked.", show=False),
        Binding("y", "confirm", "Yes, delete", tooltip="Delete it."),
        Binding("n", "keep", "No, keep", tooltip="Leave it where it is."),
        Binding("question_mark,f1", "help", "Help", tooltip="Every key of this place."),
    ]
    BINDINGS = named("credentials", BINDINGS)

    def __init__(self, backend: Backend, platform: str = "") -> None:
        """
        Args:
            platform: where the cursor begins.
        """
        super().__init__()
        self._backend = backend
        self._holders = holders()
        self._list = FieldList()
        self._checks: dict[str, Answer[Account]] = {}
        self._asking: set[str] = set()
        self._rungs: tuple[Rung, ...] | None = None
        self._told = ("", "")
        self._deleting: CredentialField | None = None
        self._start = self._first_of(platform)

    def place(self) -> dict[str, str]:
        return {"screen": "credentials"}

    def compose(self) -> ComposeResult:
        yield Block(self._draw_title, id="title")
        with VerticalScroll(classes="-scrolls", can_focus=False):
            yield self._list
        yield Block(lambda width: store_lines(self._rungs, self._vault.fault, width), id="stores")
        yield Block(self._draw_told, id="told")
        yield KeyBar()

    def on_mount(self) -> None:
        self.app.notices.changed.subscribe(self, self._store_changed)
        self.watch(self.app, "ready", self._draw, init=False)
        self._unlisten = self._backend.credentials.listen(lambda _: self._draw())
        self.set_interval(AGES_SECONDS, self._draw)
        self._draw(cursor=self._start)
        self._work(self._read_checks)
        self._work(self._look)

    def on_unmount(self) -> None:
        self._unlisten()

    def go_to(self, platform: str) -> None:
        """Put the cursor on its first field."""
        self._draw(cursor=self._first_of(platform))

    def _first_of(self, platform: str) -> str:
        holder = next((h for h in self._holders if h.key == platform), self._holders[0])
        return holder.fields[0].env

    # What is known

    def _store_changed(self, changes: Changes) -> None:
        answered = {platform for platform, topic, _ in changes.catalog if topic == Topic.CHECK}
        if answered:
            self._asking -= answered
            self._work(self._read_checks)

    async def _read_checks(self) -> None:
        for holder in self._holders:
            if holder.checkable:
                answer = await self._backend.lookups.answer(Question(holder.key, Topic.CHECK))
                if answer is not None:
                    self._checks[holder.key] = answer
        self._draw()

    async def _look(self, again: bool = False) -> None:
        self._rungs = await self._vault.rungs(again=again)
        self.query_one("#stores", Block).redraw()

    # Drawing

    def _draw(self, cursor: str = "") -> None:
        picks = [
            Pick(field.env, partial(self._row, holder, field))
            for holder in self._holders
            for field in holder.fields
        ]
        self._list.set_picks(picks, cursor or self._list.cursor_key)
        for place in ("#title", "#stores"):
            self.query_one(place, Block).redraw()
        self.refresh_bindings()

    def _row(self, holder: Holder, field: CredentialField, width: int) -> list[Line]:
        found = whereabouts(self._backend.credentials, field)
        check, asking = self._checks.get(holder.key), holder.key in self._asking
        return field_lines(holder, found, check, asking, self._backend.clock.now(), width)

    def _draw_title(self, width: int) -> list[Line]:
        url = self._backend.sandbox_url
        beside = f"the sandbox listens at {url}" if url else "the environment always wins"
        title = (Cell("Credentials", "strong"), Cell(f"   {beside}", "dim"))
        return [title if width_of(title) <= width else title[:1]]

    def _draw_told(self, width: int) -> list[Line]:
        words, tone = self._told
        if not words:
            return []
        mark = MARKS.get(tone)
        return marked(mark, tone, words, width) if mark else wrapped(words, width)

    def _tell(self, words: str, tone: str = "") -> None:
        self._told = (words, tone)
        self.query_one("#told", Block).redraw()

    # Actions

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action in ("confirm", "keep"):
            return self._deleting is not None
        if action == "delete":
            return self._deleting is None and bool(self._places())
        if action == "check":
            holder = self._holder
            return holder.checkable and self._backend.credentials.place(holder.fields[0].env) is not None
        if action == "unlock":
            return not self.app.sandbox
        return True

    @on(PickList.Moved)
    def _moved(self) -> None:
        self._forget_question()
        self.refresh_bindings()

    @on(PickList.Chosen)
    def _chosen(self) -> None:
        self._forget_question()
        self._work(partial(self._set, self._holder, self._field))

    def action_back(self) -> None:
        if self._deleting is not None:
            self.action_keep()
        else:
            self.dismiss(None)

    async def _set(self, holder: Holder, field: CredentialField) -> None:
        place = await self._place_for_new()
        sentences = [f"{field.env} · it will be kept {_kept(place)}."]
        if self._backend.credentials.place(field.env) is Place.ENVIRONMENT:
            sentences.append("It is set in the environment too, which wins as long as it is.")
        current = "" if field.secret else self._backend.credentials.text(field.env)
        value = await self.app.push_screen_wait(
            Prompt(f"{holder.title}: {field.title}", sentences, hidden=field.secret, value=current)
        )
        if value is None:
            return
        kept = await self._backend.credentials.set(field, value, place)
        self._tell(f"{field.env} is kept {_kept(kept)}.", "good")
        self._draw()
        if holder.checkable:
            self._check(holder)

    async def _place_for_new(self) -> Place:
        """The best there is; the passphrase of a file that is there is asked for first."""
        rungs = self._rungs = await self._vault.rungs()
        best = next(rung.place for rung in rungs if rung.usable)
        if best is Place.SESSION and self._vault.is_locked and await self._unlock():
            return Place.FILE
        return best

    def action_check(self) -> None:
        self._check(self._holder)

    def _check(self, holder: Holder) -> None:
        self._asking.add(holder.key)
        self._backend.lookups.want(Question(holder.key, Topic.CHECK))
        self._draw()

    def action_delete(self) -> None:
        field = self._field
        self._deleting = field
        where = " and the ".join(self._places())
        self._tell(f"Delete {field.env} from the {where}?   y delete   n keep", "warn")
        self.refresh_bindings()

    def action_keep(self) -> None:
        self._forget_question()

    def action_confirm(self) -> None:
        field, self._deleting = self._deleting, None
        if field is not None:
            self._work(partial(self._delete, field))

    async def _delete(self, field: CredentialField) -> None:
        locked = Place.FILE in self._vault.places(field.env) and self._vault.is_locked
        if locked and not await self._unlock():
            self._tell(f"{field.env} is still in the encrypted file.", "warn")
            return
        places = await self._backend.credentials.delete(field.env)
        words = f"{field.env} was deleted from the {' and the '.join(places)}."
        if self._backend.credentials.place(field.env) is Place.ENVIRONMENT:
            words += " It is still set in the environment, which is not ours to change."
        self._tell(words, "good")
        self._draw()

    def action_unlock(self) -> None:
        self._forget_question()
        self._work(self._unlock_and_look)

    async def _unlock_and_look(self) -> None:
        if await self._unlock():
            self._tell("The encrypted file is open until the end of this session.", "good")
            await self._look()
            self._draw()

    async def _unlock(self) -> bool:
        """Ask for the passphrase until it fits; False when that was left."""
        new = not self._vault.is_locked
        sentences = ["It seals credentials.sealed in your configuration directory. Nobody can recover it."]
        if not new:
            sentences = ["It was given when the first key was kept there."]
        title = "A passphrase for an encrypted file" if new else "The passphrase of the encrypted file"
        while True:
            passphrase = await self.app.push_screen_wait(Prompt(title, sentences))
            if passphrase is None:
                return False
            if new and not await self._said_twice(passphrase):
                return False
            try:
                await self._backend.credentials.unlock(passphrase)
            except PeftTuiError as error:
                sentences = [f"{error.message} {error.hint}"]
            else:
                self._rungs = await self._vault.rungs()
                return True

    async def _said_twice(self, passphrase: str) -> bool:
        again = Prompt(
            "The same once more",
            ["So that a slip of the finger does not lock you out."],
            problem=lambda value: "" if value == passphrase else "it is not the same",
        )
        return await self.app.push_screen_wait(again) is not None

    def action_look_again(self) -> None:
        self._work(partial(self._look, True))

    def action_help(self) -> None:
        show_help(self)

    def _forget_question(self) -> None:
        if self._deleting is not None:
            self._deleting = None
            self._tell("")
            self.refresh_bindings()

    def _work(self, what: Callable[[], Awaitable[None]]) -> None:
        """In a worker: a keyring may take seconds, and a question as long as it likes."""

        async def work() -> None:
            try:
                await what()
            except PeftTuiError as error:
                self._tell(clean_line(f"{error.message} {error.hint}".strip(), 400), "bad")
                self._draw()

        start_work(self, work, group="credentials")

    # Children and places

    @property
    def _vault(self) -> Vault:
        return self._backend.credentials.vault

    @property
    def _holder(self) -> Holder:
        key = self._list.cursor_key or self._start
        return next(h for h in self._holders if any(f.env == key for f in h.fields))

    @property
    def _field(self) -> CredentialField:
        key = self._list.cursor_key or self._start
        return next(f for f in self._holder.fields if f.env == key)

    def _places(self) -> tuple[Place, ...]:
        return self._vault.places(self._field.env)


def _kept(place: Place) -> str:
    return "for this session only" if place is Place.SESSION else f"in the {place}"
