"""No way leads round the types that show foreign text literally: read from the code, so that a new one fails.

`Cell` is drawn as it is by the widgets below, and every drawn line passes `LastLine`. What Textual itself
makes of a plain string (markup, links, actions) is kept away by the rules here.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2] / "peft_tui"
WIDGETS = {"Input", "TextArea"}
"""They show their value letter by letter. All others of Textual read a string as markup."""
DRAWING = {
    "ui/last_line.py": "the filter itself",
    "ui/widgets/live_table.py": "draws cells",
    "ui/widgets/lines.py": "draws cells",
    "ui/screens/console/flowing.py": "draws an answer",
}
"""Who may make segments for the terminal."""
LITERAL = {
    ("app.py", "Text"): "the last words after a failure; Text is no markup",
    ("ui/screens/metrics/picture.py", "Text"): "a file is written, no terminal",
    ("ui/widgets/palette.py", "Content"): "what the palette finds",
}
"""Who may hand text to Textual by itself, in a type that is no markup."""
MARKUP = {"from_markup", "render_markup", "to_content", "from_ansi", "from_rich_text"}
TITLES = {"border_title", "border_subtitle", "sub_title", "tooltip", "loading"}
"""Attributes of widgets whose strings Textual reads as markup."""
CLEANING = {"clean", "clean_line", "redact"}

Place = tuple[str, ast.AST]


@cache
def trees() -> dict[str, ast.Module]:
    files = [ROOT / "app.py", *sorted((ROOT / "ui").rglob("*.py"))]
    return {str(path.relative_to(ROOT)): ast.parse(path.read_text("utf-8")) for path in files}


def nodes(*kinds: type[ast.AST]) -> Iterator[tuple[str, ast.AST]]:
    for name, tree in trees().items():
        for node in ast.walk(tree):
            if isinstance(node, kinds):
                yield name, node


def calls(name: str) -> Iterator[tuple[str, ast.Call]]:
    """Calls of a function or method called so."""
    for file, node in nodes(ast.Call):
        assert isinstance(node, ast.Call)
        called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if called == name:
            yield file, node


def at(file: str, node: ast.AST) -> str:
    return f"{file}:{getattr(node, 'lineno', 0)}: {ast.unparse(node)[:120]}"


def keyword(call: ast.Call, name: str) -> ast.expr | None:
    return next((k.value for k in call.keywords if k.arg == name), None)


def test_no_widget_of_textual_s_that_reads_markup_is_used() -> None:
    wrong = [
        at(file, node)
        for file, node in nodes(ast.ImportFrom)
        if isinstance(node, ast.ImportFrom)
        and (node.module or "").startswith("textual.widgets")
        and not {alias.name for alias in node.names} <= WIDGETS
    ]
    assert wrong == []


def test_only_what_draws_cells_makes_segments() -> None:
    assert {file for file, _ in calls("Segment")} <= DRAWING.keys()


def test_text_for_textual_is_literal() -> None:
    wrong = [
        at(file, node)
        for kind in ("Text", "Content")
        for file, node in calls(kind)
        if (file, kind) not in LITERAL
    ]
    markup = [at(file, node) for name in MARKUP for file, node in calls(name)]
    assert wrong + markup == []


def test_no_string_becomes_a_title_or_a_tooltip() -> None:
    wrong = [
        at(file, node)
        for file, node in nodes(ast.Assign, ast.AnnAssign)
        for target in (node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)])
        if isinstance(target, ast.Attribute) and target.attr in TITLES
    ]
    assert wrong == []


def test_what_the_palette_shows_is_content() -> None:
    found = [(file, call) for kind in ("Hit", "DiscoveryHit") for file, call in calls(kind)]
    assert found
    for file, call in found:
        prompt = call.args[1 if ast.unparse(call.func) == "Hit" else 0]
        sentence = keyword(call, "help")
        assert is_call(prompt, "_shown"), at(file, call)
        assert sentence is None or is_call(sentence, "_shown"), at(file, call)
    (shown,) = [n for f, n in functions() if f == "ui/widgets/palette.py" and n.name == "_shown"]
    (made,) = [node.value for node in ast.walk(shown) if isinstance(node, ast.Return)]
    assert isinstance(made, ast.IfExp)
    assert is_call(made.body, "Content.assemble") and is_call(made.orelse, "Content")


def test_a_notice_is_literal_and_cleaned() -> None:
    wrong = []
    for file, function in functions():
        for node in ast.walk(function):
            if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "notify":
                literal = keyword(node, "markup")
                said = [node.args[0], *filter(None, [keyword(node, "title")])]
                is_literal = isinstance(literal, ast.Constant) and literal.value is False
                if not is_literal or not all(is_clean(words, function) for words in said):
                    wrong.append(at(file, node))
    assert wrong == []


def test_what_is_written_to_the_terminal_past_the_screen_is_cleaned_or_base64() -> None:
    written = [
        (file, ast.unparse(call.args[0]).partition("(")[0])
        for file, call in calls("write")
        if "driver" in ast.unparse(call.func).lower()
    ]
    assert set(written) == {("app.py", "notice"), ("app.py", "clipboard.sequence")}


def functions() -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    for file, node in nodes(ast.FunctionDef, ast.AsyncFunctionDef):
        assert isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        yield file, node


def is_call(node: ast.expr | None, name: str) -> bool:
    return isinstance(node, ast.Call) and ast.unparse(node.func) == name


def is_clean(words: ast.expr, function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Our own words, numbers, and what passed `clean`, joined in any way; a name as it was assigned."""
    match words:
        case ast.Constant():
            return True
        case ast.JoinedStr():
            return all(is_clean(value, function) for value in words.values)
        case ast.FormattedValue():
            return words.format_spec is not None or is_clean(words.value, function)
        case ast.BinOp():
            return is_clean(words.left, function) and is_clean(words.right, function)
        case ast.IfExp():
            return is_clean(words.body, function) and is_clean(words.orelse, function)
        case ast.Call(func=ast.Name(id=name)):
            return name in CLEANING or name == "len"
        case ast.Name(id=name):
            assigned = [
                node.value
                for node in ast.walk(function)
                if isinstance(node, (ast.Assign, ast.AugAssign))
                and any(
                    getattr(t, "id", "") == name
                    for t in getattr(node, "targets", [getattr(node, "target", None)])
                )
            ]
            return bool(assigned) and all(is_clean(value, function) for value in assigned)
    return False
