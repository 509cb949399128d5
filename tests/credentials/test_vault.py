"""The ladder: where a secret goes, where it is found again, and that it is gone when it is deleted."""

from __future__ import annotations

import asyncio
import json
import stat
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from peft_tui.credentials import Credentials, Place, Secret, Vault
from peft_tui.credentials.ring import Ring
from peft_tui.domain.errors import AuthenticationFailed, ConfigurationInvalid, PeftTuiError
from peft_tui.domain.offers import CredentialField
from tests.credentials.conftest import FakeKeyring, Open
from tests.doubles import capabilities

KEY = CredentialField("A_KEY", "key")
OFFERS = capabilities(credentials=(KEY, CredentialField("A_PLACE", "place", secret=False, required=False)))
VALUE = "tgp_s3cret-value-of-a-key"


def everything_under(directory: Path) -> bytes:
    return b"".join(p.read_bytes() for p in sorted(directory.rglob("*")) if p.is_file())


async def value_of(vault: Vault, name: str = "A_KEY") -> str | None:
    found = await vault.get(name)
    return found.reveal() if found is not None else None


class TestKeyring:
    async def test_it_is_the_first_rung_and_another_process_finds_what_was_put(
        self, open_vault: Open, keyring: FakeKeyring, tmp_path: Path
    ) -> None:
        assert await open_vault().put("A_KEY", Secret(VALUE)) is Place.KEYRING
        assert keyring.values == {"A_KEY": VALUE}, "the canary is gone"
        again = open_vault()
        await again.load()
        found = again.known("A_KEY")
        assert found is not None and found[0].reveal() == VALUE and found[1] is Place.KEYRING
        assert VALUE.encode() not in everything_under(tmp_path)

    async def test_it_is_not_touched_while_nothing_is_kept(
        self, open_vault: Open, keyring: FakeKeyring
    ) -> None:
        vault = open_vault()
        await vault.load()
        assert vault.settled and keyring.calls == 0

    async def test_what_is_deleted_is_deleted_there(self, open_vault: Open, keyring: FakeKeyring) -> None:
        await open_vault().put("A_KEY", Secret(VALUE))
        vault = open_vault()
        assert await vault.delete("A_KEY") == (Place.KEYRING,)
        assert keyring.values == {} and await value_of(vault) is None and vault.names() == ()

    async def test_one_that_hangs_is_given_up_and_not_asked_again(
        self, open_vault: Open, keyring: FakeKeyring
    ) -> None:
        keyring.hangs = True
        vault = open_vault(seconds=0.1)
        assert await vault.put("A_KEY", Secret(VALUE)) is Place.SESSION
        calls = keyring.calls
        rungs = {rung.place: rung for rung in await vault.rungs()}
        assert not rungs[Place.KEYRING].usable and "does not answer" in rungs[Place.KEYRING].words
        assert keyring.calls == calls

    async def test_one_that_was_unlocked_meanwhile_is_used_when_looked_at_again(
        self, open_vault: Open, keyring: FakeKeyring
    ) -> None:
        keyring.fails = type("KeyringLocked", (Exception,), {})("locked")
        vault = open_vault()
        assert (await vault.rungs())[0].words == "it is locked"
        keyring.fails = None
        assert not (await vault.rungs())[0].usable
        assert (await vault.rungs(again=True))[0].usable

    async def test_one_that_keeps_nothing_is_found_out(self, tmp_path: Path) -> None:
        class Null(FakeKeyring):
            def set_password(self, service: str, name: str, value: str) -> None:
                pass

            def delete_password(self, service: str, name: str) -> None:
                pass

        assert "does not keep" in await Ring(Null).check()

    async def test_one_that_does_not_delete_is_not_believed(
        self, open_vault: Open, keyring: FakeKeyring, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        vault = open_vault()
        await vault.put("A_KEY", Secret(VALUE))
        monkeypatch.setattr(keyring, "delete_password", lambda service, name: None)
        with pytest.raises(PeftTuiError, match="still in the keyring"):
            await vault.delete("A_KEY")
        assert vault.names() == ("A_KEY",), "it stays listed, to be deleted another time"

    async def test_a_key_that_cannot_be_read_now_is_told_apart_from_one_that_is_not_there(
        self, open_vault: Open, keyring: FakeKeyring
    ) -> None:
        await open_vault().put("A_KEY", Secret(VALUE))
        keyring.fails = type("KeyringLocked", (Exception,), {})("locked")
        credentials = Credentials({}, open_vault())
        await credentials.load()
        state = credentials.state(OFFERS)
        assert not state.present and state.trouble == "the keyring: it is locked"
        with pytest.raises(AuthenticationFailed, match="it is locked"):
            credentials.secret("A_KEY", "A")

    @pytest.mark.parametrize(
        ("backend", "words"),
        [
            ("keyring.backends.fail.Keyring", "there is none on this machine"),
            ("keyring.backends.null.Keyring", "switched off"),
        ],
    )
    async def test_the_library_s_own_ways_of_having_none(
        self, monkeypatch: pytest.MonkeyPatch, backend: str, words: str
    ) -> None:
        import keyring.core

        monkeypatch.setenv("PYTHON_KEYRING_BACKEND", backend)
        monkeypatch.setattr(keyring.core, "_keyring_backend", None)
        assert words in await Ring().check()

    def test_a_call_that_hangs_does_not_keep_the_program_from_ending(self) -> None:
        program = """
import asyncio, time
from peft_tui.credentials.ring import Ring
class Hanging:
    def set_password(self, *words): time.sleep(600)
print(asyncio.run(Ring(Hanging, seconds=0.05).check()))
"""
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
        assert "does not answer" in done.stdout and done.returncode == 0


class TestSealedFile:
    async def test_it_takes_over_where_there_is_no_keyring(self, open_vault: Open, tmp_path: Path) -> None:
        vault = open_vault(without_keyring=True, passphrase="open sesame")
        assert await vault.put("A_KEY", Secret(VALUE)) is Place.FILE
        assert await value_of(open_vault(without_keyring=True, passphrase="open sesame")) == VALUE
        kept = tmp_path / "config" / "credentials.sealed"
        assert stat.S_IMODE(kept.stat().st_mode) == 0o600
        assert stat.S_IMODE(kept.parent.stat().st_mode) == 0o700
        written = everything_under(tmp_path)
        assert VALUE.encode() not in written and b"sesame" not in written

    async def test_without_its_passphrase_it_is_locked_and_says_so(self, open_vault: Open) -> None:
        await open_vault(without_keyring=True, passphrase="open sesame").put("A_KEY", Secret(VALUE))
        locked = open_vault(without_keyring=True)
        await locked.load()
        assert locked.is_locked and locked.trouble("A_KEY") == "the encrypted file is locked"
        with pytest.raises(AuthenticationFailed, match="does not open"):
            await locked.unlock("open barley")
        await locked.unlock("open sesame")
        assert await value_of(locked) == VALUE and not locked.is_locked

    async def test_a_wrong_passphrase_of_the_environment_is_told(self, open_vault: Open) -> None:
        await open_vault(without_keyring=True, passphrase="open sesame").put("A_KEY", Secret(VALUE))
        vault = open_vault(without_keyring=True, passphrase="wrong")
        await vault.load()
        assert "does not open" in vault.trouble("A_KEY")
        assert "does not open" in (await vault.rungs())[1].words

    async def test_what_is_deleted_is_not_in_it(self, open_vault: Open, tmp_path: Path) -> None:
        vault = open_vault(without_keyring=True, passphrase="open sesame")
        await vault.put("A_KEY", Secret(VALUE))
        await vault.put("B_KEY", Secret("another-value"))
        assert await vault.delete("A_KEY") == (Place.FILE,)
        again = open_vault(without_keyring=True, passphrase="open sesame")
        assert await value_of(again) is None and await value_of(again, "B_KEY") == "another-value"
        await again.delete("B_KEY")
        assert not (tmp_path / "config" / "credentials.sealed").exists()

    async def test_what_is_in_a_locked_file_is_not_said_to_be_deleted(self, open_vault: Open) -> None:
        await open_vault(without_keyring=True, passphrase="open sesame").put("A_KEY", Secret(VALUE))
        locked = open_vault(without_keyring=True)
        with pytest.raises(AuthenticationFailed, match="locked"):
            await locked.delete("A_KEY")
        assert await value_of(open_vault(without_keyring=True, passphrase="open sesame")) == VALUE

    @pytest.mark.parametrize(
        "change",
        [
            {"n": 2**9},
            {"n": 2**30},
            {"n": 3000},
            {"kdf": "none"},
            {"salt": "AAAA"},
            {"nonce": "AAAA"},
            {"format": 2},
        ],
        ids=str,
    )
    async def test_one_that_was_tampered_with_is_refused(
        self, open_vault: Open, tmp_path: Path, change: dict[str, object]
    ) -> None:
        await open_vault(without_keyring=True, passphrase="open sesame").put("A_KEY", Secret(VALUE))
        path = tmp_path / "config" / "credentials.sealed"
        path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
        with pytest.raises((ConfigurationInvalid, AuthenticationFailed)):
            await open_vault(without_keyring=True).unlock("open sesame")

    async def test_two_processes_that_write_at_once_lose_nothing(self, open_vault: Open) -> None:
        vaults = [open_vault(without_keyring=True, passphrase="open sesame") for _ in range(2)]
        await vaults[0].put("FIRST", Secret("first-value"))
        for vault in vaults:
            await vault.unlock("open sesame")
        names = [f"KEY_{number}" for number in range(12)]
        await asyncio.gather(
            *(vaults[i % 2].put(name, Secret(f"value of {name}")) for i, name in enumerate(names))
        )
        again = open_vault(without_keyring=True, passphrase="open sesame")
        assert [await value_of(again, name) for name in names] == [f"value of {name}" for name in names]


class TestLadder:
    async def test_a_new_value_leaves_no_older_one_behind(
        self, open_vault: Open, keyring: FakeKeyring, tmp_path: Path
    ) -> None:
        await open_vault(without_keyring=True, passphrase="open sesame").put("A_KEY", Secret("old-value-1"))
        vault = open_vault(passphrase="open sesame")
        await vault.load()
        assert await vault.put("A_KEY", Secret(VALUE)) is Place.KEYRING
        assert keyring.values == {"A_KEY": VALUE} and vault.places("A_KEY") == (Place.KEYRING,)
        assert not (tmp_path / "config" / "credentials.sealed").exists()

    async def test_an_older_one_that_cannot_be_erased_is_remembered_and_erased_by_a_delete(
        self, open_vault: Open, keyring: FakeKeyring
    ) -> None:
        await open_vault().put("A_KEY", Secret("old-value-1"))
        keyring.fails = type("KeyringLocked", (Exception,), {})("locked")
        await open_vault(passphrase="open sesame").put("A_KEY", Secret(VALUE))
        keyring.fails = None
        vault = open_vault(passphrase="open sesame")
        await vault.load()
        assert await value_of(vault) == VALUE, "the newer one is in use"
        assert await vault.delete("A_KEY") == (Place.FILE, Place.KEYRING)
        assert keyring.values == {}

    async def test_the_last_rung_is_this_session_and_no_file(self, open_vault: Open, tmp_path: Path) -> None:
        vault = open_vault(without_keyring=True)
        assert await vault.put("A_KEY", Secret(VALUE)) is Place.SESSION
        assert await value_of(vault) == VALUE
        await vault.load()
        assert await value_of(vault) == VALUE, "reading what is kept forgets nothing"
        assert await value_of(open_vault(without_keyring=True)) is None
        assert VALUE.encode() not in everything_under(tmp_path)

    async def test_a_place_can_be_asked_for_and_is_not_exchanged_for_another(
        self, open_vault: Open, keyring: FakeKeyring
    ) -> None:
        vault = open_vault()
        assert await vault.put("A_KEY", Secret(VALUE), Place.SESSION) is Place.SESSION
        assert keyring.values == {}
        with pytest.raises(PeftTuiError):
            await vault.put("A_KEY", Secret(VALUE), Place.FILE)

    async def test_names_of_other_things_are_kept_too_and_read_when_wanted(
        self, open_vault: Open, keyring: FakeKeyring
    ) -> None:
        await open_vault().put("deployment/4711/env/DB_URL", Secret("postgres://u:p w@h/db"))
        vault = open_vault()
        await vault.load()
        assert vault.known("deployment/4711/env/DB_URL") is None
        assert await value_of(vault, "deployment/4711/env/DB_URL") == "postgres://u:p w@h/db"
        assert vault.names("deployment/4711/") == ("deployment/4711/env/DB_URL",)
        assert await value_of(vault, "deployment/4711/env/OTHER") is None

    async def test_without_a_directory_nothing_is_kept_and_nothing_looked_at(self) -> None:
        vault = Vault(None)
        assert vault.settled
        assert await vault.put("A_KEY", Secret(VALUE)) is Place.SESSION
        assert await value_of(vault) == VALUE
        assert await vault.delete("A_KEY") == (Place.SESSION,)
        assert await value_of(vault) is None

    async def test_an_index_that_is_none_does_not_keep_the_environment_from_being_used(
        self, open_vault: Open, tmp_path: Path
    ) -> None:
        (tmp_path / "config").mkdir()
        (tmp_path / "config" / "credentials.json").write_text("{")
        credentials = Credentials({"A_KEY": "x-from-environ"}, open_vault())
        await credentials.load()
        assert credentials.secret("A_KEY", "A").reveal() == "x-from-environ"
        assert "credentials.json cannot be read" in credentials.vault.fault
        assert await credentials.set(KEY, VALUE) is Place.SESSION


class TestCredentials:
    async def test_the_environment_always_wins(self, open_vault: Open) -> None:
        credentials = Credentials({"A_KEY": "x-from-environ"}, open_vault())
        assert await credentials.set(KEY, VALUE) is Place.KEYRING
        assert credentials.secret("A_KEY", "A").reveal() == "x-from-environ"
        assert credentials.place("A_KEY") is Place.ENVIRONMENT
        assert credentials.state(OFFERS).source == "environment"

    def test_who_is_in_the_sandbox_already_is_not_sent_there(self) -> None:
        with pytest.raises(AuthenticationFailed) as outside:
            Credentials({}).secret("REPLICATE_API_TOKEN", "Replicate")
        with pytest.raises(AuthenticationFailed) as inside:
            here = {"MODAL_SERVER_URL": "http://127.0.0.1:8462"}
            Credentials(here).secret("MODAL_PROXY_TOKEN_ID", "Modal")
        assert "--sandbox" in outside.value.hint and "--sandbox" not in inside.value.hint

    async def test_the_state_names_the_store_in_use(self, open_vault: Open) -> None:
        credentials = Credentials({}, open_vault())
        await credentials.set(KEY, f" {VALUE}\n")
        state = credentials.state(OFFERS)
        assert state.present and state.source == "keyring"
        assert credentials.secret("A_KEY", "A").reveal() == VALUE

    async def test_before_the_vault_is_read_the_state_says_that_it_is_not_settled(
        self, open_vault: Open
    ) -> None:
        assert Credentials({}, open_vault()).state(OFFERS).settled, "nothing is kept: nothing to wait for"
        await open_vault().put("A_KEY", Secret(VALUE))
        credentials = Credentials({}, open_vault())
        assert not credentials.state(OFFERS).settled
        await credentials.load()
        assert credentials.state(OFFERS).settled

    async def test_whoever_listens_is_told_each_name_that_changes(self, open_vault: Open) -> None:
        await open_vault(without_keyring=True, passphrase="open sesame").put("B_KEY", Secret("another-value"))
        credentials = Credentials({}, open_vault(without_keyring=True))
        await credentials.load()
        told: list[str] = []
        forget = credentials.listen(told.append)
        await credentials.unlock("open sesame")
        await credentials.set(KEY, VALUE)
        await credentials.delete("A_KEY")
        forget()
        await credentials.set(KEY, VALUE)
        assert told == ["B_KEY", "A_KEY", "A_KEY"]

    @pytest.mark.parametrize("value", ["", " \n", "two words", "“quoted”", "a\x00b"], ids=repr)
    async def test_what_cannot_be_a_key_is_refused_before_it_is_kept(
        self, open_vault: Open, keyring: FakeKeyring, value: str
    ) -> None:
        with pytest.raises(AuthenticationFailed):
            await Credentials({}, open_vault()).set(KEY, value)
        assert keyring.values == {}


class TestAnotherProcess:
    """What is set or deleted on the command line, while the application runs."""

    @pytest.fixture(params=["keyring", "file"])
    def opened(self, request: pytest.FixtureRequest, open_vault: Open) -> Open:
        if request.param == "keyring":
            return open_vault
        return partial(open_vault, without_keyring=True, passphrase="open sesame")

    async def test_what_it_sets_replaces_and_deletes_is_taken_up_and_told(self, opened: Open) -> None:
        ours, theirs = Credentials({}, opened()), Credentials({}, opened())
        await ours.load()
        told: list[str] = []
        ours.listen(told.append)
        await theirs.set(KEY, VALUE)
        await ours.notice_others()
        assert ours.text("A_KEY") == VALUE and told == ["A_KEY"]
        await theirs.set(KEY, "another-value-of-it")
        await ours.notice_others()
        assert ours.text("A_KEY") == "another-value-of-it" and told == ["A_KEY"] * 2
        await theirs.delete("A_KEY")
        await ours.notice_others()
        assert ours.text("A_KEY") == "" and ours.place("A_KEY") is None and told == ["A_KEY"] * 3

    async def test_while_nobody_changes_anything_nothing_is_read(
        self, open_vault: Open, keyring: FakeKeyring
    ) -> None:
        credentials = Credentials({}, open_vault())
        await credentials.load()
        await credentials.set(KEY, VALUE)
        calls, told = keyring.calls, []
        credentials.listen(told.append)
        for _ in range(3):
            await credentials.notice_others()
        assert keyring.calls == calls and told == []

    async def test_what_is_kept_for_this_session_stays(self, open_vault: Open) -> None:
        ours, theirs = Credentials({}, open_vault()), Credentials({}, open_vault())
        await ours.load()
        await ours.set(KEY, "for-this-session", Place.SESSION)
        await theirs.set(KEY, VALUE)
        await ours.notice_others()
        assert ours.text("A_KEY") == "for-this-session"

    async def test_what_is_read_when_wanted_is_read_anew(self, open_vault: Open) -> None:
        ours, theirs = open_vault(), open_vault()
        await ours.put("modal/proxy-token/acme", Secret("the-first-token"))
        await theirs.put("modal/proxy-token/acme", Secret("the-second-token"))
        await ours.reload()
        assert await value_of(ours, "modal/proxy-token/acme") == "the-second-token"

    async def test_an_index_that_became_none_ends_nothing(self, open_vault: Open, tmp_path: Path) -> None:
        ours = Credentials({}, open_vault())
        await ours.load()
        await ours.set(KEY, VALUE)
        (tmp_path / "config" / "credentials.json").write_text("{")
        await ours.notice_others()
        assert ours.vault.fault and ours.text("A_KEY") == VALUE
