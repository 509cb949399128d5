"""From what was asked for to a server: vLLM's arguments and Modal's, without a call or a clock.

Sources: vLLM 0.11 (`vllm/config/lora.py`, `vllm/lora/peft_helper.py`, `vllm/lora/utils.py`), Modal's SDK 1.6
(`App.server`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from peft_tui.domain.adapter import Adapter, SourceKind
from peft_tui.domain.errors import ConfigurationInvalid
from peft_tui.domain.spec import DeploymentSpec
from peft_tui.drivers.modal.declaration import IMAGE, PUBLIC
from peft_tui.drivers.modal.gpus import gpu_count, known_gpus

VOLUME = "peft-tui-adapters"
"""One for all adapters, a directory each: one look shows them all, and nothing is sent twice."""
MARKER = "peft-tui.json"
"""In the directory of each deployment on that volume: while it is there, the deployment is not deleted."""
CACHES = {
    "/root/.cache/huggingface": "peft-tui-huggingface-cache",
    "/root/.cache/vllm": "peft-tui-vllm-cache",
}
"""What a first start downloads and compiles, kept for the next ones."""
ADAPTERS = "/adapters"
PORT = 8000
SERVER = "Server"
"""The name of the one server in an app of ours, as the vendor's own command line calls it."""
ENTRYPOINT = ("vllm", "serve")
"""Set by us: images differ in what theirs is."""

RANKS = (8, 16, 32, 64, 128, 256, 320, 512)
"""What vLLM takes as `--max-lora-rank`."""


@dataclass(frozen=True, slots=True)
class Model:
    """What the engine is to serve, and where the container finds it."""

    base: str
    """What vLLM loads: a Hugging Face id or a path in the container."""
    path: str = ""
    """The adapter's, likewise; empty for a model that is whole by itself."""
    rank: int = 16
    revision: str = ""
    """Of the base."""


@dataclass(frozen=True, slots=True)
class ServerPlan:
    """All that a deploy needs to know."""

    name: str
    image: str
    command: tuple[str, ...]
    gpu: tuple[str, ...]
    """In the order in which they are tried."""
    volumes: Mapping[str, str] = field(default_factory=dict)
    """Name by mount path, written by the container."""
    read_only: Mapping[str, str] = field(default_factory=dict)
    """The same for what it only reads."""
    secret: str = ""
    """Name of the one with the token and the variables."""
    private: bool = True
    startup_timeout: int = 1200
    routing_region: str = "us-east"
    region: str = ""
    min_containers: int = 0
    max_containers: int = 1
    buffer_containers: int | None = None
    scaledown_window: int = 300
    target_concurrency: int = 16
    max_concurrency: int | None = None

    @property
    def dockerfile(self) -> list[str]:
        """What is laid over the image."""
        return [f"ENTRYPOINT {json.dumps(ENTRYPOINT)}", f"CMD {json.dumps(self.command)}"]


def model_of(spec: DeploymentSpec, adapter: Adapter, remote_name: str) -> Model:
    """Where the container finds what `adapter` describes.

    Raises:
        ConfigurationInvalid: vLLM cannot serve it.
    """
    if reason := unservable(adapter):
        raise ConfigurationInvalid(reason, hint="Nothing was deployed and nothing bills.")
    reference, _, revision = spec.source.reference.partition("@")
    if spec.source.kind is SourceKind.HUGGING_FACE:
        if adapter.merged:
            return Model(reference, revision=revision)
        path = reference
    else:
        path = f"{ADAPTERS}/{directory_of(spec, remote_name)}"
        if adapter.merged:
            return Model(path)
    base = adapter.base_model or spec.base_model
    if not base:
        raise ConfigurationInvalid(
            "The adapter does not say which base model it belongs to.", hint="Give it as the base model."
        )
    return Model(base, path, adapter.rank or 16, adapter.revision)


def unservable(adapter: Adapter) -> str:
    """Why vLLM cannot serve it, or nothing."""
    if adapter.dora:
        return "vLLM does not serve DoRA."
    if adapter.rank is not None and adapter.rank > RANKS[-1]:
        return f"Rank {adapter.rank} is too high: vLLM takes up to {RANKS[-1]}."
    source = adapter.source
    if source.kind is SourceKind.HUGGING_FACE and "@" in source.reference and not adapter.merged:
        return "vLLM fetches an adapter's newest revision only; another cannot be named."
    return ""


def volume_of(spec: DeploymentSpec) -> str:
    """The volume that its files are on."""
    if spec.source.kind is SourceKind.PLATFORM and ":" in spec.source.reference:
        return spec.source.reference.partition(":")[0]
    return VOLUME


def directory_of(spec: DeploymentSpec, remote_name: str) -> str:
    """Its directory on that volume, without a slash at either end."""
    if spec.source.kind is not SourceKind.PLATFORM:
        return remote_name
    reference = spec.source.reference
    path = (reference.partition(":")[2] if ":" in reference else reference).strip("/")
    if not path or ".." in path.split("/") or not re.fullmatch(r"[\w./-]+", path):
        raise ConfigurationInvalid(
            f"“{reference}” is no directory on a volume.", hint=f"Give its name in {VOLUME}, or volume:path."
        )
    return path


def gpus_of(spec: DeploymentSpec) -> tuple[str, ...]:
    """The GPUs to try, the first the one that was chosen.

    Raises:
        ConfigurationInvalid: Modal has none of that name.
    """
    wanted = [spec.instance_type, *re.split(r"[,\s]+", spec.text("fallback"))]
    gpus = tuple(dict.fromkeys(name for name in wanted if name))
    for name in gpus:
        if not (count := gpu_count(name)):
            raise ConfigurationInvalid(
                f"Modal has no GPU “{name}”.",
                hint=f"It has {', '.join(known_gpus())}, and several of one as H100:2. Nothing was sent.",
            )
        if count != gpu_count(gpus[0]):
            raise ConfigurationInvalid(
                f"{name} and {gpus[0]} are not as many GPUs.",
                hint="The engine is set up for one number of them: give all the same :n. Nothing was sent.",
            )
    if not gpus:
        raise ConfigurationInvalid("A GPU is needed.", hint="Nothing was sent.")
    return gpus


def environment_names(spec: DeploymentSpec) -> tuple[str, ...]:
    """The variables whose values the container gets.

    Raises:
        ConfigurationInvalid: not names; a value among them is not repeated, it may be a secret.
    """
    names = [part for part in re.split(r"[,\s]+", spec.text("environment")) if part]
    if any("=" in name for name in names):
        raise ConfigurationInvalid(
            "Environment takes names, not values.",
            hint="Set the variable before peft-tui is started and give its name: values are written nowhere.",
        )
    for name in names:
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
            raise ConfigurationInvalid(f"“{name}” is no name of a variable.")
    return tuple(dict.fromkeys(names))


def command(model: Model, spec: DeploymentSpec, remote_name: str) -> tuple[str, ...]:
    """The arguments of `vllm serve`."""
    words = [model.base, "--host", "0.0.0.0", "--port", str(PORT)]
    if model.revision:
        words += ["--revision", model.revision]
    if model.path:
        rank = next(rank for rank in RANKS if rank >= model.rank)
        words += ["--enable-lora", "--max-loras", "1", "--max-lora-rank", str(rank)]
        words += ["--lora-modules", f"{remote_name}={model.path}"]
    else:
        words += ["--served-model-name", remote_name]
    if (count := gpu_count(spec.instance_type)) > 1:
        words += ["--tensor-parallel-size", str(count)]
    if batch := spec.integer("batch_size"):
        words += ["--max-num-seqs", str(batch)]
    if length := spec.integer("context_length"):
        words += ["--max-model-len", str(length)]
    return tuple(words)


def server_plan(spec: DeploymentSpec, model: Model, remote_name: str, secret: str = "") -> ServerPlan:
    """The server that serves `model`; `secret` is the name of what holds its secret values."""
    on_volume = spec.source.kind is not SourceKind.HUGGING_FACE
    return ServerPlan(
        name=remote_name,
        image=spec.text("image", IMAGE),
        command=command(model, spec, remote_name),
        gpu=gpus_of(spec),
        volumes=CACHES,
        read_only={ADAPTERS: volume_of(spec)} if on_volume else {},
        secret=secret,
        private=spec.text("visibility") != PUBLIC,
        startup_timeout=spec.integer("startup_timeout", 1200),
        routing_region=spec.text("routing_region", "us-east"),
        region=spec.text("region"),
        min_containers=spec.min_instances,
        max_containers=spec.integer("max_instances", 1),
        buffer_containers=spec.integer("buffer") or None,
        scaledown_window=spec.integer("idle_timeout", 300),
        target_concurrency=_target(spec),
        max_concurrency=spec.integer("concurrency") or None,
    )


def _target(spec: DeploymentSpec) -> int:
    """Never above what a container takes: the SDK refuses that."""
    target, limit = spec.integer("scale_target", 16), spec.integer("concurrency")
    return min(target, limit) if limit else target
