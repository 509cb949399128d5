"""Configurations: what a base can be served with."""

from __future__ import annotations

import re
from typing import Any

from peft_tui.sandbox.together import catalog
from peft_tui.sandbox.together.access import Call
from peft_tui.sandbox.together.catalog import BY_ID, PUBLIC_PROJECT
from peft_tui.sandbox.together.lists import page
from peft_tui.sandbox.together.models import base_of


async def list_configs(call: Call) -> Any:
    """`GET …/configs?referenceModel=&referenceModelId=`; an adapter yields the configs of its base."""
    project = call.project(public=True)
    id = call.query.get("referenceModelId") or ""
    if path := call.query.get("referenceModel"):
        match = re.match(r"projects/([^/]+)/models/([^/]+)(?:/revisions/[^/]+)?\Z", path)
        if match is None:
            raise call.refuse(
                400, "Invalid Argument: referenceModel must be projects/{projectId}/models/{modelId}"
            )
        if id and id != match.group(2):
            raise call.refuse(400, "Invalid Argument: referenceModel and referenceModelId do not agree")
        id = match.group(2)
    found = list(catalog.configs().values())
    if id:
        base = BY_ID.get(id)
        if base is None and (model := call.state.models.get(id)) is not None:
            # The key's organisation, not the path's project: configs are asked for under either.
            if call.state.projects[model.project_id].org_id == call.key.org_id:
                base = base_of(call.world, model)
        found = list(base.configs) if base else []
    elif project.id != PUBLIC_PROJECT:
        found = []
    return page(call, found, lambda c: c.to_json(), lambda c: c.id)


async def retrieve_config(call: Call) -> Any:
    """`GET …/configs/{id}`."""
    call.project(public=True)
    config = catalog.configs().get(call.arg("config"))
    if config is None:
        raise call.not_found("config", call.arg("config"))
    return config.to_json()
