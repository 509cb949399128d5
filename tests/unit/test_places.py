"""Where things lie and who may read them: directories, logs, keys, prices."""

from __future__ import annotations

import logging
import os
import pickle
import stat
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from peft_tui.credentials import Credentials, Secret
from peft_tui.domain.errors import AuthenticationFailed, ConfigurationInvalid
from peft_tui.domain.money import Provenance
from peft_tui.domain.offers import CredentialField
from peft_tui.drivers.prices import price_table
from peft_tui.logs import log_to
from peft_tui.paths import config_dir, data_dir, private_dir
from tests.doubles import capabilities


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def lax() -> Iterator[None]:
    """The umask that most machines have."""
    before = os.umask(0o022)
    yield
    os.umask(before)


class TestPaths:
    @pytest.mark.parametrize(
        ("place", "own", "xdg", "fallback"),
        [
            (data_dir, "PEFT_TUI_DATA_DIR", "XDG_DATA_HOME", ".local/share/peft-tui"),
            (config_dir, "PEFT_TUI_CONFIG_DIR", "XDG_CONFIG_HOME", ".config/peft-tui"),
        ],
    )
    def test_our_own_variable_wins_over_xdg_and_xdg_over_home(
        self,
        monkeypatch: pytest.MonkeyPatch,
        isolated: Path,
        place: object,
        own: str,
        xdg: str,
        fallback: str,
    ) -> None:
        assert callable(place)
        assert place() == isolated / fallback
        monkeypatch.setenv(xdg, "/srv/xdg")
        assert place() == Path("/srv/xdg/peft-tui")
        monkeypatch.setenv(own, "~/mine")
        assert place() == isolated / "mine"
        monkeypatch.setenv(own, "")
        assert place() == Path("/srv/xdg/peft-tui")

    def test_asking_makes_nothing(self, isolated: Path) -> None:
        data_dir(), config_dir()
        assert list(isolated.iterdir()) == []

    @pytest.mark.usefixtures("lax")
    def test_a_directory_that_we_make_is_closed_to_others(self, tmp_path: Path) -> None:
        assert mode(private_dir(tmp_path / "a" / "b")) == 0o700

    @pytest.mark.usefixtures("lax")
    def test_a_directory_of_ours_that_was_opened_is_closed_again(self, tmp_path: Path) -> None:
        (tmp_path / "a").mkdir(mode=0o755)
        assert mode(private_dir(tmp_path / "a")) == 0o700


class TestLogs:
    @pytest.fixture(autouse=True)
    def as_before(self) -> Iterator[None]:
        logger = logging.getLogger("peft_tui")
        handlers, propagate = logger.handlers[:], logger.propagate
        yield
        for handler in logger.handlers:
            if handler not in handlers:
                handler.close()
        logger.handlers[:], logger.propagate = handlers, propagate

    @pytest.mark.usefixtures("lax")
    def test_the_log_is_for_its_owner_only_and_so_is_what_it_rotates_to(self, tmp_path: Path) -> None:
        path = log_to(tmp_path / "logs")
        handler = logging.getLogger("peft_tui").handlers[0]
        assert isinstance(handler, logging.handlers.RotatingFileHandler)
        handler.maxBytes = 200
        for number in range(20):
            logging.getLogger("peft_tui.workers").error("line %d", number)
        assert len(list(path.parent.iterdir())) == 3
        assert {mode(file) for file in path.parent.iterdir()} == {0o600}

    def test_nothing_is_said_on_the_terminal(self, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
        path = log_to(tmp_path)
        logging.getLogger("peft_tui").error("into the file")
        assert capfd.readouterr() == ("", "")
        assert "into the file" in path.read_text()


class TestCredentials:
    OFFERS = capabilities(
        credentials=(CredentialField("A_KEY", "key"), CredentialField("A_PLACE", "place", required=False))
    )

    def test_a_key_is_found(self) -> None:
        assert Credentials({"A_KEY": " s3cret\n"}).secret("A_KEY", "A").reveal() == "s3cret"

    @pytest.mark.parametrize(
        "environ", [{}, {"A_KEY": ""}, {"A_KEY": " \n"}], ids=["unset", "empty", "blank"]
    )
    def test_a_key_that_is_not_there_is_asked_for_by_name(self, environ: dict[str, str]) -> None:
        with pytest.raises(AuthenticationFailed, match="A_KEY is not set") as caught:
            Credentials(environ).secret("A_KEY", "A")
        assert "export A_KEY" in caught.value.hint

    @pytest.mark.parametrize(
        "value", ["s3 cret", "s3\ncret", "s3\tcret", "“s3cret”", "s3cr\u200bet", "s3\x00cret"]
    )
    def test_a_key_that_no_header_takes_is_refused_without_being_shown(self, value: str) -> None:
        with pytest.raises(AuthenticationFailed) as caught:
            Credentials({"A_KEY": value}).secret("A_KEY", "A")
        assert "s3" not in f"{caught.value.message} {caught.value.hint} {caught.value.detail}"

    @pytest.mark.parametrize("environ", [{}, {"A_KEY": ""}, {"A_KEY": "  "}], ids=["unset", "empty", "blank"])
    def test_the_state_names_what_is_missing(self, environ: dict[str, str]) -> None:
        state = Credentials(environ).state(self.OFFERS)
        assert state.missing == ("A_KEY",) and not state.present

    def test_what_is_not_required_is_not_missed(self) -> None:
        assert Credentials({"A_KEY": "x"}).state(self.OFFERS).present

    def test_an_optional_secret_may_be_absent(self) -> None:
        assert Credentials({"HF_TOKEN": "  "}).optional_secret("HF_TOKEN") is None

    def test_text_falls_back_to_its_default(self) -> None:
        assert Credentials({"A_PLACE": " "}).text("A_PLACE", "here") == "here"

    def test_a_secret_does_not_show_itself(self) -> None:
        secret = Secret("s3cret")
        shown = f"{secret} {secret!r} {[secret]} { ({'a': secret}) } %s" % secret
        assert "s3cret" not in shown
        assert not hasattr(secret, "__dict__")

    def test_a_secret_is_not_in_a_traceback_of_its_owner(self) -> None:
        assert "s3cret" not in repr(Credentials({"A_KEY": "s3cret"}))


class TestPrices:
    def own(self, text: str | bytes) -> Path:
        path = private_dir(config_dir()) / "prices.toml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    def test_the_shipped_table_is_dated_and_names_its_source(self) -> None:
        table = price_table("replicate")
        assert table
        for price in table.values():
            assert price.usd_per_hour > 0 and price.provenance is Provenance.ESTIMATED
            assert price.as_of[:2] == "20" and "replicate.com" in price.source

    def test_a_person_s_own_price_wins_and_the_others_stay(self) -> None:
        shipped = price_table("replicate")
        sku = next(iter(shipped))
        self.own(
            f'[replicate]\nsource = "contract"\nas_of = "2026"\n[replicate.usd_per_hour]\n{sku} = "0.01"'
        )
        table = price_table("replicate")
        assert (table[sku].usd_per_hour, table[sku].source) == (Decimal("0.01"), "contract")
        assert {key: table[key] for key in shipped if key != sku} == {
            k: shipped[k] for k in shipped if k != sku
        }

    def test_a_price_is_exact(self) -> None:
        self.own("[replicate.usd_per_hour]\ngpu-x = 0.1\ngpu-y = 3\n")
        table = price_table("replicate")
        assert (table["gpu-x"].usd_per_hour, table["gpu-y"].usd_per_hour) == (Decimal("0.1"), Decimal(3))

    def test_a_table_for_another_platform_changes_nothing(self) -> None:
        shipped = price_table("replicate")
        self.own('[together.usd_per_hour]\ngpu-x = "1"\n')
        assert price_table("replicate") == shipped

    @pytest.mark.parametrize(
        "text",
        [
            "not toml at all",
            "replicate = 3",
            '[replicate]\nusd_per_hour = "many"',
            '[replicate.usd_per_hour]\na = "cheap"',
            '[replicate.usd_per_hour]\na = "NaN"',
            '[replicate.usd_per_hour]\na = "Infinity"',
            '[replicate.usd_per_hour]\na = "-1"',
            "[replicate.usd_per_hour]\na = true",
            "[replicate.usd_per_hour]\na = inf",
            "[replicate.usd_per_hour]\na = [1]",
            b"\xff\xfe",
        ],
        ids=str,
    )
    def test_a_table_that_cannot_be_used_is_refused_by_its_name(self, text: str | bytes) -> None:
        path = self.own(text)
        with pytest.raises(ConfigurationInvalid) as caught:
            price_table("replicate")
        assert str(path) in caught.value.message and caught.value.hint

    @pytest.mark.parametrize("amount", ["cheap", "1,50", ""])
    def test_a_price_that_is_none_is_named(self, amount: str) -> None:
        self.own(f'[replicate.usd_per_hour]\ngpu-x = "{amount}"\n')
        with pytest.raises(ConfigurationInvalid) as caught:
            price_table("replicate")
        assert "gpu-x" in caught.value.message and "<class" not in caught.value.message

    def test_a_directory_in_its_place_is_refused(self) -> None:
        private_dir(config_dir() / "prices.toml")
        with pytest.raises(ConfigurationInvalid, match="cannot be read"):
            price_table("replicate")


def test_a_secret_cannot_be_written_down_by_accident() -> None:
    assert b"s3cret" not in pickle.dumps(Credentials({})) and "s3cret" not in repr([Secret("s3cret")])
