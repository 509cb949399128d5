"""What Modal can do, as data."""

from __future__ import annotations

from peft_tui.domain.adapter import SourceKind
from peft_tui.domain.offers import (
    HUB_TOKEN,
    Capabilities,
    Change,
    CredentialField,
    Kind,
    NameRule,
    PlannedStep,
    Setting,
)
from peft_tui.domain.operation import (
    AWAIT_ACTIVE,
    AWAIT_GONE,
    AWAIT_STOPPED,
    OperationKind,
)
from peft_tui.domain.spec import DeploymentSpec, Settings

IMAGE = "vllm/vllm-openai:v0.11.2"
"""The engine's version in the vendor's own examples."""
PRIVATE, PUBLIC = "private", "public"

SETTINGS = (
    Setting(
        "instance_type",
        "GPU",
        Kind.INSTANCE_TYPE,
        Change.REDEPLOY,
        help="of one container; H100:2 are two of them in one, shared by tensor parallelism",
    ),
    Setting(
        "fallback",
        "Other GPUs",
        Kind.TEXT,
        Change.REDEPLOY,
        help="taken in this order when there is none of the first: L40S, A100-80GB",
    ),
    Setting(
        "min_instances",
        "Minimum containers",
        Kind.INTEGER,
        Change.LIVE,
        0,
        minimum=0,
        maximum=100,
        help="0 sleeps when idle; the first request boots it",
    ),
    Setting("max_instances", "Maximum containers", Kind.INTEGER, Change.LIVE, 1, minimum=1, maximum=100),
    Setting(
        "buffer",
        "Buffer containers",
        Kind.INTEGER,
        Change.LIVE,
        minimum=0,
        maximum=100,
        help="idle ones kept beside those at work; each bills",
    ),
    Setting(
        "idle_timeout",
        "Idle stop",
        Kind.INTEGER,
        Change.LIVE,
        300,
        minimum=2,
        maximum=3600,
        unit="seconds",
        help="how long a container above the minimum stays, and bills, without a request",
    ),
    Setting(
        "scale_target",
        "Auto-scaling",
        Kind.INTEGER,
        Change.LIVE,
        16,
        minimum=1,
        maximum=1000,
        unit="requests in flight",
        help="per container, before another one is added",
    ),
    Setting(
        "concurrency",
        "Concurrency",
        Kind.INTEGER,
        Change.REDEPLOY,
        minimum=1,
        maximum=100_000,
        unit="per container",
        help="requests at a time, above it 429; empty: as many as come",
    ),
    Setting(
        "batch_size",
        "Batch size",
        Kind.INTEGER,
        Change.REDEPLOY,
        minimum=1,
        maximum=4096,
        help="sequences that vLLM works on at once; empty: its own default",
    ),
    Setting(
        "context_length",
        "Context length",
        Kind.INTEGER,
        Change.REDEPLOY,
        minimum=256,
        maximum=10_000_000,
        unit="tokens",
        help="empty: the model's own, where its GPU has the memory",
    ),
    Setting(
        "startup_timeout",
        "Start-up limit",
        Kind.INTEGER,
        Change.REDEPLOY,
        1200,
        minimum=30,
        maximum=3600,
        unit="seconds",
        help="a container that does not answer by then is given up; the first start downloads the base",
    ),
    Setting(
        "visibility",
        "Visibility",
        Kind.CHOICE,
        Change.REDEPLOY,
        PRIVATE,
        choices=((PRIVATE, "only with a proxy token"), (PUBLIC, "whoever knows the address, at your cost")),
    ),
    Setting(
        "region",
        "Region",
        Kind.TEXT,
        Change.REDEPLOY,
        help="of the containers: us, eu, us-east …; empty: wherever there is room, which is cheaper",
    ),
    Setting(
        "routing_region",
        "Entry region",
        Kind.TEXT,
        Change.CREATE_ONLY,
        "us-east",
        help="where its address is; part of the address",
    ),
    Setting(
        "environment",
        "Environment",
        Kind.TEXT,
        Change.REDEPLOY,
        help="names of variables set here, with commas: their values become a secret at Modal",
    ),
    HUB_TOKEN,
    Setting(
        "image",
        "Engine",
        Kind.TEXT,
        Change.REDEPLOY,
        IMAGE,
        help="the container image, vLLM's own or one made from it",
    ),
    Setting(
        "probe",
        "Probe",
        Kind.CHOICE,
        Change.CREATE_ONLY,
        "yes",
        choices=(("yes", "start one container and see the adapter served"), ("no", "leave it asleep")),
        help="with a minimum of 0 only a first start proves that it boots; billed by the second",
    ),
    Setting("description", "Description", Kind.TEXT, Change.LIVE, help="kept here only", local=True),
    Setting(
        "timeout",
        "Timeout",
        Kind.INTEGER,
        Change.UNSUPPORTED,
        help="a Server of Modal's has no request timeout of its own; the caller's applies",
    ),
)

LIVE = frozenset(setting.key for setting in SETTINGS if setting.change is Change.LIVE)


def plan(spec: DeploymentSpec) -> tuple[PlannedStep, ...]:
    """The steps of a create. Nothing bills before `deploy`; storage of the volume has a free share."""
    steps = [
        PlannedStep("check", "check the settings and the budget"),
        PlannedStep("volume", "make its directory on the volume", makes="a directory on the volume"),
    ]
    if spec.source.kind is SourceKind.DIRECTORY:
        steps.append(PlannedStep("upload", "upload the adapter's files"))
        steps.append(PlannedStep("verify", "read back what arrived"))
    if needs_secret(spec):
        steps.append(PlannedStep("secret", "put the secret values there", makes="its secret"))
    steps.append(PlannedStep("image", "build the image"))
    steps.append(PlannedStep("deploy", "deploy the server", bills=True))
    steps.append(PlannedStep("url", "ask for its address"))
    if spec.text("visibility", PRIVATE) == PRIVATE:
        steps.append(PlannedStep("proxy_token", "see to the token that opens it"))
    if spec.min_instances > 0 or spec.text("probe", "yes") == "yes":
        steps.append(PlannedStep("answer", "wait for its first answer"))
    steps.append(PlannedStep(AWAIT_ACTIVE, "wait until it is active"))
    return tuple(steps)


def needs_secret(spec: DeploymentSpec) -> bool:
    return spec.text("hub_token", "no") == "yes" or bool(spec.text("environment"))


def plan_update(spec: DeploymentSpec, changes: Settings) -> tuple[PlannedStep, ...]:
    """Bounds go to the autoscaler, at once and without a rollout; the rest is a new version."""
    if set(changes) <= LIVE:
        return (
            PlannedStep("update", "set the autoscaler", bills=True),
            PlannedStep(AWAIT_ACTIVE, "wait until it is active"),
        )
    steps = [PlannedStep("check", "check the settings and the budget")]
    if "environment" in changes and needs_secret(spec):
        steps.append(PlannedStep("secret", "put the secret values there"))
    steps.append(PlannedStep("image", "build the image"))
    steps.append(PlannedStep("redeploy", "deploy a new version", bills=True))
    steps.append(PlannedStep(AWAIT_ACTIVE, "wait until it is active"))
    return tuple(steps)


def plan_stop(spec: DeploymentSpec, changes: Settings) -> tuple[PlannedStep, ...]:
    return PlannedStep("stop", "stop the app"), PlannedStep(AWAIT_STOPPED, "wait until it is stopped")


def plan_start(spec: DeploymentSpec, changes: Settings) -> tuple[PlannedStep, ...]:
    """A stopped app cannot be started: it is deployed anew under its name, which keeps the address."""
    return (
        PlannedStep("check", "check the settings and the budget"),
        PlannedStep("image", "build the image"),
        PlannedStep("start", "deploy it anew under its name", bills=True),
        PlannedStep(AWAIT_ACTIVE, "wait until it is active"),
    )


def plan_delete(spec: DeploymentSpec, changes: Settings) -> tuple[PlannedStep, ...]:
    return (
        PlannedStep("stop", "stop the app"),
        PlannedStep(AWAIT_STOPPED, "wait until it is stopped"),
        PlannedStep("delete", "remove its files and its secret"),
        PlannedStep(AWAIT_GONE, "wait until it is gone"),
    )


def plan_rollback(spec: DeploymentSpec, changes: Settings) -> tuple[PlannedStep, ...]:
    """The definitions of an earlier version, as a new one; files and secrets are as they are now."""
    return (
        PlannedStep("find_version", "see that the version is there"),
        PlannedStep("rollback", "let it serve again", bills=True),
        PlannedStep("read_version", "read back which version serves"),
        PlannedStep(AWAIT_ACTIVE, "wait until it is active"),
    )


def leaves(spec: DeploymentSpec) -> str:
    return "What containers have downloaded stays on the volumes peft-tui-*-cache, for the next ones."


def guard(settings: Settings) -> str:
    most, idle = settings.get("max_instances", 1), settings.get("idle_timeout", 300)
    if int(settings.get("min_instances") or 0) == 0 and not settings.get("buffer"):
        return f"It sleeps after {idle} s without a request; never more than {most} at once."
    return ""


CAPABILITIES = Capabilities(
    platform="modal",
    title="Modal",
    best_for="any base that vLLM serves, adapter as it is; sleeps when idle, billed by the second",
    credentials=(
        CredentialField("MODAL_TOKEN_ID", "token id (ak-…)"),
        CredentialField("MODAL_TOKEN_SECRET", "token secret (as-…)"),
        CredentialField("MODAL_ENVIRONMENT", "environment", secret=False, required=False),
        CredentialField("MODAL_PROXY_TOKEN_ID", "proxy token id (wk-…)", required=False),
        CredentialField("MODAL_PROXY_TOKEN_SECRET", "proxy token secret (ws-…)", required=False),
        CredentialField(
            "MODAL_SERVER_URL",
            "API address",
            secret=False,
            required=False,
            default="https://api.modal.com",
            grpc=True,
        ),
    ),
    sources={
        SourceKind.DIRECTORY: "uploaded to a volume",
        SourceKind.HUGGING_FACE: "an adapter or a merged model, fetched by the container",
        SourceKind.PLATFORM: "on a volume already: name, or volume:path",
    },
    no_sources={},
    reference=r"[\w.-]+:[\w./-]+|[\w.-]+-[0-9a-f]{8}",
    settings=SETTINGS,
    scale_to_zero=True,
    starts_anew=True,
    plan=plan,
    guard=guard,
    keeps_adapter=lambda spec: spec.source.kind is SourceKind.DIRECTORY,
    verbs={
        OperationKind.UPDATE: plan_update,
        OperationKind.STOP: plan_stop,
        OperationKind.START: plan_start,
        OperationKind.DELETE: plan_delete,
        OperationKind.ROLLBACK: plan_rollback,
    },
    leaves=leaves,
    # An app's name may have 63 characters; the address cuts its label at 63, name and workspace together.
    name_rule=NameRule(max_length=40),
    how_to_stop="To stop it: modal.com/apps, or `modal app stop`.",
    time_to_live="a minute when the base is cached, the first time up to 15",
)
