"""All HTTP routes of the Modal cloud."""

from __future__ import annotations

from aiohttp import web

from peft_tui.sandbox.modal import blobs, proxy


def routes(prefix: str) -> list[web.AbstractRouteDef]:
    """The routes under a path prefix."""
    return [
        web.put(prefix + "/blob/{id}", blobs.put_blob),
        web.put(prefix + r"/blob/{id}/{part:\d+}", blobs.put_part),
        web.post(prefix + "/blob/{id}/complete", blobs.complete),
        web.put(prefix + "/block/{digest}", blobs.put_block),
        web.get(prefix + "/content/{digest}", blobs.read),
        web.route("*", prefix + "/app/{host}", proxy.handle),
        web.route("*", prefix + "/app/{host}/{path:.*}", proxy.handle),
        web.route("*", prefix + "/{path:.*}", proxy.nothing),
    ]
