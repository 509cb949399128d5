"""Our themes, and which one suits the terminal at hand.

Textual alone answers `NO_COLOR` with greys in true colour. A theme of the terminal's own colours sends none.
"""

from __future__ import annotations

from collections.abc import Mapping

from textual.theme import BUILTIN_THEMES, Theme

DARK, LIGHT, CONTRAST, ANSI = "peft-dark", "peft-light", "peft-contrast", "peft-ansi"


def _ours(
    name: str,
    *,
    accent: str,
    secondary: str,
    success: str,
    warning: str,
    error: str,
    foreground: str,
    background: str,
    panel: str,
    muted: str,
    line: str,
    cursor: str,
    dark: bool = True,
    **variables: str,
) -> Theme:
    """One of true colour; `variables` are those that do not follow from the colours before, `_` for `-`."""
    follow = {
        "text-success": success,
        "text-warning": warning,
        "text-error": error,
        "text-accent": accent,
        "text-primary": accent,
        "text-muted": muted,
        "border": accent,
        "border-blurred": line,
        "scrollbar": line,
        "scrollbar-background": background,
        "input-cursor-background": foreground,
        "input-cursor-foreground": background,
        "block-cursor-background": cursor,
        "block-cursor-foreground": foreground,
    }
    own = {key.replace("_", "-"): colour for key, colour in variables.items()}
    return Theme(
        name=name,
        primary=accent,
        secondary=secondary,
        accent=accent,
        success=success,
        warning=warning,
        error=error,
        foreground=foreground,
        background=background,
        surface=background,
        panel=panel,
        dark=dark,
        variables={**follow, **own},
    )


THEMES = (
    _ours(
        DARK,
        accent="#7fb4d9",
        secondary="#6c8fb0",
        success="#8cc084",
        warning="#e0b76a",
        error="#e88080",
        foreground="#d6d9df",
        background="#15171c",
        panel="#20242c",
        muted="#858b98",
        line="#363c48",
        cursor="#29313d",
    ),
    _ours(
        LIGHT,
        accent="#1d6a9e",
        secondary="#4f7a99",
        success="#3b7a36",
        warning="#8f5f00",
        error="#b1322c",
        foreground="#2a2d33",
        background="#fbfbf9",
        panel="#eeeeea",
        muted="#6b6f78",
        line="#cfd0cc",
        cursor="#dbe7f0",
        dark=False,
    ),
    # 7:1 and more for every text, also on the cursor's line.
    _ours(
        CONTRAST,
        accent="#7fdbff",
        secondary="#7fdbff",
        success="#5fff87",
        warning="#ffd75f",
        error="#ff9c9c",
        foreground="#ffffff",
        background="#000000",
        panel="#1c1c1c",
        muted="#c8c8c8",
        line="#c8c8c8",
        cursor="#ffffff",
        border="#ffffff",
        block_cursor_foreground="#000000",
    ),
    Theme(
        name=ANSI,
        ansi=True,
        primary="ansi_cyan",
        secondary="ansi_blue",
        accent="ansi_cyan",
        success="ansi_green",
        warning="ansi_yellow",
        error="ansi_red",
        foreground="ansi_default",
        background="ansi_default",
        surface="ansi_default",
        panel="ansi_default",
        boost="ansi_default",
        variables={
            **BUILTIN_THEMES["ansi-dark"].variables,
            "scrollbar": "ansi_default",
            "scrollbar-background": "ansi_default",
            "border": "ansi_default",
            "border-blurred": "ansi_default",
            "footer-key-foreground": "ansi_cyan",
            "block-cursor-foreground": "ansi_default",
            "block-cursor-background": "ansi_default",
            "block-cursor-text-style": "bold reverse",
            "input-cursor-background": "ansi_default",
            "input-cursor-foreground": "ansi_default",
            "input-cursor-text-style": "reverse",
        },
    ),
)

_OURS = {theme.name for theme in THEMES}
# What a console font or a terminal without UTF-8 cannot show, and what says the same there.
_ASCII = str.maketrans(
    {
        "●": "*",
        "◌": "~",
        "◐": "%",
        "○": ".",
        "◼": "-",
        "✖": "x",
        "✓": "+",
        "▸": ">",
        "·": ".",
        "—": "-",
        "–": "-",
        "─": "-",
        "│": "|",
        "…": "~",
        "→": ">",
        "←": "<",
        "↑": "^",
        "↓": "v",
        "×": "x",
        "“": '"',
        "”": '"',
        "’": "'",
    }
)


def offered(themes: Mapping[str, Theme]) -> list[tuple[str, str]]:
    """Name and kind of each, ours first."""
    kinds = {name: "dark" if theme.dark else "light" for name, theme in themes.items()}
    kinds |= {name: "terminal's" for name, theme in themes.items() if theme.ansi}
    return sorted(kinds.items(), key=lambda pair: (pair[0] not in _OURS, pair[0]))


def is_theme(name: str) -> bool:
    return name in _OURS or name in BUILTIN_THEMES


def choose_theme(environ: Mapping[str, str], wanted: str = "") -> str:
    """The theme for this environment; the person's own has the last word where it is one."""
    wanted = wanted or environ.get("PEFT_TUI_THEME", "")
    if is_theme(wanted):
        return wanted
    if without_colour(environ) or not _many_colours(environ):
        return ANSI
    return LIGHT if _light(environ) else DARK


def without_colour(environ: Mapping[str, str]) -> bool:
    """Whether `NO_COLOR` is there; Textual too takes an empty one for a yes."""
    return "NO_COLOR" in environ


def ascii_only(environ: Mapping[str, str]) -> bool:
    """Whether marks have to be those of every font: the Linux console, or a locale that is not UTF-8."""
    if environ.get("TERM") == "linux":
        return True
    names = [environ.get(name, "") for name in ("LC_ALL", "LC_CTYPE", "LANG")]
    # Python itself turns LANG=C into LC_CTYPE=C.UTF-8 (PEP 538); that says nothing of the terminal.
    if names[1] in ("C.UTF-8", "C.utf8", "UTF-8") and names[2] in ("C", "POSIX"):
        names[1] = ""
    said = next((name for name in names if name), "")
    return bool(said) and "utf" not in said.lower()


def plain(text: str) -> str:
    """The same text in ASCII."""
    return text if text.isascii() else text.translate(_ASCII).encode("ascii", "replace").decode()


def _many_colours(environ: Mapping[str, str]) -> bool:
    """More than sixteen, by the rules that the drawing library goes by."""
    if environ.get("COLORTERM", "").strip().lower() in ("truecolor", "24bit"):
        return True
    return environ.get("TERM", "").lower().rpartition("-")[2] in ("256color", "kitty")


def _light(environ: Mapping[str, str]) -> bool:
    """Some terminals say `foreground;background` in ANSI numbers: 7 and 15 are white."""
    return environ.get("COLORFGBG", "").rpartition(";")[2] in ("7", "15")
