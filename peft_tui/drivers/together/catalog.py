"""What Together serves and on what: bases, profiles, instance types, and whether an adapter fits them."""

from __future__ import annotations

from decimal import Decimal

from peft_tui.domain.adapter import Adapter
from peft_tui.domain.money import Price
from peft_tui.domain.offers import (
    Assessment,
    Finding,
    InstanceType,
    Level,
)
from peft_tui.drivers.together.declaration import ATTACH
from peft_tui.drivers.together.wire import InstanceTypeWire, Profile, SupportedModel

# Together documents no limit for V2; these are guesses [INF], kept here to be changed in one place.
MAX_RANK = 64
DORA_SUPPORTED = False

LORA_MODES = {"ADAPTER_MODE_DYNAMIC": 0, "ADAPTER_MODE_FIXED": 1}
"""Adapter modes that can serve attached adapters; the lower is preferred, as by the vendor's own CLI."""


def instance_type(wire: InstanceTypeWire, as_of: str) -> InstanceType:
    cents = wire.price_cents_per_hour
    price = Price(Decimal(cents) / 100, "platform", as_of) if cents is not None else None
    regions = {
        region.name: f"{'at least ' if room.relation == 'RELATION_GTE' else ''}{room.value or 0} free"
        if (room := region.headroom) is not None
        else ""
        for region in wire.regions
        if region.name
    }
    known = [region.headroom for region in wire.regions if region.headroom is not None]
    return InstanceType(
        wire.name or wire.id,
        f"{wire.gpu_count} × {wire.gpu_type} {wire.gpu_memory_gib:g} GB",
        price,
        ", ".join(f"{name}: {words}" for name, words in regions.items() if words),
        any(room.value or room.relation == "RELATION_GTE" for room in known) if known else None,
        regions,
    )


def hardware_key(name: str) -> str:
    """What the hardware of a profile, a deployment and an instance type have in common."""
    return name.lower().replace("nvidia-", "")


def profile_hardware(profile: Profile) -> str:
    return hardware_key(f"{profile.gpu_count}x{profile.gpu_type}")


def runs_on(profile: Profile, item: InstanceTypeWire) -> bool:
    """True when `profile` is made for `item`, whichever of its spellings the profile uses."""
    spellings = {
        hardware_key(item.name),
        hardware_key(item.id),
        hardware_key(f"{item.gpu_count}x{item.gpu_type}"),
    }
    return profile_hardware(profile) in spellings


def find_base(models: list[SupportedModel], base: str) -> SupportedModel | None:
    wanted = base.lower()
    return next((m for m in models if wanted and wanted in (m.name.lower(), m.id.lower())), None)


def choose_profile(base: SupportedModel, item: InstanceTypeWire | None, serving: str) -> Profile | None:
    """For attaching a profile that takes adapters, for merging rather one that does not."""
    fitting = [p for p in base.deployment_profiles if p.config and (item is None or runs_on(p, item))]
    if serving == ATTACH:
        fitting = [p for p in fitting if p.adapter_mode in LORA_MODES]
        return min(fitting, key=lambda p: LORA_MODES[p.adapter_mode or ""], default=None)
    return min(fitting, key=lambda p: p.adapter_mode in LORA_MODES, default=None)


def assess(
    base_name: str,
    adapter: Adapter | None,
    models: list[SupportedModel],
    hardware: list[InstanceTypeWire],
    as_of: str,
) -> Assessment:
    """Whether the adapter can be served, and on which machines."""
    base = find_base(models, base_name)
    if not base_name:
        return _blocked("The adapter does not say which base model it belongs to.")
    if base is None:
        return _blocked(
            f"Together does not serve {base_name}.",
            "Train on one of its supported models, or choose another platform.",
        )
    profiles = [p for p in base.deployment_profiles if p.config]
    if not profiles:
        return _blocked(
            f"Together knows {base.name}, but has no configuration to deploy it with.",
            "Choose another platform for this base.",
        )
    findings = [Finding(Level.OK, f"base model: {base.name}")]
    if base.status == "SUPPORTED_MODEL_STATUS_DEPRECATED":
        findings.append(Finding(Level.WARNING, "Together is about to withdraw this base model"))
    if adapter is not None:
        findings += _adapter_findings(adapter)
    lora = [p for p in profiles if p.adapter_mode in LORA_MODES]
    unsupported: dict[str, str] = {}
    if not lora:
        unsupported[f"serving={ATTACH}"] = "this base has no configuration that takes adapters"
    offered = [item for item in hardware if any(runs_on(profile, item) for profile in profiles)]
    if not offered:
        findings.append(Finding(Level.BLOCKED, "Together offers no instance type for this base now"))
    items = sorted(
        (instance_type(item, as_of) for item in offered),
        key=lambda item: item.price.usd_per_hour if item.price else Decimal("Infinity"),
    )
    return Assessment(tuple(findings), base.name, tuple(items), unsupported)


def _adapter_findings(adapter: Adapter) -> list[Finding]:
    found: list[Finding] = []
    if adapter.merged:
        found.append(
            Finding(
                Level.BLOCKED, "This is a whole model, not an adapter.", "Register it with the vendor's CLI."
            )
        )
    if adapter.rank is not None and adapter.rank > MAX_RANK:
        found.append(
            Finding(
                Level.BLOCKED,
                f"Rank {adapter.rank} is too high: up to {MAX_RANK} here.",
                "Train with a lower r.",
            )
        )
    elif adapter.rank is not None:
        found.append(Finding(Level.OK, f"rank {adapter.rank}: up to {MAX_RANK} here"))
    if adapter.gated:
        found.append(
            Finding(Level.WARNING, "a private or gated repository", "Set Hugging Face token to yes.")
        )
    if adapter.dora and not DORA_SUPPORTED:
        found.append(
            Finding(
                Level.BLOCKED,
                "DoRA is not supported here.",
                "Merge it into its base with PEFT's merge_and_unload(), or train without use_dora.",
            )
        )
    return found


def _blocked(message: str, hint: str = "") -> Assessment:
    return Assessment((Finding(Level.BLOCKED, message, hint),))
