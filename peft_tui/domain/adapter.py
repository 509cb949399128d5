"""What a LoRA adapter is, as its own files say."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class SourceKind(StrEnum):
    """The ways an adapter can come to a platform."""

    DIRECTORY = "directory"
    HUGGING_FACE = "hugging_face"
    PLATFORM = "platform"
    """Something that lies at the platform already, by the platform's own id."""


@dataclass(frozen=True, slots=True)
class AdapterSource:
    """Where the adapter is. `reference` is a path, `owner/name[@revision]`, or the platform's id."""

    kind: SourceKind
    reference: str

    @property
    def label(self) -> str:
        """Short, for a table cell."""
        if self.kind is SourceKind.DIRECTORY:
            parts = self.reference.rstrip("/").split("/")
            return "/".join(parts[-2:]) if len(parts) > 1 else self.reference
        return self.reference


@dataclass(frozen=True, slots=True)
class Adapter:
    """The facts of `adapter_config.json` and of the safetensors header; the weights are never read."""

    source: AdapterSource
    base_model: str
    """`base_model_name_or_path`; empty when the files do not say."""
    rank: int | None = None
    alpha: float | None = None
    target_modules: tuple[str, ...] = ()
    dora: bool = False
    rslora: bool = False
    revision: str = ""
    """`revision` of the base model, when the configuration pins one."""
    dtype: str = ""
    tensors: int | None = None
    size_bytes: int | None = None
    files: tuple[tuple[str, int], ...] = ()
    """Name and size of each file that a platform needs."""
    merged: bool = False
    """A whole checkpoint rather than an adapter: nothing to merge or attach any more."""
    gated: bool = False
    """The Hugging Face repository asks for a token."""

    @property
    def summary(self) -> str:
        """One line for the wizard: `r=16 α=32 · 84 MB · bf16 · q_proj,v_proj`."""
        if self.merged:
            return f"merged checkpoint · {megabytes(self.size_bytes)}"
        parts = [f"r={self.rank if self.rank is not None else '—'}"]
        if self.alpha is not None:
            parts[0] += f" α={self.alpha:g}"
        parts.append(megabytes(self.size_bytes))
        if self.dtype:
            parts.append(self.dtype)
        if self.dora:
            parts.append("DoRA")
        if self.rslora:
            parts.append("rsLoRA")
        if self.target_modules:
            parts.append(", ".join(self.target_modules[:4]) + ("…" if len(self.target_modules) > 4 else ""))
        return " · ".join(parts)


def megabytes(size: int | None) -> str:
    """`84 MB`, `1.2 GB`, `3 kB`; decimal units, as uploads and disks are sold."""
    if size is None:
        return "— MB"
    if size < 1_000_000:
        return f"{size / 1e3:.0f} kB" if size >= 1000 else f"{size} B"
    if size < 1_000_000_000:
        return f"{size / 1e6:.0f} MB" if size >= 10_000_000 else f"{size / 1e6:.1f} MB"
    return f"{size / 1e9:.1f} GB"
