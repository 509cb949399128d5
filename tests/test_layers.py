"""The arrows of the design, checked: who may import whom, and what an import loads."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = "peft_tui"


@dataclass(frozen=True)
class Import:
    """One import statement's target, as `importer:line → target`."""

    importer: str
    target: str
    line: int
    lazy: bool
    """Inside of a function: it costs nothing before that is called."""
    typing: bool
    """Under TYPE_CHECKING: it is never carried out."""

    def __str__(self) -> str:
        return f"{self.importer}:{self.line} imports {self.target}"


@cache
def modules() -> dict[str, Path]:
    found = {}
    for path in sorted((ROOT / PACKAGE).rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def _walk(node: ast.AST, lazy: bool = False, typing: bool = False) -> Iterator[tuple[ast.stmt, bool, bool]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (ast.Import, ast.ImportFrom)):
            yield child, lazy, typing
        elif isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            yield from _walk(child, True, typing)
        elif isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            for inner in child.body:
                yield from _walk(ast.Module([inner], []), lazy, True)
            for inner in child.orelse:
                yield from _walk(ast.Module([inner], []), lazy, typing)
        else:
            yield from _walk(child, lazy, typing)


@cache
def imports() -> tuple[Import, ...]:
    found: list[Import] = []
    for name, path in modules().items():
        for statement, lazy, typing in _walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(statement, ast.Import):
                targets = [alias.name for alias in statement.names]
            else:
                assert isinstance(statement, ast.ImportFrom)
                assert statement.level == 0, f"{name}:{statement.lineno} imports relatively"
                base = statement.module or ""
                whole = [f"{base}.{alias.name}" for alias in statement.names]
                targets = [target if target in modules() else base for target in whole]
            found += [Import(name, target, statement.lineno, lazy, typing) for target in targets]
    return tuple(found)


def within(name: str, *packages: str) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in packages)


def of(*packages: str) -> list[Import]:
    """What the modules in these packages of ours import."""
    return [i for i in imports() if within(i.importer, *(f"{PACKAGE}.{package}" for package in packages))]


def ours(target: str) -> bool:
    return within(target, PACKAGE)


# Which of our packages the modules of a package may import, themselves excepted.
ARROWS: dict[str, tuple[str, ...]] = {
    "domain": (),
    "text": (),
    "clock": (),
    "pace": (),
    "redaction": (),
    "calls": ("clock", "redaction", "text"),
    "paths": ("domain",),
    "config": (),
    "crash": ("paths", "redaction", "text"),
    "doctor": (
        *("domain", "backend", "clock", "config", "credentials", "drivers", "paths", "redaction"),
        *("services", "store", "text"),
    ),
    "logs": ("paths", "redaction"),
    "credentials": ("domain", "paths", "redaction", "text"),
    "adapters": ("domain", "text"),
    "store": ("domain", "paths", "redaction"),
    "drivers": ("domain", "adapters", "calls", "clock", "credentials", "paths", "text"),
    "services": ("domain", "store", "drivers", "clock", "credentials", "redaction", "text"),
    "workers": (
        *("domain", "store", "services", "drivers", "adapters", "calls", "clock", "credentials", "redaction"),
        *("pace", "text"),
    ),
    "embedded": ("domain", "paths"),
    "backend": (
        "domain",
        "store",
        "services",
        "workers",
        "drivers",
        "calls",
        "clock",
        "config",
        "credentials",
        "embedded",
        "pace",
        "paths",
    ),
    "ui": (
        "domain",
        "store",
        "services",
        "drivers",
        "adapters",
        "backend",
        "calls",
        "config",
        "text",
        "clock",
        "pace",
        "paths",
        "credentials",
        "redaction",
    ),
    "app": (
        *("ui", "backend", "config", "crash", "domain", "text", "logs", "paths", "redaction"),
        *("services", "store"),
    ),
    "cli": (
        *("app", "backend", "domain", "services", "store", "drivers", "adapters", "clock", "credentials"),
        *("config", "doctor", "redaction", "embedded", "logs", "paths", "sandbox", "text"),
    ),
    "sandbox": (),
}


def test_the_arrows_below_name_every_module() -> None:
    named = [f"{PACKAGE}.{name}" for name in ARROWS]
    assert [
        name
        for name in modules()
        if not within(name, *named) and name not in (PACKAGE, f"{PACKAGE}.__main__")
    ] == []


@pytest.mark.parametrize("package", ARROWS)
def test_who_is_below_does_not_import_who_is_above(package: str) -> None:
    allowed = [f"{PACKAGE}.{name}" for name in (package, *ARROWS[package])]
    wrong = [
        i for i in of(package) if ours(i.target) and i.target != PACKAGE and not within(i.target, *allowed)
    ]
    assert [str(i) for i in wrong] == []


def test_no_two_files_need_each_other() -> None:
    """Whichever is read first, the other one is not needed to understand it; lazy imports and types count."""
    needs: dict[str, set[str]] = {}
    for i in imports():
        if i.target in modules() and i.target != i.importer:
            needs.setdefault(i.importer, set()).add(i.target)
    try:
        TopologicalSorter(needs).prepare()
    except CycleError as error:
        pytest.fail(" imports ".join(reversed(error.args[1])))


@pytest.mark.parametrize("package", ["services", "ui", "cli", "backend"])
def test_who_asks_knows_the_declarations_and_not_the_drivers(package: str) -> None:
    inside = [i for i in of(package) if within(i.target, f"{PACKAGE}.drivers") and not i.typing]
    open_ = (f"{PACKAGE}.drivers",)
    assert [str(i) for i in inside if i.target not in open_] == []


def test_no_platform_s_driver_knows_another_platform_s() -> None:
    platforms = [name.rpartition(".")[0] for name in modules() if name.endswith(".driver")]
    assert len(platforms) >= 2
    wrong = [
        i
        for platform in platforms
        for i in imports()
        if within(i.importer, platform) and within(i.target, *(p for p in platforms if p != platform))
    ]
    assert [str(i) for i in wrong] == []


def test_the_sandbox_shares_no_code_with_the_rest() -> None:
    wrong = [i for i in of("sandbox") if ours(i.target) and not within(i.target, f"{PACKAGE}.sandbox")]
    assert [str(i) for i in wrong] == []


def test_nobody_looks_into_the_sandbox() -> None:
    outside = [
        i
        for i in imports()
        if within(i.target, f"{PACKAGE}.sandbox") and not within(i.importer, f"{PACKAGE}.sandbox")
    ]
    assert [str(i) for i in outside if not i.importer.startswith(f"{PACKAGE}.cli.") or not i.lazy] == []
    assert {i.target for i in outside} <= {f"{PACKAGE}.sandbox", f"{PACKAGE}.sandbox.cli"}


def test_the_command_line_loads_the_application_only_when_it_opens_it() -> None:
    assert [str(i) for i in of("cli") if within(i.target, f"{PACKAGE}.app") and not i.lazy] == []


@pytest.mark.parametrize(
    ("library", "places"),
    [
        ("textual", ("ui", "app")),
        ("rich", ("ui", "app")),
        ("httpx", ("drivers",)),
        ("aiohttp", ("sandbox", "drivers.pool")),
        ("pydantic", ("drivers", "services", "sandbox")),
        ("aiosqlite", ("store",)),
        ("modal", ("drivers.modal.sdk",)),
        ("modal_proto", ("drivers.modal.sdk", "sandbox")),
        ("google", ("drivers.modal.sdk", "sandbox")),
        ("grpclib", ("sandbox", "drivers.modal.sdk")),
        ("keyring", ("credentials",)),
        ("cryptography", ("credentials",)),
        ("sqlite3", ("store",)),
    ],
)
def test_a_library_is_known_in_one_place(library: str, places: tuple[str, ...]) -> None:
    allowed = [f"{PACKAGE}.{place}" for place in places]
    wrong = [i for i in imports() if within(i.target, library) and not within(i.importer, *allowed)]
    assert [str(i) for i in wrong] == []


def test_a_declaration_costs_nothing_to_read() -> None:
    declarations = [name for name in modules() if name.endswith(".declaration")]
    heavy = [
        i
        for i in imports()
        if i.importer in declarations and ours(i.target) and not within(i.target, f"{PACKAGE}.domain")
    ]
    assert declarations and [str(i) for i in heavy] == []


def test_services_wait_for_no_platform() -> None:
    """pydantic is loaded with the first question, not with the module."""
    assert [str(i) for i in of("services") if within(i.target, "pydantic") and not (i.lazy or i.typing)] == []


def loaded(statement: str) -> set[str]:
    """The packages that are there after `statement`, in a process of its own."""
    program = f"import sys; {statement}; print(*sorted({{name.partition('.')[0] for name in sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


HEAVY = {
    "httpx",
    "pydantic",
    "pydantic_core",
    "keyring",
    "cryptography",
    "aiohttp",
    "huggingface_hub",
    "ssl",
    "together",
    "replicate",
    "modal",
    "modal_proto",
    "grpclib",
    "google",
}


@pytest.mark.parametrize(
    ("statement", "unwanted"),
    [
        ("import peft_tui", {"asyncio", "textual", "sqlite3"}),
        ("import peft_tui.cli.main", {"textual", "rich", *HEAVY} - {"ssl"}),
        ("import peft_tui.app", HEAVY - {"ssl"}),
        ("import peft_tui.backend", {"textual", *HEAVY} - {"ssl"}),
        (
            "from peft_tui.drivers import PLATFORMS, capabilities; [capabilities(p) for p in PLATFORMS]",
            HEAVY - {"ssl"},
        ),
        ("import peft_tui.sandbox", {"textual", "httpx", "aiosqlite"}),
        ("import peft_tui.sandbox.server", {"textual", "httpx", "modal", "modal_proto", "grpclib", "google"}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_an_import_loads_no_more_than_it_must(statement: str, unwanted: set[str]) -> None:
    assert loaded(statement) & unwanted == set()


def test_what_is_put_off_is_there_when_it_is_needed() -> None:
    """The checks above must be able to fail: these are the same packages, loaded on purpose."""
    assert {"httpx", "pydantic"} <= loaded("from peft_tui.drivers import load_drivers; load_drivers()")
    assert {"modal", "grpclib", "google"} <= loaded("from peft_tui.drivers.modal.sdk import load; load()")


def test_the_drivers_are_there_without_modal_s_sdk_which_waits_for_the_first_question() -> None:
    there = loaded("from peft_tui.drivers import load_drivers; load_drivers()")
    assert there & {"modal", "modal_proto", "grpclib", "google", "aiohttp"} == set()


def test_the_workers_load_nothing_of_a_screen() -> None:
    assert "textual" not in loaded(
        "import peft_tui.workers.crew; from peft_tui.drivers import load_drivers; load_drivers()"
    )


def test_the_sandbox_runs_without_the_rest_of_the_program() -> None:
    program = """
import sys, peft_tui.sandbox.server
print(*sorted(name for name in sys.modules if name.startswith("peft_tui")))
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert [
        name for name in done.stdout.split() if not within(name, PACKAGE + ".sandbox") and name != PACKAGE
    ] == []
