"""Reads an adapter: from a directory here, or file by file from elsewhere. The weights are never loaded."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from peft_tui.domain.adapter import Adapter, AdapterSource, SourceKind
from peft_tui.domain.errors import ConfigurationInvalid
from peft_tui.text import clean_line

CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"
MAX_CONFIG = 1024 * 1024
MAX_HEADER = 100_000_000
"""The format's own limit for the header of a safetensors file."""
PREFIX = 8
"""A safetensors file begins with the header's length: eight bytes, little endian."""
_DTYPES = {"F64": "fp64", "F32": "fp32", "F16": "fp16", "BF16": "bf16", "F8_E4M3": "fp8", "F8_E5M2": "fp8"}


def read_directory(path: str) -> Adapter:
    """Read `adapter_config.json` and the header of `adapter_model.safetensors`.

    Raises:
        ConfigurationInvalid: with what is wrong and what to do; nothing was sent anywhere.
    """
    try:
        directory = Path(path).expanduser()
    except RuntimeError as error:
        raise _bad(
            f"{path} does not exist: there is no such home directory.", "Give the whole path."
        ) from error
    try:
        if not directory.exists():
            raise _bad(f"{directory} does not exist.", "Give the directory that the training wrote.")
        if not directory.is_dir():
            raise _bad(
                f"{directory} is not a directory.", "Give the directory that holds the adapter's files."
            )
        names = {entry.name: entry for entry in os.scandir(directory)}
        if CONFIG not in names:
            raise _bad(
                _missing_config(directory, set(names)), "Save the adapter with PEFT's save_pretrained()."
            )
        config = _open(directory / CONFIG, MAX_CONFIG)
        if WEIGHTS not in names:
            raise _bad(*_missing_weights(set(names)))
        weights = directory / WEIGHTS
        _check_file(weights)
        size = weights.stat().st_size
        with weights.open("rb") as file:
            header = file.read(header_length(file.read(PREFIX), size))
        files = ((CONFIG, (directory / CONFIG).stat().st_size), (WEIGHTS, size))
    except OSError as error:
        where = error.filename or directory
        raise _bad(f"{where} cannot be read: {error.strerror}.", "Check its permissions.") from error
    source = AdapterSource(SourceKind.DIRECTORY, str(directory.resolve()))
    return build(source, _json(config), _header(header, size), size, files)


def build(
    source: AdapterSource,
    config: Any,
    tensors: Mapping[str, dict[str, Any]] | None,
    size: int | None,
    files: tuple[tuple[str, int], ...],
) -> Adapter:
    """The adapter that two files describe, wherever they were read.

    Args:
        config: what `adapter_config.json` holds, parsed.
        tensors: what the safetensors header says of each; None where it was not read.
        size: of the whole safetensors file, in bytes.

    Raises:
        ConfigurationInvalid: they contradict the format or each other.
    """
    facts = _config(config)
    rank = _rank(facts, tensors or {})
    targets = facts.get("target_modules")
    dtypes = sorted({str(tensor.get("dtype", "")) for tensor in (tensors or {}).values()})
    return Adapter(
        source,
        base_model=clean_line(facts.get("base_model_name_or_path") or "", 200),
        rank=rank,
        alpha=_alpha(facts),
        target_modules=tuple(clean_line(t, 60) for t in targets)
        if isinstance(targets, list)
        else ((clean_line(targets, 60),) if targets else ()),
        dora=bool(facts.get("use_dora")),
        rslora=bool(facts.get("use_rslora")),
        revision=clean_line(facts.get("revision") or "", 80),
        dtype="/".join(_DTYPES.get(dtype, clean_line(dtype.lower(), 12)) for dtype in dtypes),
        tensors=len(tensors) if tensors is not None else None,
        size_bytes=size,
        files=files,
    )


def header_length(prefix: bytes, size: int) -> int:
    """The header's length, from the first eight bytes of a file of `size` bytes.

    Raises:
        ConfigurationInvalid: no header can be that long.
    """
    length = int.from_bytes(prefix, "little")
    if len(prefix) < PREFIX:
        raise _bad(f"{WEIGHTS} is cut short: {size} bytes are not even a header.", _AGAIN)
    if length > MAX_HEADER or length < 2:
        raise _bad(
            f"{WEIGHTS} is not a safetensors file: it claims a header of {length:,} bytes.",
            "A Git LFS pointer, or a file of another format under this name? Fetch or save it again.",
        )
    if PREFIX + length > size:
        raise _bad(
            f"{WEIGHTS} is cut short: its header alone has {length:,} bytes and the file {size:,}.", _AGAIN
        )
    return length


_AGAIN = "Copy or save it again."


def _json(content: bytes) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise _bad(f"{CONFIG} is not JSON: {clean_line(error, 80)}.", "Save the adapter again.") from error


def _config(facts: Any) -> dict[str, Any]:
    if not isinstance(facts, dict):
        raise _bad(f"{CONFIG} is JSON, but not an object.", "Save the adapter again.")
    kind = facts.get("peft_type")
    if kind != "LORA":
        raise _bad(
            f"{CONFIG} says peft_type {clean_line(json.dumps(kind), 40)}: only LoRA adapters can be served.",
            "Train with LoraConfig, or merge it into its base and deploy the merged model.",
        )
    rank = facts.get("r")
    if isinstance(rank, bool) or not isinstance(rank, int) or rank < 1:
        shown = clean_line(json.dumps(rank), 40)
        raise _bad(f"{CONFIG} has no usable rank: r is {shown}.", "Save the adapter again.")
    return facts


def _header(content: bytes, size: int) -> dict[str, dict[str, Any]]:
    try:
        header = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise _bad(f"The header of {WEIGHTS} is not JSON.", _AGAIN) from error
    if not isinstance(header, dict):
        raise _bad(f"The header of {WEIGHTS} is not an object.", _AGAIN)
    tensors = {name: t for name, t in header.items() if name != "__metadata__"}
    if not tensors:
        raise _bad(f"{WEIGHTS} holds no tensors.", "Save the adapter again, after training.")
    end = 0
    for name, tensor in tensors.items():
        offsets = tensor.get("data_offsets") if isinstance(tensor, dict) else None
        if not (isinstance(offsets, list) and len(offsets) == 2 and all(_offset(o) for o in offsets)):
            raise _bad(f"The header of {WEIGHTS} says nothing usable of {clean_line(name, 60)}.", _AGAIN)
        end = max(end, offsets[1])
    if PREFIX + len(content) + end > size:
        # A number of thousands of digits is one that Python refuses to print.
        where = f"{PREFIX + len(content) + end:,}" if end < 2**63 else "an absurd number"
        raise _bad(
            f"{WEIGHTS} is cut short: its tensors end at byte {where} and the file at {size:,}.", _AGAIN
        )
    return tensors


def _offset(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _rank(facts: Mapping[str, Any], tensors: Mapping[str, dict[str, Any]]) -> int:
    """The configuration's rank, checked against the tensors unless single modules have their own."""
    rank = int(facts["r"])
    if facts.get("rank_pattern"):
        pattern = facts["rank_pattern"]
        if not isinstance(pattern, dict):
            raise _bad(f"{CONFIG} has a rank_pattern that is no table.", "Save the adapter again.")
        return max([rank, *(r for r in pattern.values() if isinstance(r, int))])
    for name, tensor in tensors.items():
        shape = tensor.get("shape")
        if not isinstance(shape, list) or len(shape) != 2:
            continue
        # A is rank × in, B is out × rank, of embeddings too.
        axis = {"lora_A": 0, "lora_B": 1, "lora_embedding_A": 0, "lora_embedding_B": 1}
        found = next((shape[index] for part, index in axis.items() if part in name), rank)
        if found != rank:
            raise _bad(
                f"{CONFIG} says r={rank}, but {clean_line(name, 80)} has rank {found}.",
                "The two files belong to different adapters: save them again, together.",
            )
    return rank


def _alpha(facts: Mapping[str, Any]) -> float | None:
    alpha = facts.get("lora_alpha")
    if isinstance(alpha, bool) or not isinstance(alpha, (int, float)) or abs(alpha) > 1e9:
        return None
    return float(alpha) if math.isfinite(alpha) else None


def _open(path: Path, limit: int) -> bytes:
    _check_file(path)
    with path.open("rb") as file:
        content = file.read(limit + 1)
    if len(content) > limit:
        raise _bad(f"{path.name} is larger than {limit // 1024} KiB.", "That is not what PEFT writes.")
    return content


def _check_file(path: Path) -> None:
    # Reading a pipe would wait for a writer that never comes.
    if not path.is_file():
        raise _bad(f"{path} cannot be read: it is not a file.", _AGAIN)


def _missing_config(directory: Path, names: set[str]) -> str:
    if checkpoints := sorted(name for name in names if name.startswith("checkpoint-")):
        return f"{directory} has no {CONFIG}; did you mean its {checkpoints[-1]}?"
    if "config.json" in names:
        return f"{directory} has no {CONFIG}: it looks like a whole model, not an adapter."
    return f"{directory} has no {CONFIG}."


def _missing_weights(names: set[str]) -> tuple[str, str]:
    if "adapter_model.bin" in names:
        return (
            f"The weights are in adapter_model.bin; the platforms take {WEIGHTS}.",
            "Save again with save_pretrained(…, safe_serialization=True).",
        )
    return f"{WEIGHTS} is missing.", "Save the adapter with PEFT's save_pretrained()."


def _bad(message: str, hint: str) -> ConfigurationInvalid:
    # Names and values out of foreign files stand in these sentences.
    return ConfigurationInvalid(clean_line(message, 400), hint=hint)
