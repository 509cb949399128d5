"""Who calls, and what every answer of a plane carries."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from aiohttp import web

from peft_tui.sandbox.predibase import life
from peft_tui.sandbox.predibase.errors import refuse, unauthorized
from peft_tui.sandbox.predibase.state import Deployment, PredibaseState, Repo, Tenant, User
from peft_tui.sandbox.web import Asked, read_json, world_of

RELEASE = "2025.10.3"
"""What the SDK compares with its own version."""


@dataclass(frozen=True)
class Call(Asked):
    """A request with its caller found out."""

    user: User

    @property
    def state(self) -> PredibaseState:
        """The cloud's memory."""
        return self.world.predibase

    @property
    def tenant(self) -> Tenant:
        """The caller's account."""
        return self.state.tenants[self.user.tenant]

    async def body(self) -> dict[str, Any]:
        """The JSON object in the body.

        Raises:
            Refusal: 400 for anything else.
        """
        try:
            body = await read_json(self.request)
        except ValueError as error:
            raise refuse(400, f"invalid request body: {error}") from None
        if not isinstance(body, dict):
            raise refuse(400, "invalid request body: expected an object")
        return body

    def repo(self, name: str) -> Repo:
        """One of the caller's repositories, by name or uuid."""
        for repo in self.state.repos.values():
            if repo.tenant == self.user.tenant and name in (repo.name, repo.uuid):
                return repo
        raise refuse(404, f"repo {name} not found")

    def deployment(self, name: str, *, mine: bool = False) -> Deployment:
        """A deployment that the caller may use; with `mine`, may change. It is settled."""
        found = self.state.deployments.get(f"{self.user.tenant}/{name}") or self.state.shared.get(name)
        if found is None:
            raise refuse(404, f"deployment {name} not found")
        if mine and found.type == "shared":
            raise refuse(403, f"deployment {name} is shared and cannot be changed")
        life.settle(self.world, found)
        return found


def call_of(request: web.Request) -> Call:
    """The caller of a request.

    Raises:
        Refusal: 401 for a missing or unknown token.
    """
    world = world_of(request)
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    mail = world.predibase.tokens.get(token.strip()) if scheme.lower() == "bearer" else None
    if mail is None:
        raise unauthorized()
    return Call(request, world, world.predibase.users[mail])
