"""The Predibase cloud as everyone finds it: bases, accelerators with the sandbox's own prices, accounts."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from decimal import Decimal

from peft_tui.sandbox.predibase.state import (
    ACME_TOKEN,
    GLOBEX_TOKEN,
    Deployment,
    PredibaseState,
    Tenant,
    User,
)

DAY = 86400.0
SHARED_ACCELERATOR = "l40s_48gb_100"


@dataclass(frozen=True)
class Base:
    """A model that can be served, under the platform's short name and its name on the hub."""

    name: str
    hub_id: str
    context: int
    billions: float
    accelerator: str
    gated: bool = False
    shared: bool = False


BASES: tuple[Base, ...] = (
    Base(
        "llama-3-1-8b-instruct",
        "meta-llama/Llama-3.1-8B-Instruct",
        63999,
        8,
        "a10_24gb_100",
        shared=True,
    ),
    Base("qwen3-8b", "Qwen/Qwen3-8B", 32767, 8, "a10_24gb_100", shared=True),
    Base("qwen3-32b", "Qwen/Qwen3-32B", 16383, 32, "a100_80gb_100", shared=True),
    Base("mistral-7b-instruct-v0-3", "mistralai/Mistral-7B-Instruct-v0.3", 32767, 7, "a10_24gb_100"),
    Base("gemma-3-12b-it", "google/gemma-3-12b-it", 8191, 12, "l40s_48gb_100", gated=True),
)

USD_PER_HOUR: dict[str, Decimal] = {
    # Invented: the vendor publishes none. They are the truth of this world only.
    "l4_24gb_100": Decimal("1.10"),
    "a10_24gb_100": Decimal("2.00"),
    "a10_24gb_400": Decimal("8.00"),
    "l40s_48gb_100": Decimal("3.40"),
    "a100_80gb_100": Decimal("5.20"),
    "a100_80gb_200": Decimal("10.40"),
    "h100_80gb_pcie_100": Decimal("7.00"),
    "h100_80gb_sxm_100": Decimal("8.20"),
}


def base_of(name: str) -> Base | None:
    """A base by either of its names, however it is spelled."""
    wanted = name.lower()
    return next((b for b in BASES if wanted in (b.name, b.hub_id.lower())), None)


def fresh(now: float) -> PredibaseState:
    """Accounts and the shared endpoints; no resources of anybody's own yet."""
    state = PredibaseState(tokens={ACME_TOKEN: "ada@acme.example", GLOBEX_TOKEN: "hank@globex.example"})
    for number, (code, name, tier, trial) in enumerate(
        (("acme01", "Acme", "premium", False), ("glbx77", "Globex", "free", True)), 41
    ):
        mail = list(state.tokens.values())[number - 41]
        state.tenants[code] = Tenant(code, name, tier, trial, now + 12 * DAY if trial else None)
        state.users[mail] = User(number, _uuid(f"user|{mail}"), mail, code)
    for base in BASES:
        if base.shared:
            state.shared[base.name] = Deployment(
                uuid=_uuid(f"shared|{base.name}"),
                tenant="",
                name=base.name,
                description=None,
                type="shared",
                created_at=now - 300 * DAY,
                config={"baseModel": base.hub_id, "minReplicas": 1, "maxReplicas": 8},
                accelerator=SHARED_ACCELERATOR,
                base=base.name,
                status="ready",
                replicas=1,
            )
    return state


def _uuid(name: str) -> str:
    digits = hashlib.sha256(f"predibase|{name}".encode()).hexdigest()
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:32]))
