"""The line of parameters: each checked as it is typed, and what is wrong said below."""

from __future__ import annotations

from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.events import Resize
from textual.message import Message
from textual.widgets import Input

from peft_tui.domain.errors import ConfigurationInvalid
from peft_tui.domain.inference import MAX_STOP, InferenceTarget, PromptRequest, ServedModel
from peft_tui.services.parameters import number, seed
from peft_tui.text import clean, clean_line
from peft_tui.ui.widgets.blocks import Block
from peft_tui.ui.widgets.fields import Choice
from peft_tui.ui.widgets.lines import Line, clipped
from peft_tui.ui.widgets.live_table import Cell

FIELDS = (
    ("max_tokens", "max tokens", "max", "100", 7),
    ("temperature", "temperature", "temp", "0.7", 5),
    ("top_p", "top-p", "p", "0.9", 5),
    ("seed", "seed", "seed", "", 6),
    ("stop", "stop", "stop", "", None),
)
"""Key, title, the same in few letters, what stands there, and the cells for it; None: all that are left."""
NARROW = 76
"""Below this many cells the titles have few letters."""


class Small(Input):
    """Some cells to type in; as many as there are where no width is given."""

    DEFAULT_CSS = """
    Small { height: 1; border: none; padding: 0 1; background: $panel; margin-right: 1; }
    Small:focus { border: none; background: $panel; }
    """

    def __init__(self, value: str, width: int | None, *, id: str, placeholder: str = "—") -> None:
        super().__init__(value, placeholder, compact=True, select_on_focus=False, id=id)
        self.cursor_blink = False
        self.styles.width = "1fr" if width is None else width

    def validate_value(self, value: str) -> str:
        return clean(value.replace("\n", " ").replace("\t", " "))


class Title(Block):
    """What stands before a field."""

    def __init__(self, text: str, width: int | None = None, *, short: str = "") -> None:
        super().__init__(classes="title")
        self._text, self._short, self._wanted = text, short or text, width
        self.fit(narrow=False)

    def fit(self, *, narrow: bool) -> None:
        """Take the room that there is."""
        text = self._short if narrow else self._text
        self.styles.width = self._wanted or len(text) + 2
        self.put(lambda _: [(Cell(f" {text}", "dim"),)])


class Parameters(Vertical):
    """System message, parameters, and which model."""

    DEFAULT_CSS = """
    Parameters {
        height: auto;
        & > Horizontal { height: 1; width: 1fr; }
        & .title { width: auto; height: 1; }
        & #wrong { height: auto; }
    }
    """

    class Changed(Message):
        """Something was typed or chosen."""

    def __init__(self) -> None:
        super().__init__()
        self._problems: dict[str, str] = {}
        self._model = ""

    def compose(self) -> ComposeResult:
        with Horizontal():
            yield Title("system", 12)
            yield Small("", None, id="system", placeholder="no system message")
        with Horizontal(id="row"):
            for key, title, short, default, width in FIELDS:
                yield Title(title, short=short)
                yield Small(default, width, id=key)
        yield Horizontal(id="models")
        yield Block(self._wrong, id="wrong")

    def on_resize(self, event: Resize) -> None:
        for title in self.query_one("#row").query(Title):
            title.fit(narrow=event.size.width < NARROW)

    async def show_models(self, target: InferenceTarget) -> None:
        """Let one choose where there are several."""
        line = self.query_one("#models", Horizontal)
        await line.remove_children()
        line.display = len(target.models) > 1
        if len(target.models) > 1:
            options = [(m.name, f"{clean_line(m.label, 40)} ({m.role})") for m in target.models]
            await line.mount(Title("model", 12), Choice(options, target.models[0].name))
        self._model = target.models[0].name

    def model(self, target: InferenceTarget) -> ServedModel:
        return next((m for m in target.models if m.name == self._model), target.models[0])

    def choose(self, target: InferenceTarget, label: str) -> None:
        """The model that is called `label`, where it still is one."""
        name = next((m.name for m in target.models if m.label == label), self._model)
        self._model = name
        for choice in self.query(Choice):
            choice.value = name
            choice.redraw()

    def request(self, prompt: str) -> PromptRequest | None:
        """What would be sent; None while something is wrong, which is then said."""
        values: dict[str, float] = {}
        problems: dict[str, str] = {}
        for key, title in (("max_tokens", "max tokens"), ("temperature", "temperature"), ("top_p", "top-p")):
            try:
                values[key] = number(key, self._value(key))
            except ConfigurationInvalid as error:
                problems[key] = f"{title}: {error.message}"
        chosen: int | None = None
        try:
            chosen = seed(self._value("seed"))
        except ConfigurationInvalid as error:
            problems["seed"] = f"seed: {error.message}"
        stop = tuple(part for part in self._value("stop").split(" | ") if part)
        if len(stop) > MAX_STOP:
            problems["stop"] = f"stop: at most {MAX_STOP}, with “ | ” between them"
        self._problems = problems
        self.query_one("#wrong", Block).redraw()
        if problems:
            return None
        return PromptRequest(
            prompt,
            self._value("system").strip(),
            int(values["max_tokens"]),
            values["temperature"],
            values["top_p"],
            stop,
            chosen,
        )

    def put(self, request: PromptRequest) -> None:
        """Show the parameters of an earlier request."""
        shown = {
            "system": " ".join(request.system.split()),
            "max_tokens": str(request.max_tokens),
            "temperature": f"{request.temperature:g}",
            "top_p": f"{request.top_p:g}",
            "seed": "" if request.seed is None else str(request.seed),
            "stop": " | ".join(request.stop),
        }
        for key, value in shown.items():
            self.query_one(f"#{key}", Small).value = value

    @on(Input.Changed)
    def _typed(self, event: Input.Changed) -> None:
        event.stop()
        self.request("")
        self.post_message(self.Changed())

    @on(Choice.Turned)
    def _turned(self, event: Choice.Turned) -> None:
        self._model = event.value
        self.post_message(self.Changed())

    def _value(self, key: str) -> str:
        return self.query_one(f"#{key}", Small).value

    def _wrong(self, width: int) -> list[Line]:
        return [clipped((Cell(f" ✖ {words}", "bad"),), width) for words in self._problems.values()]
