"""What stands between a caller and a container: addresses, proxy tokens, cold starts, the 150 s rule."""

from __future__ import annotations

from aiohttp import web

from peft_tui.sandbox.web import Refusal


def refuse(status: int, text: str) -> Refusal:
    """A refusal of the platform itself: plain text with its prefix."""
    return Refusal(status, f"modal-http: {text}", kind="text/plain")


async def nothing(request: web.Request) -> web.StreamResponse:
    """Whatever is at no address."""
    raise refuse(404, "invalid function call")


async def handle(request: web.Request) -> web.StreamResponse:
    """A call of what is deployed."""
    raise refuse(404, "invalid function call")
