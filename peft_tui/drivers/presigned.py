"""Uploads to addresses that are good for a while and know no key."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from peft_tui.domain.errors import AuthenticationFailed

T = TypeVar("T")


class Refused(Exception):
    """The object store does not take something at the address that it was given."""

    def __init__(self, name: str, error: AuthenticationFailed) -> None:
        super().__init__(name)
        self.name = name
        self.error = error


async def with_fresh_addresses(send: Callable[[], Awaitable[T]], vendor: str) -> T:
    """What `send` answers, which asks for addresses and sends to them.

    Refused, an address may have expired, so that it is begun once more.

    Raises:
        AuthenticationFailed: it is refused at fresh ones too.
    """
    try:
        return await send()
    except Refused:
        pass
    try:
        return await send()
    except Refused as refused:
        raise AuthenticationFailed(
            f"The object store refuses {refused.name}, at a fresh address too.",
            hint="Nothing bills: no deployment was made. A proxy in between or a line too slow for "
            f"the address's life may be the cause; else ask {vendor}. Then deploy again.",
            detail=refused.error.detail,
            status=refused.error.status,
        ) from refused.error
