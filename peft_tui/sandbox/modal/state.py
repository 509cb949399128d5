"""Everything the Modal cloud remembers. Plain data, so that a world can be saved as JSON."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal

from peft_tui.sandbox.ledger import Meter

ACME = "acme"
GLOBEX = "globex"
# Id and secret of each workspace's token: `ak-` and `as-` with 22 characters.
TOKENS = {
    ACME: ("ak-sandboxAcme00000000000", "as-sandboxAcmeSecret00000"),
    GLOBEX: ("ak-sandboxGlobex000000000", "as-sandboxGlobexSecret000"),
}
WORKSPACE_IDS = {ACME: "ac-sandboxAcme00000000000", GLOBEX: "ac-sandboxGlobex000000000"}
ENVIRONMENT_IDS = {ACME: "en-sandboxAcme00000000000", GLOBEX: "en-sandboxGlobex000000000"}
# The proxy token of acme that exists from the start.
PROXY_TOKEN = ("wk-sandboxAcme00000000000", "ws-sandboxAcmeSecret00000")
ENVIRONMENT = "main"
ALPHABET = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
ID_LENGTH = 22

# `AppState` of the vendor's protocol.
EPHEMERAL, DEPLOYED, STOPPED, INITIALIZING, DISCONNECTED = 1, 3, 5, 6, 8


@dataclass
class StoredFile:
    """A file of a volume; its content lies in pieces known by their SHA-256 (one piece in a v1 volume)."""

    size: int
    pieces: list[str]
    mode: int
    mtime: float


@dataclass
class Volume:
    """A named file system. Paths have no leading slash."""

    id: str
    workspace: str
    name: str
    version: int
    created_at: float
    files: dict[str, StoredFile] = field(default_factory=dict)
    deleted: bool = False


@dataclass
class Secret:
    """Environment variables that are given to containers and never shown again."""

    id: str
    workspace: str
    name: str
    values: dict[str, str]
    created_at: float
    deleted: bool = False


@dataclass
class Image:
    """A layer of a container image.

    Attributes:
        commands: Its Dockerfile, a line each.
        bases: Ids of images that `FROM base` means.
        lines: What the build prints.
        built_at: When the build is over; the result shows then.
        failure: Why it fails, or "" if it does not.
        done: Somebody has seen the result; it comes from the cache from now on.
    """

    id: str
    workspace: str
    commands: list[str]
    bases: list[str]
    created_at: float
    built_at: float
    lines: list[str] = field(default_factory=list)
    failure: str = ""
    done: bool = False


@dataclass
class Gpu:
    """What a container asks for: `""` is none."""

    type: str
    count: int


@dataclass
class Mount:
    """A volume at a path inside the container."""

    path: str
    volume_id: str
    sub_path: str = ""


@dataclass
class Definition:
    """One version of a function as it was deployed.

    Attributes:
        wire: The vendor's `FunctionData` message, base64, as it is given back by `FunctionGet`.
        gpus: In the order of preference.
        settings: Autoscaler settings of the deployment, by their field names.
        runs_image: The container runs the image's own command; otherwise it runs a Python function.
        private: Whether callers need a proxy token.
        port: Where the program has to listen.
        max_concurrency: Requests a container takes at once; 0 for no limit.
    """

    id: str
    function_id: str
    wire: str
    image_id: str
    gpus: list[Gpu]
    cpu_milli: int
    memory_mb: int
    settings: dict[str, float]
    mounts: list[Mount]
    secret_ids: list[str]
    runs_image: bool
    private: bool
    port: int
    startup_timeout: float
    max_concurrency: int


@dataclass
class Container:
    """One container ("task").

    Attributes:
        healthy_at: When it will answer, if it ever will.
        dies_at: When it will end by itself, and `death` says why.
        adapters: Name to path of the LoRA adapters that it serves; known once it has started.
    """

    id: str
    definition_id: str
    enqueued_at: float
    started_at: float | None = None
    healthy_at: float | None = None
    dies_at: float | None = None
    death: str = ""
    ended_at: float | None = None
    exit_code: int = 0
    gpu: Gpu = field(default_factory=lambda: Gpu("", 0))
    last_used: float = 0.0
    adapters: dict[str, str] = field(default_factory=dict)
    meter: Meter = field(default_factory=Meter)


@dataclass
class Sample:
    """One answered request, in seconds."""

    at: float
    route: str
    container_id: str
    status: int
    seconds: float
    first_token: float = 0.0
    model: str = ""
    prompt_tokens: int = 0
    tokens: int = 0
    finish: str = ""


@dataclass
class Function:
    """An autoscaled group of containers.

    Attributes:
        kind: `server`, `web` or `plain` (nothing to call over HTTP).
        host: First part of its URL, for example `acme--bot-server.us-east.modal.direct`.
        live: Id of the definition that new containers get; "" before the first publish.
        overrides: Autoscaler settings changed since the deployment.
        retry_at: Earliest time of a new container after a crash.
    """

    id: str
    app_id: str
    name: str
    kind: str
    host: str
    live: str = ""
    overrides: dict[str, float] = field(default_factory=dict)
    overridden_at: float = 0.0
    containers: list[Container] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    last_request: float = 0.0
    crashes: int = 0
    retry_at: float = 0.0
    past: Meter = field(default_factory=Meter)


@dataclass
class Release:
    """A deployment in an app's history: which definition each function had."""

    version: int
    tag: str
    deployed_at: float
    client_version: str
    definitions: dict[str, str]
    rollback_of: int = 0
    commit: str = ""
    """Hash of the git checkout that it was deployed from, where the client told it."""


@dataclass
class LogLine:
    """A line of an app's log; `fd` is 1 for out, 2 for err, 3 for the platform's own words."""

    number: int
    at: float
    function_id: str
    task_id: str
    fd: int
    text: str


@dataclass
class App:
    """A deployed unit."""

    id: str
    workspace: str
    name: str
    description: str
    state: int
    created_at: float
    tags: dict[str, str] = field(default_factory=dict)
    deployed_at: float = 0.0
    stopped_at: float = 0.0
    releases: list[Release] = field(default_factory=list)
    functions: dict[str, str] = field(default_factory=dict)
    log: list[LogLine] = field(default_factory=list)
    log_lines: int = 0


@dataclass
class ProxyToken:
    """What callers of private URLs show."""

    id: str
    secret: str
    workspace: str
    name: str
    created_at: float
    scoped: bool = False
    allowed: bool = True


@dataclass
class Upload:
    """A blob on its way: parts by number, whole once `sha256` is known; `claimed` is what it should be."""

    id: str
    workspace: str
    size: int
    signature: str
    claimed: str = ""
    part_length: int = 0
    parts: dict[int, str] = field(default_factory=dict)
    sha256: str = ""


@dataclass
class FunctionCall:
    """A request to a web function; one that took longer than 150 s is fetched with GET.

    Attributes:
        ready_at: When its answer is there; 0 while no container has begun with it.
    """

    id: str
    function_id: str
    at: float
    method: str
    path: str
    body: str
    ready_at: float = 0.0


@dataclass
class ModalKnobs:
    """What a scene may turn.

    Attributes:
        no_capacity: GPU types of which none is free (`L40S`); `*` for all. Containers stay enqueued.
        crash_next: How many of the next containers exit during start-up.
        fail_builds: How many of the next image builds fail.
        build_seconds: Length of an image build that is not in the cache.
        schedule_seconds: From enqueued to started.
        ready_seconds: From started to healthy.
        spend_limit: The workspace is over its spend limit: deployments and new containers are refused.
        workspace_disabled: Containers are taken away and URLs answer 404; the list still says deployed.
        upload_bytes_per_second: Of each upload, as over a line that a person may have; 0 for no limit.
        multipart_over: Blobs larger than this are uploaded in parts.
        volume_version: What a new volume gets if nothing is asked for.
        billing_forbidden: Reports of spent money are refused, as without the plan for it.
    """

    no_capacity: list[str] = field(default_factory=list)
    crash_next: int = 0
    fail_builds: int = 0
    build_seconds: float = 12.0
    schedule_seconds: float = 4.0
    ready_seconds: float = 40.0
    spend_limit: bool = False
    workspace_disabled: bool = False
    upload_bytes_per_second: float = 3e6
    multipart_over: int = 32 * 1024 * 1024
    volume_version: int = 1
    billing_forbidden: bool = False


@dataclass
class ModalState:
    """The cloud's memory.

    Attributes:
        contents: Size of every stored piece by its SHA-256.
        small: Content of small pieces, base64; larger ones are in memory only.
        budgets: USD a month by workspace, where one is set.
    """

    apps: dict[str, App] = field(default_factory=dict)
    functions: dict[str, Function] = field(default_factory=dict)
    definitions: dict[str, Definition] = field(default_factory=dict)
    volumes: dict[str, Volume] = field(default_factory=dict)
    secrets: dict[str, Secret] = field(default_factory=dict)
    images: dict[str, Image] = field(default_factory=dict)
    proxy_tokens: dict[str, ProxyToken] = field(default_factory=dict)
    uploads: dict[str, Upload] = field(default_factory=dict)
    calls: dict[str, FunctionCall] = field(default_factory=dict)
    contents: dict[str, int] = field(default_factory=dict)
    small: dict[str, str] = field(default_factory=dict)
    budgets: dict[str, Decimal] = field(default_factory=dict)
    knobs: ModalKnobs = field(default_factory=ModalKnobs)


def fresh(now: float) -> ModalState:
    """Two workspaces with nothing in them but acme's proxy token."""
    id, secret = PROXY_TOKEN
    return ModalState(proxy_tokens={id: ProxyToken(id, secret, ACME, "sandbox", now)})
