"""Who calls: keys, projects, and what they may see."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from aiohttp import web

from peft_tui.sandbox.together.catalog import PUBLIC_PROJECT
from peft_tui.sandbox.together.errors import refuse
from peft_tui.sandbox.together.state import ApiKey, Project, TogetherState
from peft_tui.sandbox.web import Asked, Refusal, read_json, world_of


@dataclass(frozen=True)
class Call(Asked):
    """A request with its caller found out."""

    key: ApiKey

    @property
    def state(self) -> TogetherState:
        """The cloud's memory."""
        return self.world.together

    @property
    def query(self) -> dict[str, str]:
        """Query items; the last of equal names wins."""
        return dict(self.request.query)

    def refuse(self, status: int, message: str, code: str | None = None) -> Refusal:
        """An error of the control plane, in the spelling that the scene asks for."""
        return refuse(status, message, code=code, shape=self.state.knobs.error_shape)

    def not_found(self, what: str, id: str) -> Refusal:
        """404 for a thing that is not there, or not for this caller."""
        return self.refuse(404, f"{what} {id} not found", "not_found")

    def project(self, *, public: bool = False) -> Project:
        """The project of the path, if the key may use it."""
        id = self.arg("project")
        if public and id == PUBLIC_PROJECT:
            return Project(PUBLIC_PROJECT, "Public", "together", "org_together")
        project = self.state.projects.get(id)
        if project is None or project.org_id != self.key.org_id:
            raise self.not_found("project", id)
        if self.key.project_id not in (None, project.id):
            raise self.refuse(403, f"the API key does not grant access to project {id}", "permission_denied")
        return project

    async def body(self) -> dict[str, Any]:
        """The JSON object of the request."""
        try:
            data = await read_json(self.request)
        except ValueError:
            raise self.refuse(400, "Invalid Argument: the request body is not valid JSON") from None
        if not isinstance(data, dict):
            raise self.refuse(400, "Invalid Argument: the request body must be a JSON object")
        return data


def call_of(request: web.Request) -> Call:
    """The caller of a request.

    Raises:
        Refusal: 401 for a missing or unknown key.
    """
    world = world_of(request)
    scheme, _, secret = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not secret.strip():
        raise refuse(
            401, "Missing API key. Pass it as 'Authorization: Bearer <key>'.", code="missing_api_key"
        )
    key = world.together.keys.get(secret.strip())
    if key is None:
        raise refuse(
            401,
            "Invalid API key provided. You can find your API key at https://api.together.ai/settings/api-keys.",
            code="invalid_api_key",
        )
    return Call(request, world, key)


async def whoami(call: Call) -> Any:
    """`GET /v3/whoami`: a union on `type`."""
    key, state = call.key, call.state
    answer: dict[str, Any] = {
        "type": "org_api_key",
        "api_key": {"id": key.id},
        "organization": {"id": key.org_id, "name": state.orgs[key.org_id]},
    }
    if key.project_id is not None:
        project = state.projects[key.project_id]
        answer["type"] = "project_api_key"
        answer["project"] = {"id": project.id, "name": project.name, "slug": project.slug}
    return answer


async def whoami_v1(call: Call) -> Any:
    """`GET /v1/whoami`: flat, as SDK 2.x reads it."""
    key, state = call.key, call.state
    project = state.projects[key.project_id] if key.project_id else None
    return {
        "api_key_id": key.id,
        "organization_id": key.org_id,
        "organization_name": state.orgs[key.org_id],
        "project_id": project.id if project else "",
        "project_name": project.name if project else "",
        "project_slug": project.slug if project else "",
    }


def visible_projects(call: Call) -> list[Project]:
    """The projects that a key can name."""
    return [
        p
        for p in call.state.projects.values()
        if p.org_id == call.key.org_id and call.key.project_id in (None, p.id)
    ]


def project_json(call: Call, project: Project) -> dict[str, Any]:
    """`Project` of `GET /v1/projects`, snake case."""
    return {
        "id": project.id,
        "name": project.name,
        "slug": project.slug,
        "organization_id": project.org_id,
        "organization_name": call.state.orgs[project.org_id],
    }
