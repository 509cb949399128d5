"""The JSON of Predibase's control plane, as far as it is used here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field

from peft_tui.drivers.wire import CamelWire, Text, Wire
from peft_tui.text import clean_line

UPDATABLE = (
    *("baseModel", "customArgs", "minReplicas", "maxReplicas", "cooldownTime", "scaleUpRequestThreshold"),
    *("hfToken", "maxTotalTokens", "loraxImageTag", "requestLoggingEnabled", "directIngress"),
    *("preloadedAdapters", "speculator", "prefixCaching", "backend", "disableAdapters"),
    *("usesGuaranteedCapacity", "chunkedPrefill", "speculationDisableByBatchSize"),
    *("maxNumBatchedTokens", "cacheModel", "mergeAdapter"),
)
"""The fields of an update."""
CONFIG = (*UPDATABLE, "accelerator", "computeSpec", "quantization")
"""Those of a create. The vendor's client sends every one, null where nothing was chosen; so do we."""
SHARED = ("shared", "serverless")


class Subscription(CamelWire):
    tier: Text = ""
    is_trial: bool = False
    days_remaining_in_plan: int | None = None


class TenantWire(CamelWire):
    name: Text = ""
    short_code: Text
    subscription: Subscription = Subscription()


class Whoami(CamelWire):
    """`GET /users/current`"""

    username: Text = ""
    tenant: TenantWire


class Accelerator(Wire):
    id: Text = ""


class ModelFacts(CamelWire):
    name: Text = ""


class Deployment(CamelWire):
    name: Text
    description: Text = ""
    type: str = ""
    status: Text = ""
    current_replicas: int | None = None
    accelerator: Accelerator = Accelerator()
    model: ModelFacts = ModelFacts()
    config: dict[str, Any] = Field(default_factory=dict)

    @property
    def is_shared(self) -> bool:
        return self.type in SHARED

    @property
    def base(self) -> str:
        """Its base as it was asked for, else under the platform's own name."""
        return clean_line(self.config.get("baseModel") or self.model.name)

    def count(self, key: str) -> int | None:
        """A whole number of its configuration; None where there is none."""
        value = self.config.get(key)
        return value if isinstance(value, int) and not isinstance(value, bool) else None

    @property
    def preloaded(self) -> tuple[str, ...]:
        listed = self.config.get("preloadedAdapters")
        return tuple(map(clean_line, listed)) if isinstance(listed, list) else ()


class DeploymentAnswer(Wire):
    data: Deployment


class Page(Wire):
    """`GET /v2/deployments`"""

    data: list[dict[str, Any]] = Field(default_factory=list)


class VersionWire(CamelWire):
    tag: int
    created_at: Text = ""
    base_model: Text = ""
    archived: bool = False


class Repo(CamelWire):
    uuid: str = ""
    name: Text
    description: str = ""
    versions: list[VersionWire] = Field(default_factory=list)

    @property
    def newest(self) -> int | None:
        """The highest version that is not put away."""
        return max((version.tag for version in self.versions if not version.archived), default=None)


class ReposPage(Wire):
    repos: list[dict[str, Any]] = Field(default_factory=list)


class ReposAnswer(Wire):
    data: ReposPage


class AdapterWire(CamelWire):
    """`GET /v2/repos/{repo}/version/{tag}`"""

    repo: Text = ""
    tag: int
    archived: bool = False
    base_model: Text = ""
    status: Text = ""


class UploadTicket(CamelWire):
    upload_token: str
    required_headers: dict[str, str] = Field(default_factory=dict)
    presigned_urls: dict[str, str] = Field(default_factory=dict)


class ComputeEvent(CamelWire):
    event_type: Text = ""
    timestamp: str = ""


class Events(CamelWire):
    """`GET /llms/{name}/events`; the capital C is the platform's."""

    events: list[ComputeEvent] = Field(default_factory=list, alias="ComputeEvents")


def whole(config: Mapping[str, Any], keys: tuple[str, ...]) -> dict[str, Any]:
    """`config` with a null for every one of `keys` that it leaves out."""
    return {key: config.get(key) for key in keys}
