"""Adapter files: writing small true ones, and reading just enough of uploaded ones to judge them."""

from __future__ import annotations

import hashlib
import json
import struct
from dataclasses import dataclass, field
from typing import Any

HEAD_LIMIT = 4 * 1024 * 1024
_DTYPE_BYTES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I8": 1, "U8": 1, "F8_E4M3": 1}
_MODULES = {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}


def safetensors_bytes(
    shapes: dict[str, tuple[int, ...]], dtype: str = "F16", metadata: dict[str, str] | None = None
) -> bytes:
    """A valid safetensors file: 8 bytes little-endian header length, JSON header, data.

    The values are small and differ per tensor, so that two adapters have two hashes.
    """
    header: dict[str, Any] = {"__metadata__": metadata or {"format": "pt"}}
    offset = 0
    data = bytearray()
    for name, shape in shapes.items():
        size = _DTYPE_BYTES[dtype]
        for length in shape:
            size *= length
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [offset, offset + size]}
        block = hashlib.sha256(name.encode()).digest()
        data += (block * (size // len(block) + 1))[:size]
        offset += size
    encoded = json.dumps(header, separators=(",", ":")).encode()
    encoded += b" " * (-len(encoded) % 8)
    return struct.pack("<Q", len(encoded)) + encoded + bytes(data)


def lora_files(
    base: str,
    *,
    rank: int,
    hidden: int = 64,
    layers: int = 2,
    modules: tuple[str, ...] = ("q_proj", "v_proj"),
    **config: Any,
) -> dict[str, bytes]:
    """The two files of a PEFT LoRA adapter, with a narrow hidden size so they stay small."""
    shapes: dict[str, tuple[int, ...]] = {}
    for layer in range(layers):
        for module in modules:
            stem = f"base_model.model.model.layers.{layer}.self_attn.{module}"
            shapes[f"{stem}.lora_A.weight"] = (rank, hidden)
            shapes[f"{stem}.lora_B.weight"] = (hidden, rank)
    adapter_config = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base,
        "r": rank,
        "lora_alpha": 2 * rank,
        "lora_dropout": 0.05,
        "bias": "none",
        "target_modules": list(modules),
        "inference_mode": True,
        "use_dora": False,
        "use_rslora": False,
        "modules_to_save": None,
        "rank_pattern": {},
        "alpha_pattern": {},
        "fan_in_fan_out": False,
        **config,
    }
    return {
        "adapter_config.json": json.dumps(adapter_config, indent=2).encode(),
        "adapter_model.safetensors": safetensors_bytes(shapes),
    }


def merged_files(architecture: str, base: str, *, hidden: int = 64, layers: int = 2) -> dict[str, bytes]:
    """A merged checkpoint: `config.json` and weights, no adapter configuration."""
    shapes: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (256, hidden)}
    for layer in range(layers):
        for module in ("q_proj", "k_proj", "v_proj", "o_proj"):
            shapes[f"model.layers.{layer}.self_attn.{module}.weight"] = (hidden, hidden)
    config = {
        "architectures": [architecture],
        "_name_or_path": base,
        "hidden_size": hidden,
        "num_hidden_layers": layers,
        "vocab_size": 256,
        "torch_dtype": "float16",
    }
    return {
        "config.json": json.dumps(config, indent=2).encode(),
        "model.safetensors": safetensors_bytes(shapes),
        "tokenizer_config.json": b'{"model_max_length": 8192}',
    }


@dataclass
class FileFacts:
    """What is kept of an uploaded file; its bytes are not.

    Attributes:
        path: Inside the model.
        size: Bytes.
        hash: S3-style md5, or md5-of-md5s with a part count.
        document: The parsed JSON of a small `.json` file.
        shapes: Tensor name to shape, of a safetensors file.
        declared_size: Bytes that the safetensors header speaks of.
        parameters: Elements in all tensors, by dtype.
        problem: Why the file could not be understood.
    """

    path: str
    size: int
    hash: str
    document: dict[str, Any] | None = None
    shapes: dict[str, list[int]] = field(default_factory=dict)
    declared_size: int | None = None
    parameters: dict[str, int] = field(default_factory=dict)
    problem: str | None = None


def head_needed(path: str) -> int:
    """How many leading bytes of a file `read_facts` wants."""
    return HEAD_LIMIT if path.endswith((".json", ".safetensors")) else 0


def read_facts(path: str, head: bytes, size: int, hash: str) -> FileFacts:
    """Judge a file by its first bytes.

    Args:
        path: Name inside the model.
        head: The first `head_needed(path)` bytes, or all of them.
        size: Full size in bytes.
        hash: Content hash, passed through.
    """
    facts = FileFacts(path=path, size=size, hash=hash)
    if path.endswith(".json"):
        try:
            document = json.loads(head)
            if not isinstance(document, dict):
                raise ValueError("the document is not an object")
            facts.document = document
        except ValueError as error:
            facts.problem = f"{path} is not valid JSON: {error}"
    elif path.endswith(".safetensors"):
        try:
            _read_header(facts, head)
        except (ValueError, KeyError, TypeError, struct.error) as error:
            facts.problem = f"{path} has no readable safetensors header: {error}"
    return facts


def _read_header(facts: FileFacts, head: bytes) -> None:
    if len(head) < 8:
        raise ValueError("the file is shorter than 8 bytes")
    (length,) = struct.unpack("<Q", head[:8])
    if length > HEAD_LIMIT - 8 or length > facts.size - 8:
        raise ValueError(f"the header claims {length} bytes")
    header = json.loads(head[8 : 8 + length])
    end = 0
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        shape = [int(n) for n in entry["shape"]]
        facts.shapes[name] = shape
        end = max(end, int(entry["data_offsets"][1]))
        count = 1
        for n in shape:
            count *= n
        facts.parameters[entry["dtype"]] = facts.parameters.get(entry["dtype"], 0) + count
    facts.declared_size = 8 + length + end


@dataclass(frozen=True)
class Defect:
    """A reason why weights cannot be served, as platforms report it."""

    rule: str
    message: str
    severity: str = "ERROR"


def judge_adapter(files: list[FileFacts], base: str, *, max_rank: int = 64) -> list[Defect]:
    """What is wrong with an uploaded adapter for this base; empty if it can be served."""
    by_name = {f.path: f for f in files}
    defects = [Defect("readable_files", f.problem) for f in files if f.problem]
    config_file = by_name.get("adapter_config.json")
    if config_file is None:
        where = next((f.path for f in files if f.path.endswith("/adapter_config.json")), None)
        hint = f" (found {where}; files must be at the root)" if where else ""
        return [*defects, Defect("adapter_config_present", f"adapter_config.json is missing{hint}")]
    weights = by_name.get("adapter_model.safetensors")
    if weights is None:
        pickled = " (adapter_model.bin is not accepted)" if "adapter_model.bin" in by_name else ""
        defects.append(Defect("adapter_weights_present", f"adapter_model.safetensors is missing{pickled}"))
    elif not weights.problem:
        defects += _judge_size(weights)
    if config_file.document is not None:
        defects += _judge_config(config_file.document, weights, base, max_rank)
    return defects


def judge_checkpoint(files: list[FileFacts]) -> list[Defect]:
    """What is wrong with an uploaded full model; empty if it can be served."""
    defects = [Defect("readable_files", f.problem) for f in files if f.problem]
    if not any(f.path == "config.json" for f in files):
        defects.append(Defect("config_present", "config.json is missing"))
    tensors = [f for f in files if f.path.endswith(".safetensors")]
    if not tensors:
        defects.append(Defect("weights_present", "no .safetensors weights found"))
    for file in tensors:
        if not file.problem:
            defects += _judge_size(file)
    return defects


def _judge_size(file: FileFacts) -> list[Defect]:
    if file.declared_size is not None and file.declared_size > file.size:
        return [
            Defect(
                "weights_complete",
                f"{file.path} is truncated: the header speaks of {file.declared_size} bytes, "
                f"the file has {file.size}",
            )
        ]
    return []


def _judge_config(
    config: dict[str, Any], weights: FileFacts | None, base: str, max_rank: int
) -> list[Defect]:
    defects: list[Defect] = []
    if str(config.get("peft_type", "")).upper() != "LORA":
        defects.append(
            Defect("peft_type", f"peft_type {config.get('peft_type')!r} is not supported, only LORA")
        )
    named = config.get("base_model_name_or_path")
    if isinstance(named, str) and named and named.lower() != base.lower():
        defects.append(
            Defect("base_model_match", f"the adapter was trained on {named}, but the model's base is {base}")
        )
    if config.get("use_dora"):
        defects.append(Defect("dora", "DoRA adapters (use_dora) are not supported"))
    patterns = config.get("rank_pattern") or {}
    ranks = [config.get("r"), *(patterns.values() if isinstance(patterns, dict) else [])]
    numbers = [r for r in ranks if isinstance(r, int) and not isinstance(r, bool)]
    if not isinstance(config.get("r"), int) or config["r"] < 1:
        defects.append(Defect("rank_present", "r is missing or not a positive integer"))
    elif max(numbers) > max_rank:
        defects.append(
            Defect("max_rank", f"rank {max(numbers)} is above the maximum of {max_rank} for this base")
        )
    modules = config.get("target_modules")
    if isinstance(modules, list) and (strange := sorted(set(map(str, modules)) - _MODULES)):
        defects.append(Defect("target_modules", f"target_modules {', '.join(strange)} cannot be served"))
    if config.get("modules_to_save"):
        defects.append(Defect("modules_to_save", "modules_to_save is not supported"))
    if weights is not None and not weights.problem and not patterns and numbers:
        found = {s[0] for n, s in weights.shapes.items() if "lora_A" in n and s}
        if found and found != {numbers[0]}:
            seen = ", ".join(map(str, sorted(found)))
            defects.append(
                Defect("rank_match", f"adapter_config.json says r={numbers[0]}, the weights have {seen}")
            )
    return defects
