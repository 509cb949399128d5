"""The file for machines without a keyring: names and values, sealed with a passphrase.

scrypt makes the key (RFC 7914; the cost is in the file, so that it can rise), AES-256-GCM seals (a new nonce
each time). The header is authenticated: nobody can lower the cost unnoticed.
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from peft_tui.domain.errors import AuthenticationFailed, NotUsable
from peft_tui.paths import replace_file

FILE = "credentials.sealed"
COST = 2**17
"""scrypt's N, with r = 8: 128 MiB and about half a second."""
_MOST_COST, _LEAST_COST = 2**20, 2**10
_BLOCK, _PARALLEL = 8, 1


@dataclass(frozen=True, slots=True)
class _Key:
    salt: bytes
    cost: int
    value: bytes

    def __repr__(self) -> str:
        return "_Key(…)"


class SealedFile:
    """All methods take time (the disk, scrypt): for a thread, never for the event loop."""

    def __init__(self, path: Path, cost: int | None = None) -> None:
        self.path = path
        self._cost = cost or COST
        self._key: _Key | None = None

    @property
    def exists(self) -> bool:
        return self.path.exists()

    @property
    def is_open(self) -> bool:
        """The passphrase was given and fits, or begins a new file."""
        return self._key is not None

    def open(self, passphrase: str) -> None:
        """Take the passphrase: of the file that is there, or for one that is to be.

        Raises:
            AuthenticationFailed: it does not open the file.
            ConfigurationInvalid: the file is not one of ours.
        """
        if self.exists:
            header, sealed = self._parse()
            key = _derive(passphrase, header)
            _unseal(key, header, sealed, self.path)
        else:
            key = _derive(passphrase, _header(os.urandom(16), self._cost))
        self._key = key

    def read(self) -> dict[str, str]:
        """Every name with its value; nothing when there is no file.

        Raises:
            AuthenticationFailed: not open, or sealed anew with another passphrase meanwhile.
        """
        if not self.exists:
            return {}
        header, sealed = self._parse()
        return _unseal(self._current_key(), header, sealed, self.path)

    def write(self, values: Mapping[str, str]) -> None:
        """Replace what is there; with nothing left the file goes too."""
        if not values:
            self.path.unlink(missing_ok=True)
            return
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        key, nonce = self._current_key(), os.urandom(12)
        header = _header(key.salt, key.cost)
        sealed = AESGCM(key.value).encrypt(nonce, json.dumps(dict(values)).encode(), _canonical(header))
        document = {**header, "nonce": _text(nonce), "sealed": _text(sealed)}
        replace_file(self.path, json.dumps(document, indent=1) + "\n")

    def _current_key(self) -> _Key:
        if self._key is None:
            raise AuthenticationFailed(
                "The encrypted file is locked.", hint="Give its passphrase, or set PEFT_TUI_PASSPHRASE."
            )
        return self._key

    def _parse(self) -> tuple[dict[str, Any], tuple[bytes, bytes]]:
        try:
            document = json.loads(self.path.read_text("utf-8"))
            header = {key: document[key] for key in ("format", "kdf", "n", "r", "p", "salt")}
            sealed = base64.b64decode(document["nonce"]), base64.b64decode(document["sealed"])
            base64.b64decode(header["salt"])
            cost = header["n"]
            power_of_two = isinstance(cost, int) and cost > 0 and cost & (cost - 1) == 0
            fits = (header["format"], header["kdf"], header["r"], header["p"]) == (1, "scrypt", 8, 1)
            if not fits or not power_of_two or not _LEAST_COST <= cost <= _MOST_COST or len(sealed[0]) != 12:
                raise ValueError("its parameters are none that this version uses")
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise NotUsable(
                f"{self.path} cannot be read ({type(error).__name__}).",
                hint="Move it away and set the credentials again; nothing else can open it.",
            ) from error
        return header, sealed


def _header(salt: bytes, cost: int) -> dict[str, Any]:
    return {"format": 1, "kdf": "scrypt", "n": cost, "r": _BLOCK, "p": _PARALLEL, "salt": _text(salt)}


def _derive(passphrase: str, header: Mapping[str, Any]) -> _Key:
    from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

    salt = base64.b64decode(header["salt"])
    value = Scrypt(salt=salt, length=32, n=header["n"], r=header["r"], p=header["p"]).derive(
        passphrase.encode()
    )
    return _Key(salt, header["n"], value)


def _unseal(key: _Key, header: Mapping[str, Any], sealed: tuple[bytes, bytes], path: Path) -> dict[str, str]:
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    try:
        plain = AESGCM(key.value).decrypt(*sealed, _canonical(header))
    except InvalidTag as error:
        raise AuthenticationFailed(
            f"The passphrase does not open {path.name}.",
            hint="Try again. Without it the file is of no use: delete it and set the credentials anew.",
        ) from error
    values: dict[str, str] = json.loads(plain)
    return values


def _canonical(header: Mapping[str, Any]) -> bytes:
    return json.dumps(dict(header), sort_keys=True, separators=(",", ":")).encode()


def _text(raw: bytes) -> str:
    return base64.b64encode(raw).decode()
