"""Modal's GPUs: how it calls them, how its price list calls them, how many of one a container may have.

Source: Modal's GPU guide and price list (dossier §7). Prices come from the platform, never from here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

from peft_tui.domain.money import Price
from peft_tui.domain.offers import InstanceType

MOST = 8
COUNTS = (1, 2, 4, 8)
"""What is offered to choose from; any number up to the GPU's most can be typed."""


@dataclass(frozen=True, slots=True)
class Gpu:
    name: str
    title: str
    rate: str
    """Its key in the price list, after `gpu_hour_cost_`."""
    gib: int
    most: int = MOST


GPUS = (
    Gpu("T4", "T4 16 GB", "t4", 16),
    Gpu("L4", "L4 24 GB", "l4", 24),
    Gpu("A10", "A10 24 GB", "a10g", 24, most=4),
    Gpu("L40S", "L40S 48 GB", "l40s", 48),
    Gpu("A100-40GB", "A100 40 GB", "a100_40gb", 40),
    Gpu("A100-80GB", "A100 80 GB", "a100_80gb", 80),
    Gpu("RTX-PRO-6000", "RTX PRO 6000 96 GB", "rtx6000", 96),
    Gpu("H100", "H100 80 GB, or better at its price", "h100", 80),
    Gpu("H100!", "H100 80 GB, never another", "h100", 80),
    Gpu("H200", "H200 141 GB", "h200", 141),
    Gpu("B200", "B200 180 GB", "b200", 180),
)
ALIASES = {"A10G": "A10", "A100": "A100-40GB", "B200+": "B200", "RTX6000": "RTX-PRO-6000"}
"""Other names that Modal takes, or uses itself, for one of them."""


def known_gpus() -> tuple[str, ...]:
    return tuple(gpu.name for gpu in GPUS)


def _split(name: str) -> tuple[Gpu | None, int]:
    match = re.fullmatch(r"([A-Za-z0-9+!_-]+?)(?::([1-9][0-9]?))?", name)
    if match is None:
        return None, 0
    word = match[1].upper().replace("_", "-")
    word = ALIASES.get(word, word)
    return next((gpu for gpu in GPUS if gpu.name == word), None), int(match[2] or 1)


def gpu_count(name: str) -> int:
    """How many GPUs `name` asks for; 0 when Modal has no such thing."""
    gpu, count = _split(name)
    return count if gpu is not None and count <= gpu.most else 0


def gpu_price(name: str, rates: Mapping[str, Decimal]) -> Decimal | None:
    """USD per hour of one container's GPUs; None where the list has no price."""
    gpu, count = _split(name)
    if gpu is None or (rate := rates.get(f"gpu_hour_cost_{gpu.rate}")) is None:
        return None
    return rate * count


def parse_rates(raw: Mapping[str, str]) -> dict[str, Decimal]:
    """The price list as numbers; what is none is left out."""
    rates: dict[str, Decimal] = {}
    for key, text in raw.items():
        try:
            amount = Decimal(text)
        except InvalidOperation:
            continue
        if amount.is_finite() and amount >= 0:
            rates[key] = amount
    return rates


def needed_gib(base: str) -> float | None:
    """What a model's weights take in 16 bits, with a quarter on top for what serves them.

    A guess by the size in its name [INF]; None where that says nothing, or where the weights are packed.
    """
    name = base.rpartition("/")[2].lower()
    if re.search(r"awq|gptq|gguf|bnb|fp8|nf4|int[48]|[48]-?bit|w[48]a", name):
        return None
    experts = re.search(r"(\d+)x(\d+(?:\.\d+)?)b(?![a-z0-9])", name)
    single = re.search(r"(?<![a-z0-9.])(\d+(?:\.\d+)?)b(?![a-z0-9])", name)
    if experts is not None:
        return int(experts[1]) * float(experts[2]) * 2 * 1.25
    return float(single[1]) * 2 * 1.25 if single is not None else None


def instance_types(
    rates: Mapping[str, Decimal], as_of: str, needed: float | None = None
) -> tuple[InstanceType, ...]:
    """What a container may have, cheapest first. Its processors and memory are billed by use on top.

    Args:
        needed: GiB of GPU memory; what has less stands last, and says so.
    """
    cpu, memory = rates.get("cpu_hour_cost"), rates.get("mem_gib_hour_cost")
    extra = ""
    if cpu is not None and memory is not None:
        extra = f"plus what it uses: ${cpu.normalize():f} a core·h, ${memory.normalize():f} a GiB·h"
    found: list[tuple[bool, Decimal, InstanceType]] = []
    for gpu in GPUS:
        for count in (count for count in COUNTS if count <= gpu.most):
            name = gpu.name if count == 1 else f"{gpu.name}:{count}"
            amount = gpu_price(name, rates)
            price = Price(amount, "platform", as_of) if amount is not None else None
            small = needed is not None and gpu.gib * count < needed
            told = f"too small, by the base's name: about {needed:.0f} GiB are needed" if small else extra
            item = InstanceType(name, f"{count} × {gpu.title}", price, told)
            found.append((small, amount if amount is not None else Decimal("Infinity"), item))
    return tuple(item for *_, item in sorted(found, key=lambda entry: entry[:2]))
