"""config.toml: what is right is in force, what is wrong is told with its line and what was expected."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator, ValidationError

from peft_tui.config import Config, Settings, as_toml, documentation, load, schema


def written(tmp_path: Path, text: str, environ: dict[str, str] | None = None) -> Settings:
    (tmp_path / "config.toml").write_text(text)
    return load(tmp_path, environ or {})


def told(settings: Settings) -> str:
    return "\n".join(str(problem) for problem in settings.problems)


def test_without_a_file_the_defaults_are_in_force(tmp_path: Path) -> None:
    settings = load(tmp_path, {})
    assert settings.config == Config() and settings.problems == () and settings.sources == {}


def test_what_the_file_says_is_in_force(tmp_path: Path) -> None:
    settings = written(
        tmp_path,
        'theme = "nord"\nmouse = false\nascii = "always"\nrefresh_seconds = 30\nkeep_texts = false\n'
        'keep_days = 7\nlog_level = "debug"\n[keymap]\n"deployments.new" = "ctrl+n,f2"\nquick.help = "h"\n',
    )
    assert settings.problems == ()
    assert settings.config == Config(
        "nord",
        False,
        "always",
        True,
        30,
        False,
        7,
        "debug",
        {"deployments.new": "ctrl+n,f2", "quick.help": "h"},
    )
    assert settings.sources["theme"].endswith("config.toml")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "refresh_secs = 9",
            "config.toml, line 2: there is no setting “refresh_secs”; did you mean refresh_s",
        ),
        ("refresh_seconds = 1", "line 2: refresh_seconds must be a whole number from 5 to 3600, not 1"),
        ('refresh_seconds = "soon"', "line 2: refresh_seconds must be a whole number"),
        ("refresh_seconds = true", "line 2: refresh_seconds must be a whole number"),
        ('mouse = "perhaps"', "line 2: mouse must be true or false, not perhaps"),
        ('log_level = "warn"', "must be one of debug, info, warning, error (warning?), not warn"),
        ("theme = 3", "theme must be a text in quotes, not 3"),
        ("zzz = 1", "there is no setting “zzz”; there are: theme, mouse"),
        ("[keymap]\nx = 3", 'config.toml, line 3: x must be keys such as "n"'),
        ("keymap = 3", "keymap must be a table"),
        ("theme = ", "config.toml, line 2: this is no TOML (Invalid value); none of the file is in force"),
    ],
)
def test_what_is_wrong_is_told_and_the_default_stands_in(tmp_path: Path, text: str, expected: str) -> None:
    settings = written(tmp_path, f"# mine\n{text}\n")
    assert expected in told(settings)
    assert settings.config == Config()


def test_one_wrong_line_does_not_spoil_the_others(tmp_path: Path) -> None:
    settings = written(tmp_path, 'mouse = 7\ntheme = "nord"\n')
    assert settings.config.theme == "nord" and settings.config.mouse and len(settings.problems) == 1


@pytest.mark.parametrize("text", [b"\xff\xfe", None], ids=["not text", "a directory"])
def test_a_file_that_cannot_be_read_is_told(tmp_path: Path, text: bytes | None) -> None:
    path = tmp_path / "config.toml"
    if text is None:
        path.mkdir()
    else:
        path.write_bytes(text)
    settings = load(tmp_path, {})
    assert settings.config == Config() and "cannot be read" in told(settings)


def test_the_environment_wins_and_is_named(tmp_path: Path) -> None:
    settings = written(
        tmp_path,
        'theme = "nord"\n',
        {"PEFT_TUI_THEME": "gruvbox", "PEFT_TUI_MOUSE": "off", "PEFT_TUI_X": "1"},
    )
    assert settings.config.theme == "gruvbox" and not settings.config.mouse
    assert settings.sources["mouse"] == "PEFT_TUI_MOUSE" and settings.problems == ()


def test_a_variable_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    settings = written(tmp_path, "refresh_seconds = 9", {"PEFT_TUI_REFRESH_SECONDS": "0"})
    assert told(settings).startswith("PEFT_TUI_REFRESH_SECONDS: refresh_seconds must be")
    assert settings.config.refresh_seconds == 9


@given(st.text(max_size=60))
def test_no_text_at_all_makes_it_fail(text: str) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as directory:
        Path(directory, "config.toml").write_text(text, "utf-8", errors="replace")
        load(Path(directory), {"PEFT_TUI_ASCII": text.replace("\0", "")})


def test_every_setting_is_documented_and_stands_in_schema_and_file(tmp_path: Path) -> None:
    words = documentation()
    assert set(words) == set(Config.__dataclass_fields__) == set(schema()["properties"])
    text = as_toml(Settings())
    assert tomllib.loads(text) == {"keymap": {}}, "defaults are comments"
    for sentence in words.values():
        assert f"# {sentence}" in text


def test_what_is_printed_is_read_back_as_the_same(tmp_path: Path) -> None:
    config = Config('a"\\b', False, "never", False, 77, False, 30, "error", {"a.b": 'c"d'})
    (tmp_path / "config.toml").write_text(as_toml(Settings(config), {"x.y": "z"}))
    again = load(tmp_path, {})
    assert again.config == config and again.problems == ()


def test_the_schema_takes_what_the_program_takes(tmp_path: Path) -> None:
    check = Draft202012Validator(schema())
    check.validate({"refresh_seconds": 5, "log_level": "info", "keymap": {"a": "b"}})
    for wrong in ({"refresh_seconds": 4}, {"log_level": "loud"}, {"themes": "x"}, {"mouse": "yes"}):
        with pytest.raises(ValidationError):
            check.validate(wrong)
    json.dumps(schema())


def test_no_parser_is_loaded_while_there_is_nothing_to_parse(tmp_path: Path) -> None:
    code = "import sys, pathlib; from peft_tui.config import load; load(pathlib.Path(sys.argv[1]), {});"
    code += "print('tomllib' in sys.modules, 'pydantic' in sys.modules, 'inspect' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True)
    assert done.stdout.split()[:2] == ["False", "False"]
