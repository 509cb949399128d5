"""Run a real program in a pseudo terminal, press its keys, read its screen.

    async with Terminal.run(["peft-tui", "--sandbox"], size=(80, 24)) as term:
        await term.sees("llama-chat")
        term.press("j", "enter")
        await term.sees(re.compile(r"status +active"))

Output is stamped the moment it is read; the screen is drawn from it only when somebody looks. So measuring
with `chunks` and `mark` is not disturbed by drawing.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import pty
import re
import signal
import struct
import termios
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import NamedTuple

import pyte

KEPT = ("PATH", "HOME", "TMPDIR", "LD_LIBRARY_PATH", "VIRTUAL_ENV")
KEPT_PREFIXES = ("PYTHON", "COVERAGE", "XDG_", "PEFT_TUI_")
"""What a program under test inherits: no NO_COLOR, no TMUX, no tokens of whoever runs the tests."""

KEYS = {
    "enter": "\r",
    "escape": "\x1b",
    "tab": "\t",
    "shift+tab": "\x1b[Z",
    "space": " ",
    "backspace": "\x7f",
    "insert": "\x1b[2~",
    "delete": "\x1b[3~",
    "pageup": "\x1b[5~",
    "pagedown": "\x1b[6~",
    "ctrl+space": "\0",
    "ctrl+@": "\0",
    "ctrl+\\": "\x1c",
    **{f"f{n}": f"\x1bO{letter}" for n, letter in enumerate("PQRS", 1)},
    **{
        f"f{n}": f"\x1b[{code}~"
        for n, code in zip(range(5, 13), (15, 17, 18, 19, 20, 21, 23, 24), strict=True)
    },
}
ARROWS = {"up": "A", "down": "B", "right": "C", "left": "D", "end": "F", "home": "H"}
MODIFIERS = {"shift": 1, "alt": 2, "ctrl": 4}
PATIENCE_SECONDS = 60.0
"""How long a fact may take on a busy machine."""
KEY_PAUSE = 0.02
"""Seconds between two keys. Quicker than any hand; in one write, Textual lets letters overtake bound keys."""
ESCAPE_PAUSE = 0.15
"""Seconds between a lone escape and the next key: sent together they are alt+key, as on any real terminal."""

MOUSE_MODES = frozenset({9, 1000, 1001, 1002, 1003})
_MODE = re.compile(rb"\x1b\[\?([\d;]+)([hl])")
_SCREEN_SWITCH = re.compile(rb"\x1b\[\?(?:1049|1047|47)([hl])")
_QUERY = re.compile(
    rb"\x1b\[(?:(?P<attributes>0?c)|(?P<status>[56]n)|\?(?P<mode>\d+)\$p|(?P<kitty>\?u))"
    rb"|\x1b\](?P<colour>1[01]);\?(?:\x07|\x1b\\)"
)
_UNFINISHED = re.compile(rb"\x1b(?:\[[\x20-\x3f]*|[\]P_^X][^\x07\x1b]*\x1b?|[\x20-\x2f]*)?\Z")
_NOT_FOR_PYTE = re.compile(
    rb"\x1b\[[<=>][\x20-\x3f]*[\x40-\x7e]"  # private to xterm and kitty
    rb"|\x1b\[[\x30-\x3f]*[\x20-\x2f]+[\x40-\x7e]"  # with intermediate bytes
    rb"|\x1b\[\?[\d;]*m|\x1b\[[\d;]*:[\d;:]*m"  # styles it takes for text
    rb"|\x1b[P_^X].*?\x1b\\",  # strings to the terminal
    re.DOTALL,
)


class Chunk(NamedTuple):
    """Something the program wrote."""

    at: float
    """time.perf_counter() when it was read."""
    end: int
    """Bytes written up to and with it."""


class Mark(NamedTuple):
    """A moment in the output."""

    at: float
    position: int


class Screens:
    """A main and an alternate screen, as a terminal has them; pyte alone knows one."""

    def __init__(self, columns: int, lines: int) -> None:
        self._pairs = []
        for _ in range(2):
            screen = pyte.Screen(columns, lines)
            self._pairs.append((screen, pyte.ByteStream(screen)))
        self._alternate = False
        self._pending = b""

    @property
    def current(self) -> pyte.Screen:
        """The screen a person would see now."""
        return self._pairs[self._alternate][0]

    def feed(self, data: bytes) -> None:
        """Draw; a sequence whose end is still to come waits for it."""
        data = self._pending + data
        unfinished = _UNFINISHED.search(data)
        cut = unfinished.start() if unfinished else len(data)
        data, self._pending = _NOT_FOR_PYTE.sub(b"", data[:cut]), data[cut:]
        start = 0
        for switch in _SCREEN_SWITCH.finditer(data):
            self._pairs[self._alternate][1].feed(data[start : switch.start()])
            self._alternate = switch[1] == b"h"
            if self._alternate:
                self.current.reset()
            start = switch.end()
        self._pairs[self._alternate][1].feed(data[start:])

    def resize(self, columns: int, lines: int) -> None:
        """Change the size of both."""
        for screen, _ in self._pairs:
            screen.resize(lines, columns)

    def __str__(self) -> str:
        return "\n".join(line.rstrip() for line in self.current.display)


class Terminal:
    """A program in a pseudo terminal of its own. Made by `Terminal.run`."""

    def __init__(
        self, master: int, process: asyncio.subprocess.Process, started: float, size: tuple[int, int]
    ) -> None:
        self.process = process
        self.started = started
        """time.perf_counter() just before exec."""
        self.size = size
        """Columns and lines."""
        self.background: str | None = None
        """Its colour, as `run` was told."""
        self.raw = bytearray()
        """Every byte written so far."""
        self.chunks: list[Chunk] = []
        """When they were read."""
        self._master = master
        self._screens = Screens(*size)
        self._drawn = 0
        self._scanned = 0
        self._news = asyncio.Event()
        self._outbox: deque[tuple[bytes, float]] = deque()
        self._sending = False
        self._closed = False
        os.set_blocking(master, False)
        asyncio.get_running_loop().add_reader(master, self._read)

    @classmethod
    @asynccontextmanager
    async def run(
        cls,
        argv: Sequence[str | os.PathLike[str]],
        *,
        env: Mapping[str, str | None] | None = None,
        size: tuple[int, int] = (80, 24),
        cwd: str | os.PathLike[str] | None = None,
        background: str | None = "1111/1111/1111",
    ) -> AsyncIterator[Terminal]:
        """Start a program; it is killed with all its children when the block is left.

        Args:
            argv: Program and arguments.
            env: Added to a small clean environment; None removes a variable.
            size: Columns and lines.
            cwd: Directory it runs in.
            background: Its colour, as it is told to whoever asks; None tells nothing.
        """
        environment = {
            name: value
            for name, value in os.environ.items()
            if name in KEPT or name.startswith(KEPT_PREFIXES)
        }
        environment |= {"TERM": "xterm-256color", "LANG": "C.UTF-8"}
        for name, value in (env or {}).items():
            environment.pop(name, None)
            if value is not None:
                environment[name] = value
        master, slave = pty.openpty()
        try:
            _set_size(slave, size)
            started = time.perf_counter()
            process = await asyncio.create_subprocess_exec(
                *(os.fspath(word) for word in argv),
                stdin=slave,
                stdout=slave,
                stderr=slave,
                env=environment,
                cwd=cwd,
                start_new_session=True,
                preexec_fn=_take_terminal,
            )
        except BaseException:
            os.close(master)
            raise
        finally:
            os.close(slave)
        term = cls(master, process, started, size)
        term.background = background
        try:
            yield term
        finally:
            await term._close()

    # The screen

    @property
    def screen(self) -> pyte.Screen:
        """The screen as pyte has it, for colours and the cursor."""
        if self._drawn < len(self.raw):
            new = bytes(self.raw[self._drawn :])
            self._drawn = len(self.raw)
            self._screens.feed(new)
        return self._screens.current

    @property
    def text(self) -> str:
        """The screen as lines, without trailing spaces."""
        return "\n".join(line.rstrip() for line in self.screen.display)

    def line(self, number: int) -> str:
        """One line of the screen, from 0; negative ones from the bottom."""
        return self.screen.display[number].rstrip()

    async def sees(self, wanted: str | re.Pattern[str], timeout: float = PATIENCE_SECONDS) -> str:
        """Wait until the screen shows a text or matches a pattern; the screen then.

        Raises:
            AssertionError: It did not in time, or the program ended without; with the screen as it was.
        """
        await self._until(lambda: _shows(self.text, wanted), f"never saw {_quoted(wanted)}", timeout)
        return self.text

    async def gone(self, unwanted: str | re.Pattern[str], timeout: float = PATIENCE_SECONDS) -> str:
        """Wait until the screen no longer shows a text; the screen then."""
        await self._until(lambda: not _shows(self.text, unwanted), f"still sees {_quoted(unwanted)}", timeout)
        return self.text

    async def until(self, fact: Callable[[], bool], timeout: float = PATIENCE_SECONDS) -> None:
        """Wait for a fact of what was written.

        Raises:
            AssertionError: It did not become true in time, or the program ended.
        """
        await self._until(fact, "it never came true", timeout)

    async def quiet(self, seconds: float = 0.1, timeout: float = PATIENCE_SECONDS) -> None:
        """Wait until nothing was written for a while: the way to know that a frame is complete."""
        end = time.monotonic() + timeout
        while not self._closed:
            self._news.clear()
            try:
                await asyncio.wait_for(self._news.wait(), seconds)
            except TimeoutError:
                if not self._outbox:
                    return
            if time.monotonic() > end:
                raise AssertionError(self._report(f"still writing after {timeout} s"))

    # Keys

    def press(self, *keys: str) -> None:
        """Press keys by name (enter, shift+tab, ctrl+x, f1, alt+left) or plain characters, in order."""
        for key in keys:
            self._send(encode_key(key), ESCAPE_PAUSE if key == "escape" else KEY_PAUSE)

    def type(self, text: str) -> None:
        """Type a text, character by character."""
        self._send(text.replace("\n", "\r").encode(), 0.0)

    def paste(self, text: str) -> None:
        """Paste as a terminal does: bracketed if the program asked for that, line ends as the enter key."""
        text = text.replace("\n", "\r")
        if 2004 in self._modes():
            text = f"\x1b[200~{text}\x1b[201~"
        self._send(text.encode(), 0.0)

    def click(self, column: int, line: int, times: int = 1) -> None:
        """Click with the left button, counted from 0."""
        place = f"{column + 1};{line + 1}"
        self._send(f"\x1b[<0;{place}M\x1b[<0;{place}m".encode() * times, 0.0)

    def wheel(self, column: int, line: int, lines: int = 1) -> None:
        """Turn the wheel, downwards if positive."""
        button = 65 if lines > 0 else 64
        self._send(f"\x1b[<{button};{column + 1};{line + 1}M".encode() * abs(lines), 0.0)

    # Bytes

    @property
    def bytes_written(self) -> int:
        """How many bytes the program has written."""
        return len(self.raw)

    def mark(self) -> Mark:
        """Remember this moment."""
        return Mark(time.perf_counter(), len(self.raw))

    def since(self, mark: Mark) -> bytes:
        """What was written after the mark."""
        return bytes(self.raw[mark.position :])

    @property
    def alternate_screen(self) -> bool:
        """Whether the alternate screen is on."""
        return not self._modes().isdisjoint({47, 1047, 1049})

    @property
    def mouse_tracking(self) -> bool:
        """Whether the terminal still reports the mouse."""
        return not self._modes().isdisjoint(MOUSE_MODES)

    @property
    def modes(self) -> frozenset[int]:
        """Private modes the program switched on and has not switched off."""
        return frozenset(self._modes())

    # The outside world

    def resize(self, columns: int, lines: int) -> None:
        """Change the size of the window; the program gets SIGWINCH."""
        _ = self.screen
        self.size = (columns, lines)
        self._screens.resize(columns, lines)
        _set_size(self._master, self.size)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the program alone."""
        self.process.send_signal(number)

    def hang_up(self) -> None:
        """Close the window under the program: it gets SIGHUP and can write no more."""
        self._stop_reading()

    def kill(self) -> None:
        """Kill the program and all that it started in its session."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)

    @property
    def running(self) -> bool:
        """Whether the program has not ended yet."""
        return self.process.returncode is None

    async def wait_exit(self, timeout: float = PATIENCE_SECONDS) -> int:
        """Wait until it ends and its last bytes are read; the status, negative for a signal."""
        try:
            status = await asyncio.wait_for(self.process.wait(), timeout)
        except TimeoutError:
            raise AssertionError(self._report(f"still running after {timeout} s")) from None
        with suppress(AssertionError):
            await self.quiet(0.05, 1.0)
        return status

    # Inside

    def _read(self) -> None:
        try:
            data = os.read(self._master, 65536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._stop_reading()
            return
        self.raw += data
        self.chunks.append(Chunk(time.perf_counter(), len(self.raw)))
        self._answer()
        self._news.set()

    def _answer(self) -> None:
        """Answer what programs ask a terminal, so that they need not wait for it."""
        for query in _QUERY.finditer(self.raw, self._scanned):
            self._scanned = query.end()
            if query["attributes"]:
                answer = b"\x1b[?62;22c"
            elif query["status"] == b"5n":
                answer = b"\x1b[0n"
            elif query["status"]:
                cursor = self.screen.cursor
                answer = b"\x1b[%d;%dR" % (cursor.y + 1, cursor.x + 1)
            elif query["mode"]:
                known = 2 if query["mode"] == b"2026" else 0
                answer = b"\x1b[?%b;%d$y" % (query["mode"], known)
            elif query["kitty"]:
                answer = b"\x1b[?0u"
            elif query["colour"] == b"10":
                answer = b"\x1b]10;rgb:dddd/dddd/dddd\x1b\\"
            elif self.background is not None:
                answer = b"\x1b]11;rgb:%b\x1b\\" % self.background.encode()
            else:
                continue
            self._send(answer, 0.0)
        # A query may be cut by the border of a chunk; no query is longer than this.
        self._scanned = max(self._scanned, len(self.raw) - 24)

    def _modes(self) -> set[int]:
        on: set[int] = set()
        for match in _MODE.finditer(self.raw):
            numbers = {int(number) for number in match[1].split(b";") if number}
            on = on | numbers if match[2] == b"h" else on - numbers
        return on

    def _send(self, data: bytes, pause: float) -> None:
        self._outbox.append((data, pause))
        if not self._sending:
            self._flush()

    def _flush(self) -> None:
        """Write what is to be written; the rest when the program has read, or when a pause is over."""
        loop = asyncio.get_running_loop()
        self._sending = False
        while self._outbox and not self._closed:
            data, pause = self._outbox.popleft()
            try:
                written = os.write(self._master, data)
            except BlockingIOError:
                written = 0
            except OSError:
                return
            if written < len(data):
                self._outbox.appendleft((data[written:], pause))
                self._sending = True
                loop.call_later(0.005, self._flush)
                return
            if pause:
                self._sending = True
                loop.call_later(pause, self._flush)
                return

    async def _until(self, holds: Callable[[], bool], complaint: str, timeout: float) -> None:
        end = time.monotonic() + timeout
        while True:
            self._news.clear()
            if holds():
                return
            if self._closed:
                raise AssertionError(self._report(f"{complaint}; the program ended"))
            try:
                await asyncio.wait_for(self._news.wait(), end - time.monotonic())
            except TimeoutError:
                raise AssertionError(self._report(f"{complaint} in {timeout} s")) from None

    def _report(self, complaint: str) -> str:
        columns, lines = self.size
        rule = "─" * columns
        return f"{complaint}\n{columns}×{lines}, {len(self.raw)} bytes\n{rule}\n{self.text.rstrip()}\n{rule}"

    def _stop_reading(self) -> None:
        if not self._closed:
            self._closed = True
            asyncio.get_running_loop().remove_reader(self._master)
            os.close(self._master)
            self._news.set()

    async def _close(self) -> None:
        self.kill()
        self._stop_reading()
        await self.process.wait()


def encode_key(key: str) -> bytes:
    """The bytes a terminal sends for a key."""
    if key in KEYS:
        return KEYS[key].encode()
    *modifiers, name = key.split("+") if len(key) > 1 else [key]
    if name in ARROWS:
        code = 1 + sum(MODIFIERS[modifier] for modifier in modifiers)
        return (f"\x1b[1;{code}{ARROWS[name]}" if modifiers else f"\x1b[{ARROWS[name]}").encode()
    if modifiers == ["ctrl"] and len(name) == 1:
        return bytes([ord(name) & 0x1F])
    if modifiers == ["alt"]:
        return b"\x1b" + encode_key(name)
    if not modifiers and len(name) == 1:
        return name.encode()
    raise ValueError(f"no terminal sends {key!r} the same way as others")


def screen_when(term: Terminal, wanted: str | re.Pattern[str], after: Mark | None = None) -> float | None:
    """When the screen first showed a text, by drawing its whole history again; perf_counter, or None."""
    screens, start = Screens(*term.size), 0
    for chunk in term.chunks:
        screens.feed(bytes(term.raw[start : chunk.end]))
        start = chunk.end
        if (after is None or chunk.end > after.position) and _shows(str(screens), wanted):
            return chunk.at
    return None


def _shows(text: str, wanted: str | re.Pattern[str]) -> bool:
    return wanted in text if isinstance(wanted, str) else wanted.search(text) is not None


def _quoted(wanted: str | re.Pattern[str]) -> str:
    return repr(wanted if isinstance(wanted, str) else wanted.pattern)


def _set_size(descriptor: int, size: tuple[int, int]) -> None:
    fcntl.ioctl(descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", size[1], size[0], 0, 0))


def _take_terminal() -> None:
    """In the child: make the terminal on stdin the one of this session, whose end is heard as from any shell.

    Tests that are run by nohup ignore it, and so would their children.
    """
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
