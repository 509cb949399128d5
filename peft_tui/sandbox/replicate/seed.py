"""The Replicate cloud as everyone finds it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from decimal import Decimal

from peft_tui.sandbox.replicate.state import (
    ACME_TOKEN,
    GLOBEX_TOKEN,
    Account,
    Model,
    ReplicateState,
    Version,
)

DAY = 86400.0


@dataclass(frozen=True)
class Hardware:
    """A SKU with its price per second, from the pricing page as of 2026-09-03."""

    sku: str
    name: str
    usd_per_second: Decimal
    listed: bool = True

    @property
    def usd_per_hour(self) -> Decimal:
        """Price of one instance."""
        return self.usd_per_second * 3600


HARDWARE: dict[str, Hardware] = {
    h.sku: h
    for h in (
        Hardware("cpu", "CPU", Decimal("0.000100")),
        Hardware("gpu-t4", "Nvidia T4 GPU", Decimal("0.000225")),
        Hardware("gpu-l40s", "Nvidia L40S GPU", Decimal("0.000975")),
        Hardware("gpu-l40s-2x", "2x Nvidia L40S GPU", Decimal("0.00195")),
        Hardware("gpu-a100-large", "Nvidia A100 (80GB) GPU", Decimal("0.0014")),
        Hardware("gpu-a100-large-2x", "2x Nvidia A100 (80GB) GPU", Decimal("0.0028")),
        Hardware("gpu-h100", "Nvidia H100 GPU", Decimal("0.001525")),
        # Under contract only: known, but not offered to these accounts.
        Hardware("gpu-h100-2x", "2x Nvidia H100 GPU", Decimal("0.00305"), listed=False),
    )
}


def version_id(name: str) -> str:
    """64 hex digits, the same in every world."""
    return hashlib.sha256(f"replicate-version|{name}".encode()).hexdigest()


def fresh(now: float) -> ReplicateState:
    """Accounts and models at the start."""
    state = ReplicateState(tokens={ACME_TOKEN: "acme", GLOBEX_TOKEN: "globex"})
    for username, name in (("acme", "Acme"), ("globex", "Globex")):
        state.accounts[username] = Account(
            username,
            name,
            "organization",
            f"https://github.com/{username}",
            f"https://github.com/{username}.png",
        )

    def add(
        owner: str, name: str, kind: str, versions: int, *, hardware: str = "gpu-l40s", **fields: object
    ) -> Model:
        model = Model(
            owner=owner,
            name=name,
            visibility=str(fields.pop("visibility", "public")),
            hardware=hardware,
            created_at=now - 120 * DAY,
        )
        voice = fields.pop("voice", None)
        for number in range(versions):
            model.versions.append(
                Version(
                    id=version_id(f"{owner}/{name}/{number}"),
                    created_at=now - (30 - 7 * number) * DAY,
                    kind=kind,
                    voice=f"{voice}-v{number + 1}" if voice else None,
                )
            )
        for key, value in fields.items():
            setattr(model, key, value)
        state.models[f"{owner}/{name}"] = model
        return model

    add(
        "acme", "llm-support", "llm", 2, visibility="private", voice="support",
        description="Llama 3.1 8B with the support adapter merged in.", run_count=1840,
        readme="# llm-support\n\nAnswers customers in our tone.\n", tags=["language-models"],
    )  # fmt: skip
    add(
        "acme", "llm-router", "llm", 0, visibility="private",
        description="Destination for imported checkpoints.", tags=["language-models"],
    )  # fmt: skip
    add(
        "replicate", "cog-vllm", "importer", 1, hardware="gpu-h100",
        description="Run any Hugging Face language model with vLLM; train to import weights.",
        github_url="https://github.com/replicate/cog-vllm",
        run_count=52_000,
        tags=["language-models", "lora"],
    )  # fmt: skip
    add(
        "meta", "meta-llama-3-8b-instruct", "llm", 1, hardware="gpu-h100", is_official=True,
        description="An 8 billion parameter language model from Meta, fine tuned for chat.",
        run_count=410_000_000, license_url="https://github.com/meta-llama/llama3/blob/main/LICENSE",
        tags=["language-models"],
    )  # fmt: skip
    add(
        "meta", "llama-2-13b-lora", "weights_llm", 1, hardware="gpu-a100-large",
        description="Llama 2 13B that takes trained LoRA weights.",
        run_count=90_000,
        tags=["language-models", "lora"],
    )  # fmt: skip
    add(
        "lucataco", "flux-dev-lora", "image", 1, hardware="gpu-h100",
        description="FLUX.1 dev with a LoRA from Hugging Face or a URL.",
        run_count=6_200_000,
        tags=["text-to-image", "lora"],
    )  # fmt: skip
    add(
        "globex", "secret-bot", "llm", 1, visibility="private", voice="globex",
        description="Belongs to the other tenant.",
    )  # fmt: skip
    return state
