"""The repositories of the sandbox's hub."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from peft_tui.sandbox.weights import lora_files, merged_files

HF_TOKEN = "hf_sandboxAcmeReadTokenForTests0000"

ADAPTER = "adapter"
CHECKPOINT = "checkpoint"


@dataclass(frozen=True)
class HubRepo:
    """A model repository.

    Attributes:
        id: `owner/name`.
        files: Path to content.
        private: Only visible with a token.
        gated: Visible, but its files need a token.
        tags: As the real hub shows them.
    """

    id: str
    files: dict[str, bytes]
    private: bool = False
    gated: bool = False
    tags: tuple[str, ...] = ()
    base: str | None = None
    extra: dict[str, str] = field(default_factory=dict)

    @property
    def commit(self) -> str:
        """The commit hash of `main`, made from the content."""
        digest = hashlib.sha1(self.id.encode())  # noqa: S324
        for path, content in sorted(self.files.items()):
            digest.update(path.encode() + hashlib.sha1(content).digest())  # noqa: S324
        return digest.hexdigest()

    @property
    def kind(self) -> str:
        """Whether it holds an adapter or a full checkpoint."""
        return ADAPTER if "adapter_config.json" in self.files else CHECKPOINT


def _readme(base: str, adapter: bool) -> bytes:
    library = "peft" if adapter else "transformers"
    return f"---\nbase_model: {base}\nlibrary_name: {library}\n---\n\n# Sandbox model\n".encode()


def _lora(
    id: str, base: str, *, rank: int = 16, private: bool = False, gated: bool = False, **config: Any
) -> HubRepo:
    files = {"README.md": _readme(base, True), **lora_files(base, rank=rank, **config)}
    return HubRepo(id, files, private, gated, ("peft", "safetensors", "lora", f"base_model:{base}"), base)


GATED = ("meta-llama/", "google/gemma", "mistralai/Mistral-Large")
"""Owners, and names, whose models are handed out to those who agreed to a licence."""


def _base(id: str, architecture: str) -> HubRepo:
    """A base model, as small as a merged one here: what matters is that it is there, and for whom."""
    files = {"README.md": _readme(id, False), **merged_files(architecture, id)}
    return HubRepo(id, files, gated=id.startswith(GATED), tags=("transformers", "safetensors"))


@cache
def repos() -> dict[str, HubRepo]:
    """All repositories by id."""
    llama = "meta-llama/Llama-3.1-8B-Instruct"
    merged = merged_files("LlamaForCausalLM", llama)
    truncated = dict(lora_files(llama, rank=16))
    truncated["adapter_model.safetensors"] = truncated["adapter_model.safetensors"][:-1000]
    all_repos = [
        _lora("acme/support-r16", llama),
        _lora("acme/router-qwen3", "Qwen/Qwen3-8B", rank=8),
        _lora("acme/tone-mistral", "mistralai/Mistral-7B-Instruct-v0.3", rank=32),
        _lora("acme/triage-gemma12", "google/gemma-3-12b-it"),
        _lora("acme/support-dora", llama, use_dora=True),
        _lora("acme/huge-rank", llama, rank=256),
        _lora("acme/gemma27-lora", "google/gemma-3-27b-it"),
        _lora("acme/private-lora", llama, private=True),
        _lora("acme/gated-lora", llama, gated=True),
        HubRepo("acme/truncated-lora", {"README.md": _readme(llama, True), **truncated}, base=llama),
        HubRepo(
            "acme/llm-support-merged",
            {"README.md": _readme(llama, False), **merged},
            tags=("transformers", "safetensors", "llama", f"base_model:{llama}"),
            base=llama,
        ),
        _base(llama, "LlamaForCausalLM"),
        _base("Qwen/Qwen3-8B", "Qwen3ForCausalLM"),
        _base("mistralai/Mistral-7B-Instruct-v0.3", "MistralForCausalLM"),
        _base("google/gemma-3-12b-it", "Gemma3ForConditionalGeneration"),
    ]
    return {repo.id: repo for repo in all_repos}
