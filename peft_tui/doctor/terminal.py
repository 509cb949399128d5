"""The terminal: what it is said to be, and what stands between it and the program."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from peft_tui.doctor.finding import Finding, good, note
from peft_tui.text import clean_line

AREA = "terminal"
TMUX_SECONDS = 1.0


def terminal(environ: Mapping[str, str]) -> Iterator[Finding]:
    term, colours = environ.get("TERM", ""), environ.get("COLORTERM", "")
    size = shutil.get_terminal_size()
    words = f"TERM={clean_line(term, 40) or '—'}, COLORTERM={clean_line(colours, 20) or '—'}"
    words += f", {size.columns} × {size.lines}"
    if term in ("", "dumb"):
        yield note(AREA, words, "This terminal cannot draw: use the commands, e.g. peft-tui list.")
    elif size.columns < 40 or size.lines < 12:
        yield note(AREA, words, "40 × 12 is the least that everything fits in.")
    else:
        yield good(AREA, words)
    encoding = (sys.stdout.encoding or "").lower().replace("-", "")
    if encoding != "utf8":
        yield note(AREA, f"its encoding is {clean_line(encoding, 20) or 'unknown'}", "Set LANG=C.UTF-8.")
    if "NO_COLOR" in environ:
        yield note(AREA, "NO_COLOR is set: no colours are sent")
    elif colours.lower() not in ("truecolor", "24bit"):
        hint = "COLORTERM does not travel with ssh by itself: SendEnv COLORTERM, if it has more."
        yield note(AREA, "fewer than 16 million colours are used", hint)
    yield from _between(environ)


def _between(environ: Mapping[str, str]) -> Iterator[Finding]:
    if environ.get("SSH_CONNECTION"):
        yield good(AREA, "over ssh: what is copied goes to your own machine, by OSC 52")
    if environ.get("TMUX"):
        yield from _tmux()
    elif environ.get("STY"):
        yield note(AREA, "in screen: copying does not come through", "Use tmux, or shift and the mouse.")
    if "mosh-server" in ancestors():
        yield note(AREA, "over mosh: copying needs mosh 1.4", "mosh --version, on both sides.")


def _tmux() -> Iterator[Finding]:
    wanted = {
        "set-clipboard": ("on", "copying reaches your terminal only so"),
        "allow-passthrough": ("on", "desktop notices come through only so; without, the bell rings"),
        "focus-events": ("on", "the refresh rests only so while you look elsewhere"),
    }
    for option, (value, why) in wanted.items():
        said = _tmux_says(option)
        if said is None:
            yield note(AREA, "in tmux, which does not say how it is set")
            return
        if value not in said:
            yield note(AREA, f"tmux has {option} {said or 'off'}: {why}", f"tmux set -g {option} {value}")
        else:
            yield good(AREA, f"tmux has {option} {said}")


def _tmux_says(option: str) -> str | None:
    for scope in ("-sv", "-gwv", "-gv"):
        try:
            done = subprocess.run(
                ["tmux", "show-options", scope, option], capture_output=True, text=True, timeout=TMUX_SECONDS
            )
        except (OSError, subprocess.TimeoutExpired):
            return None
        if done.returncode == 0 and done.stdout.strip():
            return clean_line(done.stdout, 20)
    return ""


def ancestors() -> list[str]:
    """The names of the processes above this one, where the system shows them."""
    names: list[str] = []
    process = "self"
    for _ in range(30):
        try:
            text = Path(f"/proc/{process}/stat").read_text()
        except OSError:
            break
        name, _, rest = text.partition("(")[2].rpartition(")")
        names.append(name)
        process = rest.split()[1]
        if process == "0":
            break
    return names
