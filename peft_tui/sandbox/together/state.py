"""Everything the Together cloud remembers. Plain data, so that a world can be saved as JSON."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from peft_tui.sandbox.ledger import Meter
from peft_tui.sandbox.weights import FileFacts

ACME_KEY = "tgp_v1_sandbox-acme-project-key"
ACME_ORG_KEY = "tgp_v1_sandbox-acme-org-key"
GLOBEX_KEY = "tgp_v1_sandbox-globex-project-key"


@dataclass
class Project:
    """A workspace: owner of models and endpoints."""

    id: str
    name: str
    slug: str
    org_id: str


@dataclass
class ApiKey:
    """A credential; an organisation's key has no project."""

    id: str
    secret: str
    org_id: str
    project_id: str | None


@dataclass
class Revision:
    """An immutable set of files, judged some time after it was made."""

    id: str
    created_at: float
    files: list[FileFacts]
    validated_at: float
    errors: list[dict[str, str]]


@dataclass
class Model:
    """A registered model or adapter."""

    id: str
    name: str
    project_id: str
    type: str
    base_model_id: str
    created_at: float
    updated_at: float
    description: str | None = None
    visibility: str = "VISIBILITY_PRIVATE"
    revisions: list[Revision] = field(default_factory=list)


@dataclass
class UploadStep:
    """A state that an import reaches at a time."""

    at: float
    status: str
    message: str
    event: str
    restart: bool = False


@dataclass
class RemoteUpload:
    """An import from a hub repository or an archive."""

    id: str
    model_id: str
    project_id: str
    remote_url: str
    created_at: float
    steps: list[UploadStep]
    files: list[FileFacts] = field(default_factory=list)
    revision_made: bool = False


@dataclass
class UploadedPart:
    """A part in the object store: only what is needed to check it."""

    md5: str
    size: int


@dataclass
class FileUpload:
    """A multipart upload of one file."""

    id: str
    project_id: str
    object_id: str
    path: str
    hash: str
    num_parts: int
    signature: str
    expires_at: float
    parts: dict[int, UploadedPart] = field(default_factory=dict)
    facts: FileFacts | None = None


@dataclass
class Step:
    """A state that a deployment reaches at a time, unless something happens before."""

    at: float
    state: str
    scheduled: int
    ready: int
    message: str
    reason: str


@dataclass
class Sample:
    """One inference request, for analytics. Times in milliseconds."""

    at: float
    status: int
    prompt_tokens: int
    completion_tokens: int
    ttft_ms: float
    latency_ms: float


@dataclass
class Attachment:
    """An adapter on a multi-LoRA deployment."""

    id: str
    adapter_model_id: str
    revision_id: str
    etag: str
    attached_at: float
    ready_at: float
    realized_revision_id: str | None = None
    problem: str | None = None


@dataclass
class Deployment:
    """A workload under an endpoint. `state` words are without their prefix."""

    id: str
    name: str
    endpoint_id: str
    project_id: str
    model: str
    model_id: str
    revision_id: str
    config_id: str
    hardware: str
    autoscaling: dict[str, Any]
    etag: str
    created_at: float
    updated_at: float
    price_cents: int
    inactive_timeout: int = 0
    max_concurrent: str | None = None
    placement: dict[str, Any] | None = None
    state: str = "STOPPED"
    scheduled: int = 0
    ready: int = 0
    message: str = ""
    since: float = 0.0
    desired: int = 0
    region: str = "us-central-8"
    steps: list[Step] = field(default_factory=list)
    last_request: float = 0.0
    unplaceable: bool = False
    doomed: bool = False
    attachments: list[Attachment] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    meter: Meter = field(default_factory=Meter)
    deleted_at: float | None = None


@dataclass
class Endpoint:
    """A stable name in front of deployments."""

    id: str
    name: str
    project_id: str
    etag: str
    created_at: float
    updated_at: float
    visibility: str = "VISIBILITY_PRIVATE"
    traffic_split: list[dict[str, Any]] = field(default_factory=list)
    traffic_since: float = 0.0
    deployment_ids: list[str] = field(default_factory=list)
    deleted_at: float | None = None


@dataclass
class Event:
    """A line of an endpoint's feed; `fields` holds what is particular to its type, camelCase."""

    id: str
    at: float
    endpoint_id: str
    type: str
    level: str = "LEVEL_INFO"
    deployment_id: str | None = None
    fields: dict[str, Any] = field(default_factory=dict)


@dataclass
class TogetherKnobs:
    """What a scene may turn.

    Attributes:
        no_capacity: Instance types of which no GPU is free; `*` for all.
        fail_next: How many of the next starts end FAILED.
        out_of_credit: Deployments and inference are answered 402.
        upload_errors: How many of the next imports go through ERROR and restart once.
        max_adapters: Adapters that fit on one multi-LoRA deployment.
        refuse_uploaded_adapters: Attach only adapters of post-training, as the documentation says.
        traffic_delay: Seconds until a new traffic split routes (about 30 on the real platform).
        upload_bytes_per_second: Of each part, as over a line that a person may have; 0 for no limit.
        error_shape: `openai`, `grpc` or `string`: the three spellings of an error body.
        stream_error_after: Streams break off with an error event after so many chunks; 0 for never.
        legacy: State of the one V1 endpoint that is left (`STARTED`, `STOPPED` …); empty: there is none.
        stream_usage: Whether the last chunk of a stream carries `usage`.
    """

    no_capacity: list[str] = field(default_factory=list)
    fail_next: int = 0
    out_of_credit: bool = False
    upload_errors: int = 0
    max_adapters: int = 4
    refuse_uploaded_adapters: bool = False
    traffic_delay: float = 0.0
    upload_bytes_per_second: float = 3e6
    error_shape: str = "openai"
    stream_error_after: int = 0
    legacy: str = ""
    stream_usage: bool = True


@dataclass
class TogetherState:
    """The cloud's memory."""

    orgs: dict[str, str] = field(default_factory=dict)
    projects: dict[str, Project] = field(default_factory=dict)
    keys: dict[str, ApiKey] = field(default_factory=dict)
    models: dict[str, Model] = field(default_factory=dict)
    remote_uploads: dict[str, RemoteUpload] = field(default_factory=dict)
    file_uploads: dict[str, FileUpload] = field(default_factory=dict)
    known_files: dict[str, FileFacts] = field(default_factory=dict)
    endpoints: dict[str, Endpoint] = field(default_factory=dict)
    deployments: dict[str, Deployment] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)
    legacy_meter: Meter = field(default_factory=Meter)
    knobs: TogetherKnobs = field(default_factory=TogetherKnobs)


def fresh() -> TogetherState:
    """The accounts everyone starts with."""
    state = TogetherState(orgs={"org_acme": "Acme", "org_globex": "Globex"})
    for project in (
        Project("proj_acme", "Default", "acme", "org_acme"),
        Project("proj_acme_lab", "Lab", "acme-lab", "org_acme"),
        Project("proj_globex", "Default", "globex", "org_globex"),
    ):
        state.projects[project.id] = project
    for key in (
        ApiKey("key_acme", ACME_KEY, "org_acme", "proj_acme"),
        ApiKey("key_acme_org", ACME_ORG_KEY, "org_acme", None),
        ApiKey("key_globex", GLOBEX_KEY, "org_globex", "proj_globex"),
    ):
        state.keys[key.secret] = key
    return state
