"""What the Together cloud can serve, on which hardware, at which price.

Prices: instance-types API as quoted by third parties in October 2026 (H100 5.49, B200 8.99, H200 5.99
USD per GPU hour). Shapes: together 3.1.1 `SupportedModel`, `Config`, `InferenceInstanceType`.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from typing import Any

PUBLIC_PROJECT = "proj_public"
PUBLIC_ORG = "org_together"
CREATED = "2026-07-16T09:00:00Z"


def stable_id(prefix: str, name: str) -> str:
    """An id that is the same in every world, for things that belong to the platform."""
    return prefix + hashlib.sha256(name.encode()).hexdigest()[:20]


@dataclass(frozen=True)
class InstanceType:
    """Hardware for one replica."""

    name: str
    gpu: str
    gpu_label: str
    count: int
    memory_gib: int
    price_cents: int
    regions: tuple[tuple[str, int], ...]


def _instances() -> dict[str, InstanceType]:
    types: list[InstanceType] = []
    h100 = (("us-central-8", 12), ("us-east-3", 5), ("eu-north-2", 3))
    for count in (1, 2, 4, 8):
        regions = tuple((name, free // count) for name, free in h100)
        types.append(
            InstanceType(
                f"{count}xnvidia-h100-80gb", "nvidia-h100-80gb", "H100", count, 80, 549 * count, regions
            )
        )
    for count in (1, 2, 4):
        regions = (("us-central-8", 4 // count), ("eu-north-2", 2 // count))
        types.append(
            InstanceType(
                f"{count}xnvidia-h200-140gb", "nvidia-h200-140gb", "H200", count, 140, 599 * count, regions
            )
        )
    types.append(
        InstanceType("1xnvidia-b200-192gb", "nvidia-b200-192gb", "B200", 1, 192, 899, (("us-east-3", 1),))
    )
    return {t.name: t for t in types}


INSTANCE_TYPES = _instances()


@dataclass(frozen=True)
class Config:
    """A certified way to run a base. `adapter_mode` is `dynamic`, `fixed` or None for off."""

    id: str
    base_id: str
    gpu: str
    count: int
    adapter_mode: str | None
    optimization: str
    concurrency: int
    quantization: str

    @property
    def hardware(self) -> str:
        """Name of the instance type."""
        return f"{self.count}x{self.gpu}"

    @property
    def path(self) -> str:
        """Resource name; public configs belong to another project than the user's."""
        return f"projects/{PUBLIC_PROJECT}/configs/{self.id}"

    def to_json(self) -> dict[str, Any]:
        """As `GET …/configs` shows it."""
        selectors = [
            {"key": "accelerator_type", "value": self.gpu},
            {"key": "accelerator_count", "value": str(self.count)},
            {"key": "optimization", "value": self.optimization},
            {"key": "topology", "value": f"TP{self.count}"},
        ]
        if self.adapter_mode:
            selectors.append({"key": "adapter_mode", "value": self.adapter_mode})
        reference = f"projects/{PUBLIC_PROJECT}/models/{self.base_id}"
        return {
            "id": self.id,
            "projectId": PUBLIC_PROJECT,
            "referenceModel": reference,
            "referenceModelId": self.base_id,
            "selectors": selectors,
            "certifications": [
                {
                    "certificationType": "CERTIFICATION_TYPE_CERTIFIED",
                    "certifiedAt": CREATED,
                    "certifiedBy": "model-certification",
                    "model": reference,
                    "modelRevisionId": stable_id("rv_", self.base_id),
                    "target": "CERTIFICATION_TARGET_DE_SERVERLESS",
                }
            ],
            "draftModel": "",
        }


@dataclass(frozen=True)
class Base:
    """A model of the platform's catalogue."""

    name: str
    billions: float
    context: int
    architecture: str
    profiles: tuple[tuple[str, int, str | None], ...]
    serverless: tuple[float, float] | None = None
    recommended: bool = False
    fine_tuning: bool = True
    vision: bool = False

    @property
    def id(self) -> str:
        """`ml_…`."""
        return stable_id("ml_", self.name)

    @property
    def revision_id(self) -> str:
        """The one revision of a public model."""
        return stable_id("rv_", self.id)

    @property
    def path(self) -> str:
        """Resource name."""
        return f"projects/{PUBLIC_PROJECT}/models/{self.id}"

    @property
    def configs(self) -> tuple[Config, ...]:
        """Certified configs; empty means that it cannot be deployed."""
        return tuple(
            Config(
                id=stable_id("cr_", f"{self.name}/{gpu}/{count}/{mode}"),
                base_id=self.id,
                gpu=gpu,
                count=count,
                adapter_mode=mode,
                optimization="throughput" if mode else "latency",
                concurrency=64 if mode else 128,
                quantization="BF16",
            )
            for gpu, count, mode in self.profiles
        )


_H100, _H200, _B200 = "nvidia-h100-80gb", "nvidia-h200-140gb", "nvidia-b200-192gb"
_SMALL = ((_H100, 1, None), (_H100, 1, "dynamic"), (_H200, 1, None))
_LARGE = ((_H100, 4, None), (_H100, 4, "dynamic"), (_H200, 2, None))

BASES: tuple[Base, ...] = (
    Base("meta-llama/Llama-3.1-8B-Instruct", 8.03, 131072, "LlamaForCausalLM", _SMALL, recommended=True),
    Base("Qwen/Qwen3-8B", 8.19, 40960, "Qwen3ForCausalLM", _SMALL, recommended=True),
    Base(
        "mistralai/Mistral-7B-Instruct-v0.3", 7.25, 32768, "MistralForCausalLM",
        ((_H100, 1, None), (_H200, 1, None)),
    ),
    Base(
        "google/gemma-3-12b-it", 12.2, 131072, "Gemma3ForConditionalGeneration",
        ((_H100, 1, None), (_H100, 1, "fixed"), (_H200, 1, None)), vision=True,
    ),
    Base("meta-llama/Llama-3.3-70B-Instruct", 70.6, 131072, "LlamaForCausalLM", _LARGE, recommended=True),
    Base(
        "meta-llama/Llama-3.2-3B-Instruct", 3.21, 131072, "LlamaForCausalLM",
        ((_H100, 1, None), (_H100, 1, "dynamic")),
    ),
    Base("meta-llama/Llama-3.1-70B-Instruct", 70.6, 131072, "LlamaForCausalLM", ((_H100, 4, None),)),
    Base(
        "Qwen/Qwen3-32B", 32.8, 40960, "Qwen3ForCausalLM",
        ((_H100, 2, None), (_H100, 2, "dynamic"), (_B200, 1, None)),
    ),
    Base(
        "Qwen/Qwen2.5-7B-Instruct", 7.62, 32768, "Qwen2ForCausalLM",
        ((_H100, 1, None), (_H100, 1, "dynamic")),
    ),
    # Listed, tunable, and yet nothing certified to run it on.
    Base("google/gemma-3-27b-it", 27.4, 131072, "Gemma3ForConditionalGeneration", (), vision=True),
    Base("Qwen/Qwen3.5-9B", 9.4, 262144, "Qwen3_5ForCausalLM", (), (0.10, 0.15), recommended=True),
    Base(
        "meta-llama/Llama-3.3-70B-Instruct-Turbo", 70.6, 131072, "LlamaForCausalLM",
        (), (0.88, 0.88), fine_tuning=False,
    ),
)  # fmt: skip

BY_ID: dict[str, Base] = {b.id: b for b in BASES}
BY_NAME: dict[str, Base] = {b.name: b for b in BASES}


@cache
def configs() -> dict[str, Config]:
    """All public configs by id."""
    return {c.id: c for b in BASES for c in b.configs}


def supported_json(base: Base) -> dict[str, Any]:
    """A catalogue entry, `SupportedModel`."""
    owner, _, short = base.name.partition("/")
    products = [
        *(["PRODUCT_SERVERLESS"] if base.serverless else []),
        *(["PRODUCT_DEDICATED"] if base.profiles else []),
        *(["PRODUCT_FINE_TUNING"] if base.fine_tuning else []),
    ]
    status = "RECOMMENDED" if base.recommended else "SUPPORTED"
    entry: dict[str, Any] = {
        "id": base.id,
        "name": base.name,
        "displayName": short.replace("-", " "),
        "displayType": "chat",
        "description": f"{short}, {base.billions:g} billion parameters.",
        "publisher": owner,
        "status": f"SUPPORTED_MODEL_STATUS_{status}",
        "products": products,
        "capabilities": ["CAPABILITY_CHAT"],
        "inputModalities": ["MODALITY_TEXT", *(["MODALITY_IMAGE"] if base.vision else [])],
        "outputModalities": ["MODALITY_TEXT"],
        "features": ["FEATURE_TOOL_CALLING", "FEATURE_STRUCTURED_OUTPUT"],
        "architecture": base.architecture,
        "contextLength": str(base.context),
        "baseModel": base.path,
        "baseModelId": base.id,
        "deploymentProfiles": [_profile_json(base, c) for c in base.configs],
        "tags": [owner.lower(), "chat"],
        "createdAt": CREATED,
        "updatedAt": CREATED,
    }
    if base.serverless:
        entry["pricing"] = {"input": base.serverless[0], "output": base.serverless[1]}
        entry["serverlessEndpoint"] = base.name
    return entry


def _profile_json(base: Base, config: Config) -> dict[str, Any]:
    modes = {"dynamic": "ADAPTER_MODE_DYNAMIC", "fixed": "ADAPTER_MODE_FIXED", None: "ADAPTER_MODE_DISABLED"}
    return {
        "profileId": config.id,
        "config": config.path,
        "model": base.path,
        "modelName": base.name,
        "gpuType": config.gpu,
        "gpuCount": config.count,
        "parallelism": f"TP{config.count}",
        "quantization": config.quantization,
        "adapterMode": modes[config.adapter_mode],
        "certifiedConfigRevisionId": config.id,
        "certifiedModelRevisionId": base.revision_id,
        "performanceBenchmarks": {
            "decodingSpeedTps": round(900 / base.billions**0.7 * (1.2 if config.gpu != _H100 else 1.0), 1),
            "timeToFirstTokenMs": int(120 + base.billions * 4),
            "maxContextLength": str(base.context),
        },
    }


def instance_json(instance: InstanceType, *, free: bool) -> dict[str, Any]:
    """A row of `GET /v2/public/inference-instance-types`."""
    regions: list[dict[str, Any]] = []
    for name, headroom in instance.regions:
        count = headroom if free else 0
        estimate: dict[str, Any] = {"relation": "RELATION_GTE" if count >= 5 else "RELATION_EQ"}
        # A zero count is left out, as everywhere in V2.
        if count:
            estimate["value"] = min(count, 5)
        region: dict[str, Any] = {"name": name, "headroom": estimate}
        if name.startswith("us-central"):
            region["compliance"] = [{"policy": {"hipaa": True}, "headroom": dict(estimate)}]
        regions.append(region)
    return {
        "id": instance.name,
        "name": instance.name,
        "description": f"{instance.count}x NVIDIA {instance.gpu_label} {instance.memory_gib}GB",
        "gpuType": instance.gpu_label,
        "gpuCount": instance.count,
        "gpuMemoryGib": instance.memory_gib,
        "priceCentsPerHour": instance.price_cents,
        "regions": regions,
    }
