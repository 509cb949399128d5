"""What Together AI can do, as data."""

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
from peft_tui.domain.operation import AWAIT_ACTIVE, AWAIT_GONE, AWAIT_STOPPED, OperationKind
from peft_tui.domain.spec import DeploymentSpec, Settings

V1 = "v1"
"""In the place of the instance type of what is left of the first generation: its list names none."""
HOST = "https://api.together.ai"
MERGE, ATTACH = "merge", "attach"

SETTINGS = (
    Setting(
        "serving",
        "Serving",
        Kind.CHOICE,
        Change.CREATE_ONLY,
        MERGE,
        choices=((MERGE, "merge the adapter into its base"), (ATTACH, "attach it to a running base")),
        help="attached: on a base of its own, for adapters of Together's own training; others may be refused",
    ),
    Setting("instance_type", "Instance type", Kind.INSTANCE_TYPE, Change.CREATE_ONLY),
    Setting(
        "region",
        "Region",
        Kind.REGION,
        Change.CREATE_ONLY,
        help="one of the instance type's regions; empty: wherever there is room",
    ),
    Setting(
        "min_instances",
        "Minimum instances",
        Kind.INTEGER,
        Change.LIVE,
        1,
        minimum=1,
        maximum=100,
        help="0 is not possible here: stopping is 0/0",
    ),
    Setting("max_instances", "Maximum instances", Kind.INTEGER, Change.LIVE, 1, minimum=1, maximum=100),
    Setting(
        "scale_target",
        "Auto-scaling",
        Kind.INTEGER,
        Change.LIVE,
        8,
        minimum=1,
        maximum=1000,
        unit="requests in flight",
        help="per instance, before another one is added",
    ),
    Setting(
        "idle_timeout",
        "Idle stop",
        Kind.INTEGER,
        Change.LIVE,
        60,
        minimum=30,
        maximum=1440,
        also=(0,),
        unit="minutes",
        help="the platform's own guard when nobody is looking; 0 never stops",
    ),
    Setting(
        "concurrency",
        "Concurrency",
        Kind.INTEGER,
        Change.LIVE,
        minimum=1,
        maximum=100_000,
        unit="per instance",
        help="requests at a time; empty: the engine's limit",
    ),
    Setting(
        "visibility",
        "Visibility",
        Kind.CHOICE,
        Change.LIVE,
        "private",
        choices=(("private", "this project"), ("internal", "the whole organization")),
    ),
    HUB_TOKEN,
    Setting("description", "Description", Kind.TEXT, Change.LIVE, help="kept here only", local=True),
    Setting(
        "timeout",
        "Timeout",
        Kind.INTEGER,
        Change.UNSUPPORTED,
        help="Together has no request timeout of its own; the caller's applies",
    ),
    Setting(
        "batch_size",
        "Batch size",
        Kind.INTEGER,
        Change.UNSUPPORTED,
        help="decided by the platform's engine",
    ),
    Setting(
        "environment", "Environment", Kind.TEXT, Change.UNSUPPORTED, help="only for containers of one's own"
    ),
)


def plan(spec: DeploymentSpec) -> tuple[PlannedStep, ...]:
    """The steps of a create, in the order in which the vendor's own command line takes them.

    Traffic is sent before the first start is awaited: whoever closes the lid in between must not find an
    endpoint that bills and serves nothing.
    """
    steps: list[PlannedStep] = []
    if spec.source.kind is not SourceKind.PLATFORM:
        steps.append(PlannedStep("register", "register the adapter", makes="the adapter"))
        if spec.source.kind is SourceKind.DIRECTORY:
            steps.append(PlannedStep("upload", "upload its files"))
        else:
            steps.append(PlannedStep("start_import", "import it from Hugging Face"))
            steps.append(PlannedStep("await_import", "wait for the import"))
    steps.append(PlannedStep("validate", "wait until the platform has checked it"))
    steps.append(PlannedStep("endpoint", "create the endpoint", makes="an endpoint"))
    steps.append(PlannedStep("dry_run", "dry run of the deployment"))
    steps.append(PlannedStep("deployment", "create the deployment", bills=True))
    if spec.text("serving", MERGE) == ATTACH:
        steps.append(PlannedStep("attach", "attach the adapter"))
    steps.append(PlannedStep("traffic", "send it traffic"))
    steps.append(PlannedStep(AWAIT_ACTIVE, "wait until it is active"))
    if spec.text("serving", MERGE) == ATTACH:
        steps.append(PlannedStep("await_adapter", "wait until the adapter is loaded"))
    return tuple(steps)


def _stop(spec: DeploymentSpec, changes: Settings) -> tuple[PlannedStep, ...]:
    return (
        PlannedStep("stop", "set its replicas to 0"),
        PlannedStep(AWAIT_STOPPED, "wait until the platform says stopped"),
    )


def _start(spec: DeploymentSpec, changes: Settings) -> tuple[PlannedStep, ...]:
    return (
        PlannedStep("start", "set its replicas", bills=True),
        PlannedStep("traffic", "send it traffic"),
        PlannedStep(AWAIT_ACTIVE, "wait until it is active"),
    )


def _update(spec: DeploymentSpec, changes: Settings) -> tuple[PlannedStep, ...]:
    steps: list[PlannedStep] = []
    if changes.keys() - {"visibility"}:
        steps.append(PlannedStep("update", "change it while it serves"))
    if "visibility" in changes:
        steps.append(PlannedStep("visibility", "change who sees its endpoint"))
    return tuple(steps)


def _delete(spec: DeploymentSpec, changes: Settings) -> tuple[PlannedStep, ...]:
    """The order of the vendor's own command line: nothing is taken away that bills or has traffic."""
    steps = [
        *_stop(spec, changes),
        PlannedStep("detach", "take its traffic away"),
        PlannedStep("delete", "delete the deployment"),
        PlannedStep("delete_endpoint", "delete its endpoint"),
        PlannedStep(AWAIT_GONE, "wait until it is gone"),
    ]
    if spec.source.kind is not SourceKind.PLATFORM and not changes.get("keep_adapter"):
        steps.append(PlannedStep("delete_model", "delete the adapter that was registered for it"))
    return tuple(steps)


def refuses(kind: OperationKind, settings: Settings) -> str:
    """What the platform does not do any more with an endpoint of its first generation."""
    if settings.get("instance_type") != V1:
        return ""
    return {
        OperationKind.START: "Together starts no endpoint of its first generation any more: deploy it anew.",
        OperationKind.UPDATE: "An endpoint of Together's first generation can only be stopped or deleted.",
    }.get(kind, "")


def guard(settings: Settings) -> str:
    minutes = settings.get("idle_timeout")
    return f"Together stops it after {minutes} min without a request." if minutes else ""


CAPABILITIES = Capabilities(
    platform="together",
    title="Together AI",
    best_for="a dedicated GPU, adapter merged or attached; live prices, local upload",
    credentials=(
        CredentialField("TOGETHER_API_KEY", "API key"),
        CredentialField("TOGETHER_PROJECT_ID", "project id", secret=False, required=False),
        CredentialField("TOGETHER_BASE_URL", "API address", secret=False, required=False, default=HOST),
    ),
    sources={
        SourceKind.DIRECTORY: "uploaded from here",
        SourceKind.HUGGING_FACE: "imported by the platform",
        SourceKind.PLATFORM: "registered before, by its ml_… id",
    },
    no_sources={},
    settings=SETTINGS,
    scale_to_zero=False,
    plan=plan,
    guard=guard,
    no_verbs={
        OperationKind.ROLLBACK: "Together AI keeps no earlier versions: update it to what it was before."
    },
    verbs={
        OperationKind.STOP: _stop,
        OperationKind.START: _start,
        OperationKind.UPDATE: _update,
        OperationKind.DELETE: _delete,
    },
    refuses=refuses,
    keeps_adapter=lambda spec: spec.source.kind is not SourceKind.PLATFORM,
    failed_is_final="Together: what has failed cannot be started again. Delete it and deploy anew.",
    patience={AWAIT_ACTIVE: 20 * 60.0, AWAIT_STOPPED: 5 * 60.0},
    # The real limit of an endpoint's name is not documented; this one is ours [INF].
    name_rule=NameRule(max_length=40),
    how_to_stop="To stop it: set its replicas to 0 at api.together.ai, Endpoints.",
    time_to_live="minutes, the first time up to 20",
    reference=r"ml_[\w-]+",
    no_logs="Together hands out no logs of a deployment; excerpts stand in its events",
)
