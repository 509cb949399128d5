"""What a container's command does: vLLM's flags, and why it may not come up.

Nothing is run. The command, the files of the mounted volumes and the GPU decide together whether vLLM
would start, with which models, and what it would print before it gives up.
"""

from __future__ import annotations

import base64
import json
import re
import shlex
from dataclasses import dataclass, field
from typing import Any

from peft_tui.sandbox.hubrepos import GATED, HF_TOKEN, repos
from peft_tui.sandbox.modal.catalog import GPUS
from peft_tui.sandbox.modal.state import Definition, Gpu, Image, ModalState, StoredFile

# What is served where no vLLM command can be read, as inside a pickled Python function.
DEFAULT_BASE = "meta-llama/Llama-3.1-8B-Instruct"
DEFAULT_RANK = 16
DEFAULT_PORT = 8000
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*[bB]\b")
_MOE = re.compile(r"(\d+)x(\d+(?:\.\d+)?)[bB]\b")
_VALUES = {
    "--model", "--served-model-name", "--max-lora-rank", "--max-loras", "--max-model-len",
    "--tensor-parallel-size", "-tp", "--port", "--host", "--api-key", "--quantization", "-q",
}  # fmt: skip


@dataclass
class Engine:
    """A vLLM server as its command describes it.

    Attributes:
        known: Whether a vLLM command was read at all.
        loras: Name to path, in order.
    """

    known: bool
    base: str = DEFAULT_BASE
    names: list[str] = field(default_factory=list)
    loras: dict[str, str] = field(default_factory=dict)
    lora_enabled: bool = False
    max_rank: int = DEFAULT_RANK
    max_model_len: int = 8192
    tensor_parallel: int = 1
    port: int = DEFAULT_PORT
    api_key: str = ""
    bytes_per_parameter: float = 2.0
    problem: str = ""

    @property
    def billions(self) -> float:
        """Parameters of the base, read off its name; 8 where it does not say."""
        if found := _MOE.search(self.base):
            return int(found[1]) * float(found[2])
        found = _SIZE.search(self.base)
        return float(found[1]) if found else 8.0


def chain(state: ModalState, image_id: str) -> list[Image]:
    """An image's layers, the lowest first."""
    layers: list[Image] = []
    pending = [image_id]
    while pending:
        image = state.images.get(pending.pop())
        if image is not None and image not in layers:
            layers.insert(0, image)
            pending += image.bases
    return layers


def _list(text: str) -> list[str]:
    try:
        value = json.loads(text)
    except ValueError:
        return ["sh", "-c", text]
    return [str(v) for v in value] if isinstance(value, list) else []


def environment(state: ModalState, definition: Definition) -> dict[str, str]:
    """Variables inside the container: the image's, then those of the secrets."""
    values: dict[str, str] = {}
    for layer in chain(state, definition.image_id):
        for line in layer.commands:
            word, _, rest = line.strip().partition(" ")
            if word.upper() == "ENV":
                if re.match(r"\S+=", rest):
                    for pair in shlex.split(rest):
                        key, _, value = pair.partition("=")
                        values[key] = value
                else:
                    key, _, value = rest.partition(" ")
                    values[key] = value
    for id in definition.secret_ids:
        secret = state.secrets.get(id)
        if secret is not None:
            values |= secret.values
    return values


def command(state: ModalState, definition: Definition) -> list[str]:
    """Words of what the image starts: its entry point, then its command."""
    entry: list[str] = []
    cmd: list[str] = []
    for layer in chain(state, definition.image_id):
        for line in layer.commands:
            word, _, rest = line.strip().partition(" ")
            match word.upper():
                case "FROM" if re.search(r"(^|/)vllm/vllm-openai\b", rest):
                    entry, cmd = ["vllm", "serve"], []
                case "ENTRYPOINT":
                    # A new entry point forgets the command of the layers below.
                    entry, cmd = _list(rest), []
                case "CMD":
                    cmd = _list(rest)
    words = entry + cmd
    if len(words) >= 3 and words[-2] in ("-c", "-lc"):
        words = shlex.split(words[-1])
    return words


def engine_of(state: ModalState, definition: Definition) -> Engine:
    """The vLLM server of a definition; `problem` is set if its flags make no sense."""
    words = command(state, definition) if definition.runs_image else []
    starts = [i for i, w in enumerate(words) if w.endswith("vllm") or w.startswith("vllm.entrypoints")]
    if not starts:
        return Engine(known=False, lora_enabled=True, port=definition.port)
    rest = words[starts[-1] + 1 :]
    if rest[:1] == ["serve"]:
        rest = rest[1:]
    try:
        return _read_flags(rest)
    except (ValueError, IndexError) as error:
        return Engine(known=True, problem=f"api_server.py: error: {error}")


def _read_flags(words: list[str]) -> Engine:
    engine = Engine(known=True)
    plain: list[str] = []
    i = 0

    def many() -> list[str]:
        nonlocal i
        taken: list[str] = []
        while i < len(words) and not words[i].startswith("-"):
            taken.append(words[i])
            i += 1
        return taken

    while i < len(words):
        word, given, inline = words[i].partition("=")
        i += 1
        if not word.startswith("-"):
            plain.append(words[i - 1])
            continue
        word = word.replace("_", "-")
        if word == "--enable-lora":
            engine.lora_enabled = True
        elif word == "--lora-modules":
            for item in [inline] if given else many():
                name, path = _module(item)
                engine.loras[name] = path
        elif word == "--served-model-name":
            engine.names = [inline] if given else many()
        elif word in _VALUES:
            if not given:
                inline = words[i]
                i += 1
            _set(engine, word, inline)
        elif not given and i < len(words) and not words[i].startswith("-"):
            # A flag that says nothing about what is served; its value belongs to it.
            i += 1
    if plain:
        engine.base = plain[0]
    engine.names = engine.names or [engine.base]
    return engine


def _set(engine: Engine, flag: str, value: str) -> None:
    match flag:
        case "--model":
            engine.base = value
        case "--max-lora-rank":
            engine.max_rank = int(value)
        case "--max-model-len":
            engine.max_model_len = int(value.lower().removesuffix("k")) * (1024 if value[-1:] in "kK" else 1)
        case "--tensor-parallel-size" | "-tp":
            engine.tensor_parallel = int(value)
        case "--port":
            engine.port = int(value)
        case "--api-key":
            engine.api_key = value
        case "--quantization" | "-q":
            engine.bytes_per_parameter = 1.0 if value == "fp8" else 0.6


def _module(item: str) -> tuple[str, str]:
    """`name=path`, or JSON with `name` and `path`."""
    if item.startswith("{"):
        data = json.loads(item)
        return str(data["name"]), str(data["path"])
    name, equals, path = item.partition("=")
    if not equals or not name or not path:
        raise ValueError(f"argument --lora-modules: invalid value: {item!r}")
    return name, path


def locate(state: ModalState, definition: Definition, path: str) -> tuple[dict[str, StoredFile], str] | None:
    """Files of the volume that is mounted above a path, and the path inside it; None outside of all."""
    path = "/" + path.strip("/")
    best: tuple[dict[str, StoredFile], str] | None = None
    longest = -1
    for mount in definition.mounts:
        root = "/" + mount.path.strip("/")
        volume = state.volumes.get(mount.volume_id)
        if volume is not None and (path + "/").startswith(root.rstrip("/") + "/") and len(root) > longest:
            inner = f"{mount.sub_path.strip('/')}/{path[len(root) :].strip('/')}".strip("/")
            best, longest = (volume.files, inner), len(root)
    return best


def _content(state: ModalState, file: StoredFile | None) -> bytes | None:
    if file is None or len(file.pieces) != 1 or file.pieces[0] not in state.small:
        return None
    return base64.b64decode(state.small[file.pieces[0]])


def lora_problem(state: ModalState, definition: Definition, engine: Engine, name: str, path: str) -> str:
    """Why vLLM cannot load an adapter, in its words; "" if it can."""
    if not engine.lora_enabled:
        return "LoRA is not enabled. Use --enable-lora to enable LoRA."
    if not path.startswith("/"):
        return _hub_problem(environment(state, definition), engine, name, path)
    place = locate(state, definition, path)
    if place is None:
        return f"Loading lora {name} failed: No adapter found for {path}"
    files, inner = place
    inside = {p[len(inner) + 1 :] if inner else p for p in files if not inner or p.startswith(inner + "/")}
    if "adapter_config.json" not in inside:
        return f"Loading lora {name} failed: No adapter found for {path}"
    if not inside & {"adapter_model.safetensors", "adapter_model.bin"}:
        return f"Loading lora {name} failed: {path} doesn't contain tensors"
    return _config_problem(engine, name, _content(state, files[f"{inner}/adapter_config.json".strip("/")]))


def _hub_problem(values: dict[str, str], engine: Engine, name: str, repo: str) -> str:
    """The same for a repository of the hub: its newest revision, or nothing."""
    found = repos().get(repo)
    if found is None or "adapter_config.json" not in found.files:
        return f"Loading lora {name} failed: No adapter found for {repo}"
    if (found.private or found.gated) and not values.get("HF_TOKEN"):
        return f"Loading lora {name} failed: 401 Client Error: cannot access {repo}"
    return _config_problem(engine, name, found.files["adapter_config.json"])


def _config_problem(engine: Engine, name: str, raw: bytes | None) -> str:
    try:
        config: Any = json.loads(raw) if raw is not None else {}
    except ValueError as error:
        return f"Loading lora {name} failed: {error}"
    rank = config.get("r") if isinstance(config, dict) else None
    if isinstance(rank, int) and rank > engine.max_rank:
        return f"LoRA rank {rank} is greater than max_lora_rank {engine.max_rank}."
    if isinstance(config, dict) and config.get("use_dora"):
        return "vLLM does not yet support DoRA."
    return ""


def found_adapters(state: ModalState, definition: Definition) -> dict[str, str]:
    """Every adapter directory of the mounted volumes, by the directory's name."""
    found: dict[str, str] = {}
    for mount in definition.mounts:
        volume = state.volumes.get(mount.volume_id)
        for path in sorted(volume.files) if volume is not None else ():
            directory, _, name = path.rpartition("/")
            if name == "adapter_config.json" and directory:
                found[directory.rpartition("/")[2]] = f"{mount.path.rstrip('/')}/{directory}"
    return found


@dataclass(frozen=True)
class Outcome:
    """What becomes of a container that starts.

    Attributes:
        adapters: Those that are served once it is healthy.
        lines: What it prints on the way.
        death: Last words of a start that fails, or "".
        silent: It runs, but never answers at the port that is asked.
    """

    adapters: dict[str, str]
    lines: tuple[str, ...]
    death: str = ""
    silent: bool = False


def start(state: ModalState, definition: Definition, gpu: Gpu) -> Outcome:
    """Play the start of a container."""
    engine = engine_of(state, definition)
    if not engine.known:
        return Outcome(found_adapters(state, definition), ("Starting the program of the function",))
    lines = [
        f"INFO [api_server.py] vLLM API server, model {engine.base}",
        f"INFO [weight_utils.py] Downloading weights of {engine.base}",
    ]
    if engine.problem:
        return Outcome({}, (), engine.problem)
    death = _base_problem(state, definition, engine, gpu)
    if not death:
        for name, path in engine.loras.items():
            if death := lora_problem(state, definition, engine, name, path):
                death = f"ValueError: {death}"
                break
            lines.append(f"INFO [serving_models.py] Loaded new LoRA adapter: name '{name}', path '{path}'")
    if death:
        return Outcome({}, tuple(lines), death)
    if engine.port != definition.port:
        lines.append(f"INFO [launcher.py] Listening on port {engine.port}")
        return Outcome({}, tuple(lines), silent=True)
    return Outcome(dict(engine.loras), (*lines, "INFO:     Application startup complete."))


def _base_problem(state: ModalState, definition: Definition, engine: Engine, gpu: Gpu) -> str:
    values = environment(state, definition)
    token = values.get("HF_TOKEN") or values.get("HUGGING_FACE_HUB_TOKEN")
    if engine.base.startswith(GATED) and not token:
        return (
            f"OSError: You are trying to access a gated repo. 401 Client Error: cannot access gated repo "
            f"https://huggingface.co/{engine.base}; access is restricted, please log in."
        )
    if engine.base.startswith(GATED) and not (token or "").startswith(HF_TOKEN[:3]):
        return f"OSError: 401 Client Error: invalid credentials for https://huggingface.co/{engine.base}"
    if not gpu.type:
        return "RuntimeError: Failed to infer device type: no GPU is visible"
    if engine.tensor_parallel > gpu.count:
        return (
            f"ValueError: tensor parallel size {engine.tensor_parallel} is greater than the number of "
            f"visible GPUs ({gpu.count})"
        )
    memory = GPUS[gpu.type].memory * engine.tensor_parallel
    if engine.billions * engine.bytes_per_parameter > memory * 0.9:
        return (
            f"torch.OutOfMemoryError: CUDA out of memory: {engine.base} needs about "
            f"{engine.billions * engine.bytes_per_parameter:.0f} GiB, the GPU has {memory} GiB."
        )
    return ""
