"""What Replicate can do, as data."""

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

HOST = "https://api.replicate.com"
SETTINGS = (
    Setting("instance_type", "Instance type", Kind.INSTANCE_TYPE, Change.REDEPLOY),
    Setting(
        "min_instances",
        "Minimum instances",
        Kind.INTEGER,
        Change.REDEPLOY,
        0,
        minimum=0,
        maximum=5,
        help="0 sleeps when idle; the first request boots it",
    ),
    Setting("max_instances", "Maximum instances", Kind.INTEGER, Change.REDEPLOY, 1, minimum=1, maximum=20),
    Setting(
        "probe",
        "Probe",
        Kind.CHOICE,
        Change.CREATE_ONLY,
        "yes",
        choices=(("yes", "send one short request"), ("no", "wait for the first real one")),
        help="Replicate tells no state: only a request proves that it boots; billed by the second",
    ),
    HUB_TOKEN,
    Setting("description", "Description", Kind.TEXT, Change.LIVE, help="kept here only", local=True),
    Setting(
        "scale_target",
        "Auto-scaling",
        Kind.INTEGER,
        Change.UNSUPPORTED,
        help="the platform scales between the bounds by its own rule",
    ),
    Setting(
        "idle_timeout",
        "Idle stop",
        Kind.INTEGER,
        Change.UNSUPPORTED,
        help="a fixed few minutes, set by the platform; a minimum of 0 sleeps by itself",
    ),
    Setting(
        "concurrency",
        "Concurrency",
        Kind.INTEGER,
        Change.UNSUPPORTED,
        help="fixed when the model was packaged",
    ),
    Setting("visibility", "Visibility", Kind.TEXT, Change.UNSUPPORTED, help="deployments are always private"),
    Setting(
        "timeout",
        "Timeout",
        Kind.INTEGER,
        Change.UNSUPPORTED,
        help="per request only (Cancel-After), not of a deployment",
    ),
    Setting(
        "batch_size",
        "Batch size",
        Kind.INTEGER,
        Change.UNSUPPORTED,
        help="fixed when the model was packaged",
    ),
    Setting(
        "environment",
        "Environment",
        Kind.TEXT,
        Change.UNSUPPORTED,
        help="the API has no environment variables for deployments",
    ),
)


def plan(spec: DeploymentSpec) -> tuple[PlannedStep, ...]:
    """The steps of a create. A Hugging Face checkpoint becomes a model version by a training first."""
    steps: list[PlannedStep] = []
    if spec.source.kind is SourceKind.HUGGING_FACE:
        steps.append(PlannedStep("model", "create a private model to import into", makes="a private model"))
        steps.append(PlannedStep("training", "start the import (cog-vllm)", bills=True))
        steps.append(PlannedStep("await_training", "wait for the import"))
    else:
        steps.append(PlannedStep("version", "look up the model's version"))
    steps.append(PlannedStep("deployment", "create the deployment", bills=True))
    if spec.text("probe", "yes") == "yes":
        steps.append(PlannedStep("probe", "send one short request", bills=True))
        steps.append(PlannedStep("await_probe", "wait for its answer"))
        steps.append(PlannedStep(AWAIT_ACTIVE, "wait until it is active"))
    return tuple(steps)


def _stop(spec: DeploymentSpec, changes: Settings) -> tuple[PlannedStep, ...]:
    return (
        PlannedStep("stop", "set its instances to 0"),
        PlannedStep(AWAIT_STOPPED, "wait until the platform shows it disabled"),
    )


def _start(spec: DeploymentSpec, changes: Settings) -> tuple[PlannedStep, ...]:
    return (
        PlannedStep("start", "set its instances", bills=True),
        PlannedStep(AWAIT_ACTIVE, "wait until it is active, or asleep"),
    )


def _update(spec: DeploymentSpec, changes: Settings) -> tuple[PlannedStep, ...]:
    return (PlannedStep("update", "make a new release, rolled out by the platform"),)


def _delete(spec: DeploymentSpec, changes: Settings) -> tuple[PlannedStep, ...]:
    steps = (
        *_stop(spec, changes),
        PlannedStep("await_idle", "wait until it has been unused for 15 minutes"),
        PlannedStep("delete", "delete the deployment"),
        PlannedStep(AWAIT_GONE, "wait until it is gone"),
    )
    if spec.source.kind is not SourceKind.HUGGING_FACE:
        return steps
    return (
        PlannedStep("cancel_import", "cancel its import, if it still runs"),
        *steps,
        PlannedStep("delete_model", "delete its model, if nothing was imported"),
    )


def _leaves(spec: DeploymentSpec) -> str:
    if spec.source.kind is SourceKind.HUGGING_FACE:
        return "The imported model stays at Replicate, where it costs nothing while nobody runs it."
    return ""


def guard(settings: Settings) -> str:
    if settings.get("min_instances") == 0:
        return f"It sleeps when idle; never more than {settings.get('max_instances', 1)} at once."
    return ""


CAPABILITIES = Capabilities(
    platform="replicate",
    title="Replicate",
    best_for="a packaged model or merged checkpoint that may sleep; billed by the second",
    credentials=(
        CredentialField("REPLICATE_API_TOKEN", "API token"),
        CredentialField("REPLICATE_BASE_URL", "API address", secret=False, required=False, default=HOST),
    ),
    sources={
        SourceKind.HUGGING_FACE: "a merged checkpoint, imported with cog-vllm",
        SourceKind.PLATFORM: "a model of yours there, as owner/name[:version]",
    },
    no_sources={
        SourceKind.DIRECTORY: "Replicate takes no adapter files: push a Cog image, or merge the adapter, "
        "put it on Hugging Face and import that",
    },
    settings=SETTINGS,
    scale_to_zero=True,
    plan=plan,
    guard=guard,
    no_verbs={
        OperationKind.ROLLBACK: "Its API tells of no earlier releases: update it to what it was before."
    },
    verbs={
        OperationKind.STOP: _stop,
        OperationKind.START: _start,
        OperationKind.UPDATE: _update,
        OperationKind.DELETE: _delete,
    },
    patience={AWAIT_ACTIVE: 15 * 60.0, AWAIT_STOPPED: 2 * 60.0},
    leaves=_leaves,
    # The real limit is not documented; this one is ours [INF].
    name_rule=NameRule(max_length=40),
    how_to_stop="To stop it: set its instances to 0 at replicate.com/deployments.",
    time_to_live="seconds when warm, minutes to boot",
    reference=r"[\w.-]+/[\w.-]+(:[0-9a-f]+)?",
    no_events="Replicate tells no events of a deployment",
    no_logs="Replicate has logs of single predictions only",
)
