"""How an environment for a vendor's SDK is made, found again, and done without."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conformance import environment
from tests.conformance.environment import Environment, Unavailable, make, need


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    around = {key: value for key, value in environment.AROUND.items() if key != "CI"}
    monkeypatch.setattr(environment, "AROUND", {**around, "PEFT_TUI_CONFORMANCE_DIR": str(tmp_path)})
    return tmp_path


@pytest.fixture
def pip(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was installed, without installing it."""
    made: list[str] = []

    def install(place: Path, requirements: tuple[str, ...]) -> None:
        if "broken" in requirements:
            raise Unavailable("no such thing")
        place.mkdir()
        made.extend(requirements)

    monkeypatch.setattr(environment, "_install", install)
    return made


def test_it_is_made_once_and_under_the_name_of_what_is_in_it(pip: list[str]) -> None:
    first = make("sdk==1")
    assert need("sdk==1") == first and pip == ["sdk==1"]
    assert need("sdk==2") != first and pip == ["sdk==1", "sdk==2"]


def test_one_that_was_left_half_made_is_made_anew(pip: list[str], cache: Path) -> None:
    place = make("sdk==1").python.parents[1]
    (place / "whole").unlink()
    make("sdk==1")
    assert pip == ["sdk==1", "sdk==1"]


def test_where_it_cannot_be_made_the_test_is_skipped_with_the_reason(pip: list[str]) -> None:
    with pytest.raises(pytest.skip.Exception, match="broken: no such thing"):
        need("broken")


def test_a_heavy_one_is_not_made_unasked_but_used_where_it_is(pip: list[str]) -> None:
    with pytest.raises(pytest.skip.Exception, match="tests.conformance.environment sdk==1"):
        need("sdk==1", heavy=True)
    assert pip == []
    made = make("sdk==1")
    assert need("sdk==1", heavy=True) == made


def test_in_ci_nothing_is_skipped(pip: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(environment.AROUND, "CI", "true")
    need("sdk==1", heavy=True)
    assert pip == ["sdk==1"]
    with pytest.raises(Unavailable):
        need("broken")


async def test_a_script_tells_its_facts_on_the_last_line(tmp_path: Path) -> None:
    import sys

    here = Environment(Path(sys.executable))
    script = tmp_path / "script.py"
    script.write_text("import os; print('noise'); print('facts: {\"a\": \"' + os.environ['A'] + '\"}')")
    assert await here.facts(str(script), {"A": "b"}) == {"a": "b"}
    script.write_text("print('noise'); raise SystemExit('it broke')")
    with pytest.raises(AssertionError, match="(?s)noise.*it broke"):
        await here.facts(str(script), {})
