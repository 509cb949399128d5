"""No way out of the application carries a secret: picture, clipboard, last words, report."""

from __future__ import annotations

import stat
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from textual.content import Content
from textual.widgets import Static

from peft_tui.crash import KEPT, last_words, write_report
from peft_tui.credentials import Secret
from peft_tui.embedded import _without_keys
from peft_tui.redaction import MARK
from tests.driving import drive
from tests.seeds import populated, still_app
from tests.terminal import Terminal

VALUE = "xyzzy-plugh-0123456789-never-seen"
AT = datetime(2026, 3, 14, 12, 0, tzinfo=UTC)


@pytest.fixture(autouse=True)
def known() -> Secret:
    return Secret(VALUE)


async def test_a_picture_shows_dots_also_where_a_colour_or_the_edge_breaks_it(tmp_path: Path) -> None:
    async with drive(still_app(tmp_path, populated)) as at:
        await at.sees("support-bot")
        words = Content.assemble("key ", (VALUE[:9], "bold red"), VALUE[9:], " & more ", " " * 60, VALUE)
        await at.app.screen.mount(Static(words, id="shown"))
        await at.sees("& more")
        for svg in (at.app.export_screenshot(), Path(at.app.save_screenshot(path=str(tmp_path))).read_text()):
            assert "••••" in svg and "&#160;more" in svg
            for start in range(len(VALUE) - 9):
                assert VALUE[start : start + 10] not in svg


async def test_what_is_copied_has_none(tmp_path: Path) -> None:
    async with drive(still_app(tmp_path, populated)) as at:
        await at.sees("support-bot")
        at.app.copy_to_clipboard(f"curl -H 'Authorization: Bearer {VALUE}' https://x")
        assert at.app.clipboard == f"curl -H 'Authorization: Bearer {MARK}' https://x"


def test_a_report_has_the_traceback_and_no_values(tmp_path: Path) -> None:
    try:
        secret_local = VALUE
        raise RuntimeError(f"it broke with {secret_local}")
    except RuntimeError as error:
        path = write_report(tmp_path, error, AT)
        said = last_words(error, path)
    text = path.read_text()
    assert "test_a_report_has_the_traceback" in text and f"it broke with {MARK}" in text
    assert VALUE not in text and VALUE not in said and str(path) in said
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_only_the_newest_reports_are_kept(tmp_path: Path) -> None:
    for minute in range(KEPT + 3):
        write_report(tmp_path, ValueError(str(minute)), AT.replace(minute=minute))
    assert len(list(tmp_path.glob("crash-*.txt"))) == KEPT
    assert not list(tmp_path.glob("crash-*-120000.txt"))


def test_a_child_gets_no_keys() -> None:
    environ = {
        "PATH": "/bin",
        "TOGETHER_API_KEY": "x",
        "HF_TOKEN": "x",
        "MODAL_TOKEN_ID": "x",
        "aws_secret": "x",
    }
    assert _without_keys(environ) == {"PATH": "/bin"}


CRASHING = """
import sys, pathlib
from peft_tui.app import PeftTui
from peft_tui.credentials import Secret
from tests.seeds import still_opener
class Crashing(PeftTui):
    def key_f9(self):
        secret = Secret(sys.argv[2])
        raise RuntimeError(f"cannot use {secret.reveal()}")
app = Crashing(still_opener(pathlib.Path(sys.argv[1])))
app.run()
sys.exit(app.return_code)
"""


async def test_a_crash_restores_the_terminal_and_names_its_report(tmp_path: Path) -> None:
    env = {"PEFT_TUI_DATA_DIR": str(tmp_path / "data")}
    words = [sys.executable, "-c", CRASHING, str(tmp_path / "store"), VALUE]
    async with Terminal.run(words, cwd=Path(__file__).parents[2], env=env) as term:
        await term.sees("Nothing is deployed yet")
        await term.quiet()
        term.press("f9")
        assert await term.wait_exit() == 1
        assert not term.alternate_screen and not term.mouse_tracking
        assert VALUE.encode() not in bytes(term.raw) and "peft-tui failed: RuntimeError" in term.text
        (report,) = (tmp_path / "data").glob("crash-*.txt")
        assert f"cannot use {MARK}" in report.read_text()
