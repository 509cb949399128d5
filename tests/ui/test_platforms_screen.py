"""Credentials by keys: seen, set, replaced, checked, deleted, and no secret on the screen."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from textual.events import Paste

from peft_tui.app import PeftTui
from peft_tui.credentials import Credentials, Place, Secret, Vault
from peft_tui.domain.errors import AuthenticationFailed
from peft_tui.domain.offers import Account
from peft_tui.services.lookups import Question, Topic
from peft_tui.ui.screens.deployments import DeploymentsScreen
from peft_tui.ui.screens.platforms import PlatformsScreen
from peft_tui.ui.screens.platforms.prompt import Prompt, SecretField
from tests.credentials.conftest import FakeKeyring, Open, keyring, open_vault
from tests.driving import Driver, drive
from tests.seeds import NOON, StillBackend, still_opener

__all__ = ["keyring", "open_vault"]
VALUE = "tgp_v1_not-for-any-eye"


@asynccontextmanager
async def at_credentials(
    directory: Path,
    vault: Vault,
    *,
    environ: dict[str, str] | None = None,
    sandbox: bool = False,
    size: tuple[int, int] = (80, 24),
) -> AsyncIterator[tuple[Driver, StillBackend]]:
    opener = still_opener(directory, None, None, environ or {})
    made: list[StillBackend] = []

    async def open_backend() -> StillBackend:
        backend = await opener()
        assert isinstance(backend, StillBackend)
        backend.credentials = Credentials(environ or {}, vault)
        await vault.load()
        made.append(backend)
        return backend

    async with drive(PeftTui(open_backend, sandbox=sandbox), size) as at:
        await at.until(lambda: isinstance(at.app.screen, DeploymentsScreen))
        await at.sees("Nothing is deployed yet")
        await at.press("C")
        await at.until(lambda: isinstance(at.app.screen, PlatformsScreen))
        await at.sees("Credentials")
        yield at, made[0]


async def asked_for(at: Driver, *words: str) -> None:
    await at.sees(*words)
    await at.until(lambda: isinstance(at.app.screen, Prompt) and isinstance(at.app.focused, SecretField))


async def test_where_each_comes_from_is_seen_at_once(tmp_path: Path, open_vault: Open) -> None:
    environ = {"TOGETHER_API_KEY": VALUE, "TOGETHER_BASE_URL": "https://else.example"}
    async with at_credentials(tmp_path, open_vault(), environ=environ, size=(80, 50)) as (at, _):
        await at.sees("Together AI TOGETHER_API_KEY ✓ environment", "v asks the platform whose it is")
        await at.sees("TOGETHER_BASE_URL ✓ environment https://else.example")
        await at.sees(
            "Replicate REPLICATE_API_TOKEN ✖ not set", "REPLICATE_BASE_URL · https://api.replicate.com"
        )
        await at.sees("New ones are kept in the keyring: Fake Secret Service.")
        assert VALUE not in at.text


async def test_a_key_is_pasted_kept_and_asked_about(
    tmp_path: Path, open_vault: Open, keyring: FakeKeyring
) -> None:
    async with at_credentials(tmp_path, open_vault()) as (at, backend):
        await at.press("enter")
        await asked_for(at, "Together AI: API key", "it will be kept in the keyring")
        at.app.screen.query_one(SecretField).post_message(Paste(f" {VALUE[:9]}\n{VALUE[9:]} \n"))
        await at.sees("••••••••")
        assert VALUE not in at.text
        await at.press("enter")
        await at.sees("TOGETHER_API_KEY is kept in the keyring", "✓ keyring", "asking whose it is")
        assert keyring.values == {"TOGETHER_API_KEY": VALUE} and VALUE not in at.text
        question = Question("together", Topic.CHECK)
        assert backend.lookups._waiting == [question]
        await backend.lookups.write(question, NOON, Account("proj_1", "acme", "project Default"))
        await at.sees("✓ acme · project Default just now")


async def test_what_a_platform_says_against_a_key_stands_there(tmp_path: Path, open_vault: Open) -> None:
    async with at_credentials(tmp_path, open_vault(), environ={"TOGETHER_API_KEY": VALUE}) as (at, backend):
        await at.press("v")
        await at.sees("asking whose it is")
        refused = AuthenticationFailed("Together AI does not accept the key.", hint="Check that it is whole.")
        await backend.lookups.write(Question("together", Topic.CHECK), NOON, error=refused)
        await at.sees("✖ Together AI does not accept the key.", "Check that it is whole.")


async def test_a_deletion_is_asked_about_and_then_complete(
    tmp_path: Path, open_vault: Open, keyring: FakeKeyring
) -> None:
    vault = open_vault()
    await vault.put("TOGETHER_API_KEY", Secret(VALUE))
    async with at_credentials(tmp_path, vault) as (at, _):
        await at.sees("✓ keyring")
        await at.press("x")
        await at.sees("Delete TOGETHER_API_KEY from the keyring? y delete n keep")
        await at.press("n")
        await at.gone("Delete TOGETHER_API_KEY from")
        assert keyring.values
        await at.press("x", "y")
        await at.sees("was deleted from the keyring", "TOGETHER_API_KEY ✖ not set")
        assert keyring.values == {}


async def test_what_the_command_line_sets_or_deletes_meanwhile_is_seen(
    tmp_path: Path, open_vault: Open
) -> None:
    async with at_credentials(tmp_path, open_vault()) as (at, _):
        await at.sees("TOGETHER_API_KEY ✖ not set")
        elsewhere = open_vault()
        await elsewhere.put("TOGETHER_API_KEY", Secret(VALUE))
        await at.sees("TOGETHER_API_KEY ✓ keyring")
        await elsewhere.delete("TOGETHER_API_KEY")
        await at.sees("TOGETHER_API_KEY ✖ not set")


async def test_without_a_keyring_it_says_so_and_a_passphrase_begins_a_file(
    tmp_path: Path, open_vault: Open
) -> None:
    vault = open_vault(without_keyring=True)
    async with at_credentials(tmp_path, vault) as (at, _):
        await at.sees("for this session only", "keyring: there is none on this machine")
        await at.press("u")
        await asked_for(at, "A passphrase for an encrypted file")
        await at.type("open sesame")
        await at.press("enter")
        await asked_for(at, "The same once more")
        await at.type("open barley")
        await at.press("enter")
        await at.sees("it is not the same")
        await at.press(*["backspace"] * 6)
        await at.type("sesame")
        await at.press("enter")
        await at.sees("New ones are kept in the encrypted file")
        await at.press("enter")
        await asked_for(at, "it will be kept in the encrypted file")
        await at.type("a-key-that-was-typed")
        await at.press("enter")
        await at.sees("✓ encrypted file")
    again = open_vault(without_keyring=True, passphrase="open sesame")
    found = await again.get("TOGETHER_API_KEY")
    assert found is not None and found.reveal() == "a-key-that-was-typed"


async def test_a_locked_file_is_unlocked_from_here(tmp_path: Path, open_vault: Open) -> None:
    await open_vault(without_keyring=True, passphrase="open sesame").put("TOGETHER_API_KEY", Secret(VALUE))
    async with at_credentials(tmp_path, open_vault(without_keyring=True)) as (at, backend):
        await at.sees("! locked", "the encrypted file is locked: u unlocks")
        await at.press("u")
        await asked_for(at, "The passphrase of the encrypted file")
        await at.type("wrong")
        await at.press("enter")
        await asked_for(at, "The passphrase does not open credentials.sealed")
        await at.type("open sesame")
        await at.press("enter")
        await at.sees("✓ encrypted file")
        assert backend.credentials.place("TOGETHER_API_KEY") is Place.FILE


async def test_what_cannot_be_a_key_is_refused_in_words(
    tmp_path: Path, open_vault: Open, keyring: FakeKeyring
) -> None:
    async with at_credentials(tmp_path, open_vault()) as (at, _):
        await at.press("enter")
        await asked_for(at, "API key")
        await at.press("enter")
        await at.sees("paste or type it")
        await at.type("two words")
        await at.press("enter")
        await at.sees("holds something that no key holds")
        assert keyring.values == {}


async def test_what_is_no_secret_is_shown_while_it_is_changed(
    tmp_path: Path, open_vault: Open, keyring: FakeKeyring
) -> None:
    environ = {"REPLICATE_BASE_URL": "https://a.example"}
    async with at_credentials(tmp_path, open_vault(), environ=environ) as (at, _):
        await at.press("j", "j", "j", "j", "enter")
        await asked_for(at, "Replicate: API address", "https://a.example", "set in the environment too")
        await at.press("escape")
        await at.until(lambda: isinstance(at.app.screen, PlatformsScreen))
        assert keyring.values == {}


async def test_nothing_can_be_copied_out_of_the_field(tmp_path: Path, open_vault: Open) -> None:
    async with at_credentials(tmp_path, open_vault()) as (at, _):
        await at.press("enter")
        await asked_for(at, "API key")
        await at.type("abcdefgh")
        await at.press("ctrl+shift+a", "shift+home", "ctrl+c", "ctrl+x")
        assert at.app.clipboard == ""


async def test_the_sandbox_keeps_for_the_session_and_offers_no_passphrase(tmp_path: Path) -> None:
    async with at_credentials(tmp_path, Vault(None), sandbox=True) as (at, _):
        await at.sees("SANDBOX", "New ones are kept for this session only.")
        await at.until(lambda: "unlock" not in at.footer)


@pytest.mark.parametrize("size", [(60, 20), (40, 12), (140, 40)], ids=str)
async def test_it_is_whole_in_every_size(tmp_path: Path, open_vault: Open, size: tuple[int, int]) -> None:
    async with at_credentials(tmp_path, open_vault(), environ={"TOGETHER_API_KEY": VALUE}, size=size) as (
        at,
        _,
    ):
        await at.sees("Together AI", "TOGETHER_API_KEY", "✓ environment")
        assert all(len(line) <= size[0] for line in at.lines)
        await at.press("j", "j", "j")
        await at.sees("REPLICATE_API_TOKEN")
        await at.press("question_mark")
        await at.sees("type to search the keys")


async def test_a_first_run_leads_to_credentials_or_the_sandbox_in_one_key(tmp_path: Path) -> None:
    app = PeftTui(still_opener(tmp_path, None, None, {}))
    async with drive(app) as at:
        await at.sees("Nothing is deployed yet.", "C credentials: set, check")
        await at.sees("b try it all in the sandbox: no account, no bill")
        assert at.text.index("C  credentials") < at.text.index("n  new deployment")
        await at.press("b")
        await at.until(lambda: app.wants_sandbox)
