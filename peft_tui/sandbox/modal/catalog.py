"""GPUs and prices.

USD per hour: `WorkspaceBillingRates` of the live service, August to October 2026, as quoted by several
third parties.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

RATES = {
    "cpu_hour_cost": "0.04730",
    "mem_gib_hour_cost": "0.00800",
    "cpu_hour_cost_sandbox": "0.141900",
    "mem_gib_hour_cost_sandbox": "0.024000",
    "gpu_hour_cost_t4": "0.59000",
    "gpu_hour_cost_l4": "0.80000",
    "gpu_hour_cost_a10g": "1.10000",
    "gpu_hour_cost_l40s": "1.95000",
    "gpu_hour_cost_a100_40gb": "2.10000",
    "gpu_hour_cost_a100_80gb": "2.50000",
    "gpu_hour_cost_rtx6000": "3.03000",
    "gpu_hour_cost_h100": "3.95000",
    "gpu_hour_cost_h200": "4.54000",
    "gpu_hour_cost_b200": "6.25000",
    "gpu_hour_cost_b300": "7.10000",
    "volume_storage_gib_month_cost": "0.09000",
    "egress_gib_cost": "0.04",
}

# A container asks for at least this much.
LEAST_CPU_MILLI = 125
LEAST_MEMORY_MB = 128


@dataclass(frozen=True)
class GpuType:
    """A kind of GPU: the word in the price list, memory in GB, and how many fit in one container."""

    rate: str
    memory: int
    most: int = 8


GPUS = {
    "T4": GpuType("t4", 16),
    "L4": GpuType("l4", 24),
    "A10": GpuType("a10g", 24, 4),
    "A10G": GpuType("a10g", 24, 4),
    "L40S": GpuType("l40s", 48),
    "A100": GpuType("a100_40gb", 40),
    "A100-40GB": GpuType("a100_40gb", 40),
    "A100-80GB": GpuType("a100_80gb", 80),
    "RTX-PRO-6000": GpuType("rtx6000", 96),
    "H100": GpuType("h100", 80),
    "H100!": GpuType("h100", 80),
    "H200": GpuType("h200", 141),
    "B200": GpuType("b200", 180),
    "B200+": GpuType("b200", 180),
    "B300": GpuType("b300", 270),
}


def usd_per_hour(gpu: str, count: int, cpu_milli: int, memory_mb: int) -> Decimal:
    """Price of one container while it exists."""
    cores = Decimal(max(cpu_milli, LEAST_CPU_MILLI)) / 1000
    gib = Decimal(max(memory_mb, LEAST_MEMORY_MB)) / 1024
    total = cores * Decimal(RATES["cpu_hour_cost"]) + gib * Decimal(RATES["mem_gib_hour_cost"])
    if gpu:
        total += Decimal(RATES[f"gpu_hour_cost_{GPUS[gpu].rate}"]) * count
    return total
