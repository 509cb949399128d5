"""The JSON of Together's V2 API, as far as it is used here. Integers may come as strings."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from peft_tui.drivers.wire import CamelWire, Text, Wire


class Named(Wire):
    id: str = ""
    name: Text = ""
    slug: Text = ""


class Whoami(Wire):
    """`GET /v3/whoami`: a union on `type`."""

    type: Text = ""
    organization: Named = Named()
    project: Named | None = None


class WhoamiV1(Wire):
    """`GET /v1/whoami`, flat, for hosts that have no v3 yet."""

    organization_name: Text = ""
    project_id: str = ""
    project_name: Text = ""
    project_slug: Text = ""


class Projects(Wire):
    data: list[Named] = Field(default_factory=list)


class Page(Wire):
    """The envelope of every V2 list."""

    next_cursor: str | None = None
    data: list[dict[str, object]] = Field(default_factory=list)


class Profile(CamelWire):
    """A certified way to serve a supported model."""

    config: str = ""
    model: str = ""
    gpu_type: Text = ""
    gpu_count: int = 1
    adapter_mode: str | None = None


class SupportedModel(CamelWire):
    id: str = ""
    name: Text = ""
    status: str = ""
    deployment_profiles: list[Profile] = Field(default_factory=list)


class Headroom(CamelWire):
    relation: str = ""
    value: int | None = None


class Region(CamelWire):
    name: Text = ""
    headroom: Headroom | None = None


class InstanceTypeWire(CamelWire):
    id: str = ""
    name: Text = ""
    description: Text = ""
    gpu_type: Text = ""
    gpu_count: int = 1
    gpu_memory_gib: float = 0
    price_cents_per_hour: int | None = None
    regions: list[Region] = Field(default_factory=list)


class Weights(CamelWire):
    type: str | None = None


class Model(CamelWire):
    id: str
    name: Text = ""
    project_id: str = ""
    base_model: str | None = None
    base_model_id: str | None = None
    weights: Weights = Weights()

    @property
    def is_adapter(self) -> bool:
        return self.weights.type == "WEIGHTS_TYPE_ADAPTER"


class RemoteUpload(CamelWire):
    id: str
    model_id: str = ""
    status: str = ""
    status_message: Text = ""
    restart_count: int = 0
    max_restarts: int = 0


class ValidationProblem(CamelWire):
    message: Text = ""


class Revision(CamelWire):
    revision_id: str
    created_at: str = ""
    validation_status: str | None = None
    validation_errors: list[ValidationProblem] | None = None


class UploadPart(CamelWire):
    part_number: int
    url: str
    headers: dict[str, str] = Field(default_factory=dict)


class UploadFile(CamelWire):
    path: str
    upload_id: str = ""
    skip_upload: bool = False
    parts: list[UploadPart] = Field(default_factory=list)


class UploadTicket(CamelWire):
    files: list[UploadFile] = Field(default_factory=list)


class ScalingMetric(CamelWire):
    name: str = ""
    target: float | None = None


class InlinePlacement(CamelWire):
    regions: list[Text] = Field(default_factory=list)


class Placement(CamelWire):
    inline: InlinePlacement | None = None


class Autoscaling(CamelWire):
    scaling_metrics: list[ScalingMetric] = Field(default_factory=list)
    min_replicas: int = 0
    max_replicas: int = 0


class Summary(CamelWire):
    """A deployment inside its endpoint's answer. Zero counts may be left out."""

    id: str
    name: Text = ""
    state: Text = ""
    model: Text = ""
    hardware: Text = ""
    autoscaling: Autoscaling = Autoscaling()
    ready_replicas: int = 0
    desired_replicas: int | None = None
    created_at: str = ""
    traffic_mode: str = ""


class TrafficEntry(CamelWire):
    deployment_id: str
    weight: float = 0.0


class Endpoint(CamelWire):
    id: str
    name: Text = ""
    etag: str = ""
    visibility: str = ""
    traffic_split: list[TrafficEntry] = Field(default_factory=list)
    deployments: list[Summary] = Field(default_factory=list)

    @property
    def bare_name(self) -> str:
        """Without the project's slug."""
        return self.name.rpartition("/")[2]

    def weight(self, deployment_id: str) -> float:
        return next((e.weight for e in self.traffic_split if e.deployment_id == deployment_id), 0.0)

    def weights_beside(self, deployment_id: str) -> list[dict[str, Any]]:
        """Of the other deployments in the traffic split, as they are sent."""
        return [
            {"deploymentId": entry.deployment_id, "weight": entry.weight}
            for entry in self.traffic_split
            if entry.deployment_id != deployment_id
        ]


class DeploymentState(CamelWire):
    state: Text = ""
    message: Text = ""
    ready_replicas: int = 0


class Deployment(CamelWire):
    id: str
    name: Text = ""
    etag: str = ""
    model: Text = ""
    hardware: Text = ""
    status: DeploymentState = DeploymentState()
    autoscaling: Autoscaling = Autoscaling()
    inactive_timeout: int = 0
    max_concurrent_requests_per_replica: int | None = None
    placement: Placement | None = None
    desired_replicas: int | None = None
    created_at: str = ""
    traffic_mode: str = ""

    @property
    def summary(self) -> Summary:
        """The same as it would stand in its endpoint's answer."""
        return Summary(
            id=self.id,
            name=self.name,
            state=self.status.state,
            model=self.model,
            hardware=self.hardware,
            autoscaling=self.autoscaling,
            ready_replicas=self.status.ready_replicas,
            desired_replicas=self.desired_replicas,
            created_at=self.created_at,
            traffic_mode=self.traffic_mode,
        )


class AdapterOnCluster(CamelWire):
    state: str = ""
    message: Text = ""
    reason: Text = ""


class AttachedAdapter(CamelWire):
    id: str
    adapter_model_id: str = ""
    per_cluster: list[AdapterOnCluster] = Field(default_factory=list)


class EventWire(CamelWire):
    """`GET …/endpoints/{e}/events`, newest first."""

    created_at: str = ""
    level: str = ""
    type: Text = ""
    message: Text | None = None
    reason: Text | None = None
    status: Text | None = None
    log_excerpt: Text | None = None
