"""The JSON of Replicate's API, as far as it is used here. The specification requires almost nothing."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from peft_tui.drivers.wire import Text, Wire


class AccountWire(Wire):
    type: Text = ""
    username: Text
    name: Text = ""


class Hardware(Wire):
    sku: Text
    name: Text = ""


class Version(Wire):
    id: str
    created_at: str = ""
    openapi_schema: dict[str, Any] | None = None

    @property
    def inputs(self) -> dict[str, Any]:
        """The version's own description of its inputs, the only one there is."""
        schema: Any = self.openapi_schema or {}
        for key in ("components", "schemas", "Input"):
            schema = schema.get(key) if isinstance(schema, dict) else None
        return schema if isinstance(schema, dict) else {}


class Model(Wire):
    owner: Text = ""
    name: Text = ""
    description: Text = ""
    visibility: Text = ""
    latest_version: Version | None = None


class Configuration(Wire):
    hardware: Text = ""
    min_instances: int | None = None
    max_instances: int | None = None


class Release(Wire):
    number: int | None = None
    model: Text = ""
    version: Text = ""
    created_at: str = ""
    configuration: Configuration = Configuration()


class Deployment(Wire):
    owner: Text = ""
    name: Text = ""
    current_release: Release = Release()


class Prediction(Wire):
    id: str
    model: Text = ""
    deployment: Text = ""
    """`owner/name`, or the name alone: both spellings appear."""
    status: Text = ""
    error: Text = ""
    created_at: str = ""
    completed_at: str | None = None


class TrainingOutput(Wire):
    version: str = ""


class Training(Wire):
    id: str
    status: Text = ""
    error: Text = ""
    logs: str | None = None
    created_at: str = ""
    input: dict[str, Any] = Field(default_factory=dict)
    output: TrainingOutput | None = None


class Page(Wire):
    """The envelope of every list; `next` is an absolute URL."""

    next: str | None = None
    results: list[dict[str, Any]] = Field(default_factory=list)


class FoundModel(Wire):
    model: Model


class Search(Wire):
    models: list[FoundModel] = Field(default_factory=list)
