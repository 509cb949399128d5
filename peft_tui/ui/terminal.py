"""The terminal as it is: gone, stalled, light or dark.

A terminal that is gone, or that takes nothing any more, must not stop the program. Textual's writing thread
dies with the first failed write. What is written after that fills a queue of thirty and then blocks the event
loop for ever: the workers stand still, not even SIGTERM ends it. A lost SSH line does just that.

Which colour its background has is asked when it is taken over (OSC 11), and nobody waits for the answer: it
comes among what is typed, with the first frame or, over a slow line, seconds later. Textual would take it for
keys.
"""

from __future__ import annotations

import os
import re
import selectors
from codecs import getincrementaldecoder
from contextlib import suppress
from typing import Any, TextIO

from textual._xterm_parser import XTermParser
from textual.drivers.linux_driver import LinuxDriver
from textual.message import Message

PATIENCE_SECONDS = 2.0
"""How long the last bytes may take at the end."""
LOOK_SECONDS = 0.1
"""How often it is looked whether reading is to end, and how long a key that may begin an answer waits."""
ASK_BACKGROUND = "\x1b]11;?\x1b\\"
_ANSWER = re.compile(r"(?:\x1b|\A)\]11;([^\x07\x1b]{0,64})(?:\x07|\x1b\\)")
_BEGUN = re.compile(r"\x1b\](?:1(?:1(?:;[^\x07\x1b]{0,64}\x1b?)?)?)?\Z")
_COLOUR = re.compile(r"rgba?:([0-9a-fA-F]{1,4})/([0-9a-fA-F]{1,4})/([0-9a-fA-F]{1,4})(?:/[0-9a-fA-F]{1,4})?")
_NO_KEYS = "\x1b]11"
"""What begins like this was typed by nobody."""
_SLOW_LOOKS = 20
"""So many times nothing came after the half of an answer: the rest is lost."""


class Background(Message, namespace="terminal"):
    """What the terminal answered."""

    def __init__(self, light: bool) -> None:
        super().__init__()
        self.light = light


def is_light(colour: str) -> bool | None:
    """Whether `rgb:fafa/fafa/fafa` is; None for what is no colour."""
    found = _COLOUR.fullmatch(colour)
    if found is None:
        return None
    red, green, blue = (int(part, 16) / (16 ** len(part) - 1) for part in found.groups())
    return bool(0.299 * red + 0.587 * green + 0.114 * blue > 0.5)


class Answers:
    """Takes the terminal's answers out of what is typed."""

    def __init__(self) -> None:
        self._held = ""
        self._looks = 0

    def take(self, text: str) -> tuple[str, list[str]]:
        """What remains to be read as keys, and the colours. The half of an answer is held back.

        Args:
            text: what came; nothing for a while where it is empty.
        """
        if not text:
            return self._waited(), []
        text, self._held, self._looks = self._held + text, "", 0
        colours = _ANSWER.findall(text)
        text = _ANSWER.sub("", text)
        if begun := _BEGUN.search(text):
            text, self._held = text[: begun.start()], begun[0]
        return text, colours

    def _waited(self) -> str:
        """`alt+]` begins like an answer; what cannot be a key is dropped."""
        self._looks += 1
        if not self._held.startswith(_NO_KEYS):
            held, self._held = self._held, ""
            return held
        if self._looks >= _SLOW_LOOKS:
            self._held = ""
        return ""


class _Forgiving:
    """A file whose writes may fail."""

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def write(self, text: str) -> int:
        with suppress(OSError, ValueError):
            self._file.write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError, ValueError):
            self._file.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


class SteadyDriver(LinuxDriver):
    """Never waits for the terminal to read; asks for its background where the application wants to know."""

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self._file: Any = _Forgiving(self._file)
        self._asks = bool(getattr(self._app, "wants_background", False))

    def start_application_mode(self) -> None:
        super().start_application_mode()  # type: ignore[no-untyped-call]
        if self._writer_thread is None:
            return
        self._writer_thread._queue.maxsize = 0
        if self._asks:
            self._asks = False
            self.write(ASK_BACKGROUND)
            self.flush()

    def run_input_thread(self) -> None:
        """Read keys until it is to end. What is no UTF-8 is read as such: Textual's own would end there."""
        parser, answers = XTermParser(self._debug), Answers()
        decode = getincrementaldecoder("utf-8")("replace").decode
        with selectors.SelectSelector() as selector:
            selector.register(self.fileno, selectors.EVENT_READ)
            while not self.exit_event.is_set():
                text = ""
                if selector.select(LOOK_SECONDS):
                    try:
                        read = os.read(self.fileno, 4096)
                    except OSError:
                        read = b""
                    if not read:
                        # Nobody types any more: SIGHUP says so too.
                        return
                    text = decode(read)
                typed, colours = answers.take(text)
                if typed:
                    for message in parser.feed(typed):
                        self.process_message(message)
                for message in parser.tick():
                    self.process_message(message)
                for colour in colours:
                    if (light := is_light(colour)) is not None:
                        self.process_message(Background(light))

    def close(self) -> None:
        if self._writer_thread is not None:
            self._writer_thread._queue.put(None)
            self._writer_thread.join(PATIENCE_SECONDS)
