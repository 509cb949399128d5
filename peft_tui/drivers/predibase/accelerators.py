"""What a deployment can run on. Nothing there lists it: a table, and what the account is seen to use."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from peft_tui.domain.money import Price, Provenance
from peft_tui.domain.offers import InstanceType
from peft_tui.drivers.predibase.declaration import ON
from peft_tui.drivers.predibase.wire import Deployment

TABLE: dict[str, tuple[str, str]] = {
    # As a copy of the vendor's table of 2026-06-06 has them.
    "a10_24gb_100": ("1× A10G 24 GB", "all plans"),
    "l40s_48gb_100": ("1× L40S 48 GB", "all plans"),
    "l4_24gb_100": ("1× L4 24 GB", "Enterprise VPC"),
    "a10_24gb_400": ("4× A10G 24 GB", "Enterprise VPC"),
    "a100_80gb_100": ("1× A100 80 GB", ""),
    "a100_80gb_200": ("2× A100 80 GB", "Enterprise SaaS"),
    "h100_80gb_pcie_100": ("1× H100 80 GB PCIe", "Enterprise"),
    "h100_80gb_sxm_100": ("1× H100 80 GB SXM", "Enterprise"),
}
NOTHING_MORE = Price(Decimal(0), "no machine of its own", "", Provenance.REPORTED)


def machines(
    prices: Mapping[str, Price], used: tuple[str, ...] = (), recommended: str = ""
) -> tuple[InstanceType, ...]:
    """The recommended one first, then as the table has them, then those that it does not know."""
    ids = dict.fromkeys((*filter(None, [recommended]), *TABLE, *prices, *used))
    found = []
    for id in ids:
        title, plans = TABLE.get(id, (id, "not in our table"))
        words = "recommended for this base" if id == recommended else plans
        found.append(InstanceType(id, f"{title} · {id}" if id in TABLE else id, prices.get(id), words))
    return tuple(found)


def carrier(deployment: Deployment) -> InstanceType:
    """A deployment that an adapter can be attached to."""
    id, title = f"{ON}{deployment.name}", f"attach to {deployment.name}"
    if deployment.is_shared:
        return InstanceType(id, title, None, "shared endpoint: billed by tokens, few requests per second")
    state = "runs already" if deployment.current_replicas else "is there, asleep now"
    return InstanceType(id, title, NOTHING_MORE, f"{state}: nothing new bills")
