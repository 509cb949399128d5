"""The parts of README.md that are made from the program. `python -m tests.readme` writes them anew."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from itertools import chain
from pathlib import Path

from textual.binding import Binding

from peft_tui.domain.adapter import SourceKind
from peft_tui.domain.offers import Capabilities, Change
from peft_tui.drivers import PLATFORMS, capabilities
from peft_tui.ui.screens.deployments import DeploymentsScreen

README = Path(__file__).parents[1] / "README.md"
NONE = "–"


def table(rows: Iterable[Iterable[str]]) -> str:
    """The first row is the head."""
    head, *body = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *body))


def platforms() -> str:
    """What each needs and takes."""

    def source(offers: Capabilities, kind: SourceKind) -> str:
        return offers.sources.get(kind) or f"{NONE} {offers.no_sources.get(kind, '')}".strip()

    def row(offers: Capabilities) -> list[str]:
        required = ", ".join(f"`{field.env}`" for field in offers.credentials if field.required)
        return [
            f"**{offers.title}** ({offers.best_for})",
            required,
            *(source(offers, kind) for kind in SourceKind),
            "events and logs"
            if not (offers.no_events or offers.no_logs)
            else "events"
            if not offers.no_events
            else "logs"
            if not offers.no_logs
            else NONE,
        ]

    head = [
        "platform",
        "variables",
        "adapter from a directory",
        "from Hugging Face",
        "already there",
        "tells",
    ]
    return table([head, *(row(capabilities(platform)) for platform in PLATFORMS)])


def settings() -> str:
    """Which setting exists where, and when it can be changed."""
    declared = [capabilities(platform) for platform in PLATFORMS]
    keys = dict.fromkeys(chain.from_iterable((s.key for s in offers.settings) for offers in declared))

    def change(offers: Capabilities, key: str) -> str:
        setting = offers.setting(key)
        return setting.change.value if setting and setting.change is not Change.UNSUPPORTED else NONE

    rows = [[f"`{key}`", *(change(offers, key) for offers in declared)] for key in keys]
    return table([["setting", *(offers.title for offers in declared)], *rows])


def keys() -> str:
    """The keys of the list of deployments, as the program binds them."""
    bound = [*DeploymentsScreen.BINDINGS]
    found: dict[str, str] = {}
    for binding in bound:
        assert isinstance(binding, Binding)
        if binding.key != "escape":
            keys = " ".join(f"`{SPELLED.get(key, key)}`" for key in binding.key.split(","))
            told = binding.tooltip.rstrip(".")
            # “URL” is spelled so wherever it stands.
            first = told[:1] if told[1:2].isupper() else told[:1].lower()
            found[keys] = f"{binding.description}: {first}{told[1:]}"
    pairs = list(found.items())
    half = -(-len(pairs) // 2)
    left, right = pairs[:half], [*pairs[half:], ("", "")]
    rows = [[*one, *other] for one, other in zip(left, right, strict=False)]
    return table([["key", "does", "key", "does"], *rows])


SPELLED = {
    "question_mark": "?",
    "slash": "/",
    "asterisk": "*",
    "greater_than_sign": ">",
    "less_than_sign": "<",
}
PARTS: dict[str, Callable[[], str]] = {"platforms": platforms, "settings": settings, "keys": keys}


def written(text: str) -> str:
    """`text` with every part between its marks made anew."""
    for name, part in PARTS.items():
        marks = re.compile(rf"(<!-- {name} -->\n).*?(\n<!-- /{name} -->)", re.DOTALL)
        assert marks.search(text), f"README.md has no marks for {name}"
        text = marks.sub(lambda match, part=part: match[1] + part() + match[2], text)
    return text


if __name__ == "__main__":
    README.write_text(written(README.read_text("utf-8")), "utf-8")
