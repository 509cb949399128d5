"""Bytes of uploads, known by their SHA-256: small ones are saved with the world, large ones are not."""

from __future__ import annotations

import base64
import hashlib

from peft_tui.sandbox.world import World

SMALL = 64 * 1024


def put(world: World, data: bytes) -> str:
    """Keep bytes; their SHA-256 in hex."""
    digest = hashlib.sha256(data).hexdigest()
    world.modal.contents[digest] = len(data)
    if len(data) <= SMALL:
        world.modal.small[digest] = base64.b64encode(data).decode()
    else:
        world.file_bytes[_key(digest)] = data
    return digest


def get(world: World, digest: str) -> bytes | None:
    """The bytes; None for unknown ones, and for large ones of before a restart."""
    if digest in world.modal.small:
        return base64.b64decode(world.modal.small[digest])
    return world.file_bytes.get(_key(digest))


def _key(digest: str) -> str:
    return f"modal:{digest}"
