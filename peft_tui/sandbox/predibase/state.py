"""Everything the Predibase cloud remembers. Plain data, so that a world can be saved as JSON."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from peft_tui.sandbox.ledger import Meter
from peft_tui.sandbox.weights import FileFacts

ACME_TOKEN = "pb_sandboxAcme000000000000"
GLOBEX_TOKEN = "pb_sandboxGlobex0000000000"


@dataclass
class User:
    """Who a token belongs to."""

    id: int
    uuid: str
    username: str
    tenant: str


@dataclass
class Tenant:
    """An account; its short code stands in the paths of the serving plane."""

    short_code: str
    name: str
    tier: str
    trial: bool
    expires_at: float | None


@dataclass
class Version:
    """A numbered adapter of a repository.

    Attributes:
        problem: Why an engine cannot load it; None if it can.
    """

    tag: int
    created_at: float
    created_by: str
    base_model: str
    files: list[FileFacts]
    problem: str | None = None
    archived: bool = False
    deleted: bool = False


@dataclass
class Repo:
    """A repository of adapters."""

    uuid: str
    tenant: str
    name: str
    description: str | None
    created_at: float
    versions: list[Version] = field(default_factory=list)

    @property
    def living(self) -> list[Version]:
        """Those that were not deleted, oldest first."""
        return [version for version in self.versions if not version.deleted]


@dataclass
class Ticket:
    """An upload that was begun.

    Attributes:
        files: What has arrived whole, by name.
        bearer_seen: A key came along with a file, which a presigned address does not want.
    """

    token: str
    id: str
    tenant: str
    user: str
    repo: str
    signature: str
    expires_at: float
    files: dict[str, FileFacts] = field(default_factory=dict)
    bearer_seen: bool = False
    used: bool = False


@dataclass
class Step:
    """What a deployment becomes at a time that is known in advance.

    Attributes:
        event: Type of the event it leaves, if any.
        billed: Replicas that are paid for from then on.
    """

    at: float
    status: str
    replicas: int
    billed: int
    event: str | None = None


@dataclass
class ComputeEvent:
    """A line of the deployment's feed; `detailed` ones are shown on request only."""

    type: str
    at: float
    detailed: bool = False


@dataclass
class Deployment:
    """A base model on GPUs, or a share of everybody's.

    Attributes:
        config: The fields of the API that were given, in its own spelling.
        steps: What it will go through; see `life`.
        quiet_since: Since when nobody asked it anything.
        loaded: Adapters that its replicas hold, as `source:id`.
        ends: When each of the requests under way ends.
    """

    uuid: str
    tenant: str
    name: str
    description: str | None
    type: str
    created_at: float
    config: dict[str, Any]
    accelerator: str
    base: str
    status: str = "queued"
    replicas: int = 0
    billed: int = 0
    steps: list[Step] = field(default_factory=list)
    events: list[ComputeEvent] = field(default_factory=list)
    quiet_since: float = 0.0
    loaded: list[str] = field(default_factory=list)
    ends: list[float] = field(default_factory=list)
    requests: int = 0
    failures: dict[str, int] = field(default_factory=dict)
    seconds: list[float] = field(default_factory=list)
    generated: list[int] = field(default_factory=list)
    doomed: bool = False
    meter: Meter = field(default_factory=Meter)
    deleted_at: float | None = None


@dataclass
class PredibaseKnobs:
    """What a scene may turn.

    Attributes:
        no_capacity: Accelerators of which none is free; `*` for all.
        fail_next: How many of the next starts fail.
        fail_adapters: How many of the next adapters cannot be loaded.
        out_of_credit: New deployments are answered 402.
        start_seconds: From the order to `ready`.
        wake_seconds: From the first request to `ready`, for one that was scaled to zero.
        overloaded: Requests are answered 429, as by an engine with a full queue.
        stream_error_after: A stream breaks off with an error after so many tokens; 0 never.
        upload_bytes_per_second: The pace of the line; 0 for as fast as it goes.
    """

    no_capacity: list[str] = field(default_factory=list)
    fail_next: int = 0
    fail_adapters: int = 0
    out_of_credit: bool = False
    start_seconds: float = 45.0
    wake_seconds: float = 30.0
    overloaded: bool = False
    stream_error_after: int = 0
    upload_bytes_per_second: float = 0.0


@dataclass
class PredibaseState:
    """The cloud's memory. Repositories and deployments are kept by `tenant/name`."""

    tokens: dict[str, str] = field(default_factory=dict)
    users: dict[str, User] = field(default_factory=dict)
    tenants: dict[str, Tenant] = field(default_factory=dict)
    repos: dict[str, Repo] = field(default_factory=dict)
    tickets: dict[str, Ticket] = field(default_factory=dict)
    shared: dict[str, Deployment] = field(default_factory=dict)
    deployments: dict[str, Deployment] = field(default_factory=dict)
    deleted_deployments: list[Deployment] = field(default_factory=list)
    buckets: dict[str, list[float]] = field(default_factory=dict)
    knobs: PredibaseKnobs = field(default_factory=PredibaseKnobs)
