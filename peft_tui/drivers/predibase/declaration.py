"""What Predibase can do, as data."""

from __future__ import annotations

from collections.abc import Mapping

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

HOST = "https://api.app.predibase.com"
SERVING_HOST = "https://serving.app.predibase.com"
ON = "on:"
"""Before a deployment's name where a machine's would stand: attached to it, nothing new runs."""
AUTO = "auto"
SWITCH = ((AUTO, "as the platform has it"), ("on", "on"), ("off", "off"))
COOLDOWN_MINUTES = 60

SETTINGS = (
    Setting(
        "instance_type",
        "Runs on",
        Kind.INSTANCE_TYPE,
        Change.CREATE_ONLY,
        help="a deployment that serves its base already, or a GPU of its own",
    ),
    Setting(
        "min_instances",
        "Minimum instances",
        Kind.INTEGER,
        Change.REDEPLOY,
        0,
        minimum=0,
        help="0 sleeps when idle; the next request boots it",
    ),
    Setting(
        "max_instances",
        "Maximum instances",
        Kind.INTEGER,
        Change.REDEPLOY,
        1,
        minimum=1,
        help="plans have had limits of 3 and 6",
    ),
    Setting(
        "idle_timeout",
        "Cooldown",
        Kind.INTEGER,
        Change.REDEPLOY,
        COOLDOWN_MINUTES,
        minimum=10,
        maximum=7 * 24 * 60,
        unit="minutes",
        help="without a request, before it is scaled to its minimum",
    ),
    Setting(
        "scale_target",
        "Auto-scaling",
        Kind.INTEGER,
        Change.REDEPLOY,
        1,
        minimum=1,
        maximum=10_000,
        unit="requests in flight",
        help="per instance, before another one is added",
    ),
    Setting(
        "quantization",
        "Quantization",
        Kind.CHOICE,
        Change.CREATE_ONLY,
        AUTO,
        choices=(
            (AUTO, "as the platform has it"),
            ("none", "none"),
            ("fp8", "fp8"),
            ("bitsandbytes-nf4", "nf4"),
        ),
        help="of the base",
    ),
    Setting(
        "max_total_tokens",
        "Longest request",
        Kind.INTEGER,
        Change.REDEPLOY,
        minimum=1,
        maximum=10_000_000,
        unit="tokens",
        help="prompt and answer together; empty: the platform decides",
    ),
    Setting(
        "custom_args",
        "LoRAX arguments",
        Kind.TEXT,
        Change.REDEPLOY,
        help="of the engine's launcher, such as --max-loras 8",
    ),
    Setting(
        "preloaded_adapters",
        "More adapters",
        Kind.TEXT,
        Change.REDEPLOY,
        help="as repository/version, loaded at the start besides this one; others load at first use",
    ),
    Setting("prefix_caching", "Prefix caching", Kind.CHOICE, Change.REDEPLOY, AUTO, choices=SWITCH),
    Setting(
        "speculator",
        "Speculator",
        Kind.TEXT,
        Change.REDEPLOY,
        help="auto, disabled, or a Turbo adapter's id; empty: the platform decides",
    ),
    Setting(
        "guaranteed",
        "Reserved GPUs",
        Kind.CHOICE,
        Change.REDEPLOY,
        "no",
        choices=(("no", "no"), ("yes", "take it from the contract's")),
    ),
    HUB_TOKEN,
    Setting("description", "Description", Kind.TEXT, Change.REDEPLOY),
    Setting(
        "probe",
        "Probe",
        Kind.CHOICE,
        Change.CREATE_ONLY,
        "yes",
        choices=(("yes", "send one short request"), ("no", "wait for the first real one")),
        help="the adapter is loaded by the first request that names it: only that proves it",
    ),
    Setting(
        "visibility",
        "Visibility",
        Kind.TEXT,
        Change.UNSUPPORTED,
        help="a deployment belongs to the account; shared ones are the platform's own",
    ),
    Setting(
        "concurrency",
        "Concurrency",
        Kind.INTEGER,
        Change.UNSUPPORTED,
        help="no setting of its own: an argument of LoRAX",
    ),
    Setting(
        "batch_size",
        "Batch size",
        Kind.INTEGER,
        Change.UNSUPPORTED,
        help="no setting of its own: an argument of LoRAX",
    ),
    Setting(
        "timeout",
        "Timeout",
        Kind.INTEGER,
        Change.UNSUPPORTED,
        help="Predibase has no request timeout to set; the caller's applies",
    ),
    Setting(
        "environment",
        "Environment",
        Kind.TEXT,
        Change.UNSUPPORTED,
        help="deployments have no environment variables",
    ),
)


def carrier_of(settings: Settings) -> str:
    """The deployment that it is to be attached to; empty when it gets one of its own."""
    place = str(settings.get("instance_type", ""))
    return place.removeprefix(ON) if place.startswith(ON) else ""


def plan(spec: DeploymentSpec) -> tuple[PlannedStep, ...]:
    """The steps of a create. Attached, nothing new runs and nothing new is billed."""
    steps: list[PlannedStep] = []
    if spec.source.kind is SourceKind.DIRECTORY:
        steps.append(PlannedStep("repository", "create a repository for the adapter", makes="the adapter"))
        steps.append(PlannedStep("upload", "upload its files"))
    elif spec.source.kind is SourceKind.PLATFORM:
        steps.append(PlannedStep("adapter", "look up the adapter"))
    if carrier := carrier_of(spec.settings):
        steps.append(PlannedStep("attach", f"note down that {carrier} serves it", makes="a note of it"))
    else:
        steps.append(PlannedStep("deployment", "create the deployment", bills=True))
    steps.append(PlannedStep(AWAIT_ACTIVE, "wait until it is active"))
    if spec.text("probe", "yes") == "yes":
        steps.append(PlannedStep("verify", "send one short request that names the adapter"))
    return tuple(steps)


def _stop(spec: DeploymentSpec, changes: Settings) -> tuple[PlannedStep, ...]:
    """There is no stop: only to delete it ends the billing. What it was is noted down there first."""
    return (
        PlannedStep("note", "note down its configuration at the platform"),
        PlannedStep("stop", "delete the deployment; its adapter stays"),
        PlannedStep(AWAIT_STOPPED, "wait until it is gone"),
    )


def _start(spec: DeploymentSpec, changes: Settings) -> tuple[PlannedStep, ...]:
    return (
        PlannedStep("start", "create it again", bills=True),
        PlannedStep("forget", "take the note away"),
        PlannedStep(AWAIT_ACTIVE, "wait until it is active"),
    )


def _update(spec: DeploymentSpec, changes: Settings) -> tuple[PlannedStep, ...]:
    return (PlannedStep("update", "change it, which rolls it out anew"),)


def _delete(spec: DeploymentSpec, changes: Settings) -> tuple[PlannedStep, ...]:
    carrier = carrier_of(spec.settings)
    steps = [
        PlannedStep("delete", f"forget that {carrier} serves it" if carrier else "delete the deployment"),
        PlannedStep(AWAIT_GONE, "wait until it is gone"),
    ]
    if spec.source.kind is SourceKind.DIRECTORY and not changes.get("keep_adapter"):
        steps.append(PlannedStep("delete_adapter", "delete the adapter that was uploaded for it"))
    return tuple(steps)


def refuses(kind: OperationKind, settings: Settings) -> str:
    """What would be done to the deployment that it is attached to is not done by this row."""
    carrier = carrier_of(settings)
    why = {
        OperationKind.STOP: "It bills nothing of its own.",
        OperationKind.START: "It serves when that one does.",
        OperationKind.UPDATE: "Its settings are that one's.",
    }
    if not carrier or kind not in why:
        return ""
    return f"It is attached to {carrier}. {why[kind]} {carrier} has a row of its own."


def guard(settings: Settings) -> str:
    if carrier := carrier_of(settings):
        return f"Nothing new runs: {carrier} serves it."
    if settings.get("min_instances") == 0:
        minutes, most = settings.get("idle_timeout", COOLDOWN_MINUTES), settings.get("max_instances", 1)
        return f"It sleeps after {minutes} min without a request; never more than {most} at once."
    return ""


def overruled(settings: Settings) -> Mapping[str, str]:
    """Attached, everything about machines is the other deployment's."""
    carrier = carrier_of(settings)
    if not carrier:
        return {}
    own = ("instance_type", "probe")
    reason = f"attached, it is what {carrier} has"
    return {setting.key: reason for setting in SETTINGS if setting.supported and setting.key not in own}


CAPABILITIES = Capabilities(
    platform="predibase",
    title="Predibase",
    best_for="many adapters on one GPU, chosen per request (LoRAX); no public prices",
    credentials=(
        CredentialField("PREDIBASE_API_TOKEN", "API token"),
        CredentialField("PREDIBASE_GATEWAY", "API address", secret=False, required=False, default=HOST),
        CredentialField(
            "PREDIBASE_SERVING_URL", "serving address", secret=False, required=False, default=SERVING_HOST
        ),
    ),
    sources={
        SourceKind.DIRECTORY: "uploaded from here",
        SourceKind.HUGGING_FACE: "a public one stays on the hub, the engine fetches it",
        SourceKind.PLATFORM: "an adapter there, as repository/version",
    },
    no_sources={},
    settings=SETTINGS,
    scale_to_zero=True,
    carrier=carrier_of,
    plan=plan,
    guard=guard,
    overruled=overruled,
    refuses=refuses,
    no_verbs={
        OperationKind.ROLLBACK: "Predibase keeps no earlier versions: update it to what it was before."
    },
    keeps_adapter=lambda spec: spec.source.kind is SourceKind.DIRECTORY,
    verbs={
        OperationKind.STOP: _stop,
        OperationKind.START: _start,
        OperationKind.UPDATE: _update,
        OperationKind.DELETE: _delete,
    },
    failed_is_final="Predibase: what has failed cannot be started again. Delete it and deploy anew.",
    patience={AWAIT_ACTIVE: 20 * 60.0},
    # The real limit is not documented; this one is ours [INF].
    name_rule=NameRule(max_length=40),
    how_to_stop="To stop it: delete it at app.predibase.com, Deployments.",
    time_to_live="minutes; seconds when attached",
    reference=r"[\w.-]+/\d+(@\d+)?",
    # No endpoint lists them. The known ones are built like this [INF]: GPU, memory, 100 × the count.
    unlisted=r"[a-z0-9]+_[0-9]+gb_(?:[a-z0-9]+_)?[0-9]+00",
    no_logs="Predibase hands out no logs: events, and request logs under contract",
)
