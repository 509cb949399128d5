"""Everything the Replicate cloud remembers. Plain data, so that a world can be saved as JSON."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from peft_tui.sandbox.ledger import Meter

ACME_TOKEN = "r8_sandboxAcme0000000000000000000000000"
GLOBEX_TOKEN = "r8_sandboxGlobex00000000000000000000000"


@dataclass
class Account:
    """Who a token belongs to."""

    username: str
    name: str
    type: str
    github_url: str
    avatar_url: str


@dataclass
class Version:
    """An immutable image of a model.

    Attributes:
        kind: Which program it is: `llm`, `importer`, `weights_llm` or `image`.
        voice: Name of the adapter whose manner it answers in; None for a base.
    """

    id: str
    created_at: float
    kind: str
    cog_version: str = "0.15.3"
    voice: str | None = None
    base: str = "meta-llama/Llama-3.1-8B-Instruct"
    deleted: bool = False


@dataclass
class Model:
    """A model with its versions, oldest first."""

    owner: str
    name: str
    visibility: str
    hardware: str
    created_at: float
    description: str | None = None
    github_url: str | None = None
    paper_url: str | None = None
    license_url: str | None = None
    weights_url: str | None = None
    cover_image_url: str | None = None
    readme: str | None = None
    run_count: int = 0
    is_official: bool = False
    tags: list[str] = field(default_factory=list)
    versions: list[Version] = field(default_factory=list)


@dataclass
class Instance:
    """A running container.

    Attributes:
        booted_at: Setup begins; billing too.
        ready_at: Setup is over.
        free_at: The last prediction given to it ends.
        kept: Belongs to the minimum and never goes to sleep.
        stopped_at: Billing has ended.
    """

    id: str
    booted_at: float
    ready_at: float
    free_at: float
    kept: bool
    failing: bool = False
    stopped_at: float | None = None
    meter: Meter = field(default_factory=Meter)


@dataclass
class Prediction:
    """One run. Times are planned when it is given to an instance, so its state is a matter of the clock."""

    id: str
    account: str
    model: str
    version: str
    kind: str
    input: dict[str, Any]
    created_at: float
    source: str = "api"
    deployment: str | None = None
    instance: str | None = None
    started_at: float | None = None
    ends_at: float | None = None
    duration: float = 0.0
    first_token: float = 0.0
    per_token: float = 0.0
    prompt_tokens: int = 0
    pieces: list[str] = field(default_factory=list)
    error: str | None = None
    deadline: float | None = None
    canceled_at: float | None = None
    aborted_at: float | None = None
    stream_key: str = ""
    webhook: str | None = None
    hidden_version: bool = False


@dataclass
class Release:
    """A configuration of a deployment."""

    number: int
    version: str
    hardware: str
    min_instances: int
    max_instances: int
    created_at: float


@dataclass
class Deployment:
    """A named alias of a model version with instances of its own."""

    owner: str
    name: str
    model: str
    release: Release
    instances: list[Instance] = field(default_factory=list)
    prediction_ids: list[str] = field(default_factory=list)
    last_used: float = 0.0
    online_until: float = 0.0
    setup_fails: bool = False
    past_cost: Meter = field(default_factory=Meter)
    deleted_at: float | None = None


@dataclass
class Training:
    """A training job; on `replicate/cog-vllm` it is an import of weights."""

    id: str
    account: str
    model: str
    version: str
    destination: str
    input: dict[str, Any]
    created_at: float
    started_at: float
    ends_at: float
    logs: list[tuple[float, str]]
    error: str | None = None
    new_version: str | None = None
    weights: str | None = None
    voice: str | None = None
    base: str = ""
    version_made: bool = False
    canceled_at: float | None = None
    meter: Meter = field(default_factory=Meter)


@dataclass
class StoredFile:
    """An uploaded file; its bytes are kept in memory only."""

    id: str
    account: str
    name: str
    content_type: str
    size: int
    etag: str
    sha256: str
    metadata: dict[str, Any]
    created_at: float
    expires_at: float


@dataclass
class ReplicateKnobs:
    """What a scene may turn.

    Attributes:
        out_of_credit: New work is answered 402.
        fail_setup: How many of the next deployments or releases fail in setup.
        boot_seconds: Cold boot.
        idle_seconds: How long an instance above the minimum stays after its last prediction.
        prediction_seconds: Fixed length of every run; None lets the generator decide.
        fail_predictions: How many of the next predictions fail while they run.
        retention_seconds: When input, output and logs of a prediction are removed.
        delete_after: Seconds a deployment must have been unused before it can be deleted.
        throttled: New predictions are answered 429, as for an account without a payment method.
    """

    out_of_credit: bool = False
    fail_setup: int = 0
    boot_seconds: float = 3.0
    idle_seconds: float = 120.0
    prediction_seconds: float | None = None
    fail_predictions: int = 0
    retention_seconds: float = 3600.0
    delete_after: float = 900.0
    throttled: bool = False


@dataclass
class ReplicateState:
    """The cloud's memory."""

    tokens: dict[str, str] = field(default_factory=dict)
    accounts: dict[str, Account] = field(default_factory=dict)
    models: dict[str, Model] = field(default_factory=dict)
    deployments: dict[str, Deployment] = field(default_factory=dict)
    deleted_deployments: list[Deployment] = field(default_factory=list)
    predictions: dict[str, Prediction] = field(default_factory=dict)
    trainings: dict[str, Training] = field(default_factory=dict)
    files: dict[str, StoredFile] = field(default_factory=dict)
    buckets: dict[str, tuple[float, int]] = field(default_factory=dict)
    knobs: ReplicateKnobs = field(default_factory=ReplicateKnobs)
