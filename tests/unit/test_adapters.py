"""Adapters as they lie on a disk: whole ones, and every way of being broken."""

from __future__ import annotations

import json
import os
import struct
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file

from peft_tui.adapters import CONFIG, WEIGHTS, build, header_length, read_directory
from peft_tui.domain.adapter import AdapterSource, SourceKind
from peft_tui.domain.errors import ConfigurationInvalid
from peft_tui.text import clean_line

RANK = 4
FACTS: dict[str, Any] = {
    "peft_type": "LORA",
    "base_model_name_or_path": "acme/base",
    "r": RANK,
    "lora_alpha": 8,
    "target_modules": ["q_proj", "v_proj"],
}
SOURCE = AdapterSource(SourceKind.DIRECTORY, "/tmp/adapter")
HOSTILE = "\x1b]0;owned\x07\x9b31m\u202e"


def layers(rank: int = RANK, dtype: Any = np.float16) -> dict[str, np.ndarray]:
    prefix = "base_model.model.model.layers.0.self_attn.q_proj"
    return {
        f"{prefix}.lora_A.weight": np.zeros((rank, 6), dtype),
        f"{prefix}.lora_B.weight": np.zeros((6, rank), dtype),
    }


def write(directory: Path, tensors: Mapping[str, np.ndarray] | None = None, **facts: Any) -> Path:
    """A true adapter, with some of its facts changed; None leaves one out."""
    directory.mkdir(exist_ok=True)
    told = {key: value for key, value in {**FACTS, **facts}.items() if value is not None}
    (directory / CONFIG).write_text(json.dumps(told))
    save_file(dict(layers() if tensors is None else tensors), directory / WEIGHTS)
    return directory


def header(tensors: Any) -> bytes:
    """A safetensors file with this header and no data."""
    content = json.dumps(tensors).encode() if not isinstance(tensors, bytes) else tensors
    return struct.pack("<Q", len(content)) + content


def refusal(directory: Path | str) -> ConfigurationInvalid:
    with pytest.raises(ConfigurationInvalid) as caught:
        read_directory(str(directory))
    return caught.value


def is_clean(text: str) -> bool:
    return clean_line(text, 10_000) == text


class TestWhole:
    def test_its_facts_are_read_from_both_files(self, tmp_path: Path) -> None:
        adapter = read_directory(str(write(tmp_path)))
        assert (adapter.base_model, adapter.rank, adapter.alpha) == ("acme/base", RANK, 8.0)
        assert adapter.target_modules == ("q_proj", "v_proj")
        assert (adapter.dtype, adapter.tensors) == ("fp16", 2)

    def test_its_files_are_told_with_their_true_sizes(self, tmp_path: Path) -> None:
        adapter = read_directory(str(write(tmp_path)))
        assert adapter.files == tuple((n, (tmp_path / n).stat().st_size) for n in (CONFIG, WEIGHTS))
        assert adapter.size_bytes == (tmp_path / WEIGHTS).stat().st_size

    def test_a_relative_path_becomes_an_absolute_one(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write(tmp_path / "out")
        monkeypatch.chdir(tmp_path)
        assert read_directory("out").source.reference == str((tmp_path / "out").resolve())

    def test_a_tilde_means_home(self, isolated: Path) -> None:
        write(isolated / "out")
        assert read_directory("~/out").rank == RANK

    @pytest.mark.parametrize(
        ("facts", "attribute", "value"),
        [
            ({"use_dora": True}, "dora", True),
            ({"use_rslora": True}, "rslora", True),
            ({"revision": "abc"}, "revision", "abc"),
            ({"target_modules": "all-linear"}, "target_modules", ("all-linear",)),
            ({"target_modules": None}, "target_modules", ()),
            ({"base_model_name_or_path": None}, "base_model", ""),
            ({"lora_alpha": 0.5}, "alpha", 0.5),
            ({"lora_alpha": None}, "alpha", None),
            ({"lora_alpha": True}, "alpha", None),
            ({"lora_alpha": "8"}, "alpha", None),
            ({"lora_alpha": float("nan")}, "alpha", None),
            ({"lora_alpha": float("inf")}, "alpha", None),
        ],
    )
    def test_a_fact_is_told(self, tmp_path: Path, facts: dict[str, Any], attribute: str, value: Any) -> None:
        assert getattr(read_directory(str(write(tmp_path, **facts))), attribute) == value

    def test_mixed_data_types_are_all_named(self, tmp_path: Path) -> None:
        tensors = {**layers(), "extra": np.zeros(3, np.float32)}
        assert read_directory(str(write(tmp_path, tensors))).dtype == "fp16/fp32"

    def test_embeddings_are_measured_along_their_own_axis(self, tmp_path: Path) -> None:
        tensors = {
            "embed_tokens.lora_embedding_A": np.zeros((RANK, 9), np.float16),
            "embed_tokens.lora_embedding_B": np.zeros((6, RANK), np.float16),
        }
        assert read_directory(str(write(tmp_path, tensors))).rank == RANK

    def test_a_rank_pattern_allows_other_ranks_and_the_highest_counts(self, tmp_path: Path) -> None:
        assert read_directory(str(write(tmp_path, layers(32), rank_pattern={"q_proj": 32}))).rank == 32

    def test_metadata_in_the_header_is_no_tensor(self, tmp_path: Path) -> None:
        write(tmp_path)
        save_file(layers(), tmp_path / WEIGHTS, metadata={"format": "pt"})
        assert read_directory(str(tmp_path)).tensors == 2

    def test_the_weights_are_not_read(self, tmp_path: Path) -> None:
        """A hole in place of the data: a reader of all of it would need its size in memory."""
        (tmp_path / CONFIG).write_text(json.dumps(FACTS))
        size = 200_000_000_000
        tensor = {"dtype": "F16", "shape": [RANK, 1], "data_offsets": [0, size]}
        with (tmp_path / WEIGHTS).open("wb") as file:
            file.write(header({"lora_A": tensor}))
            file.truncate(file.tell() + size)
        assert read_directory(str(tmp_path)).size_bytes == (tmp_path / WEIGHTS).stat().st_size


def _no_config(path: Path) -> None:
    (path / CONFIG).unlink()


def _no_weights(path: Path) -> None:
    (path / WEIGHTS).unlink()


def _old_weights(path: Path) -> None:
    (path / WEIGHTS).rename(path / "adapter_model.bin")


def _whole_model(path: Path) -> None:
    (path / CONFIG).rename(path / "config.json")


def _checkpoints(path: Path) -> None:
    _no_config(path)
    for step in ("checkpoint-100", "checkpoint-500"):
        (path / step).mkdir()


def _config_is(content: bytes) -> Callable[[Path], None]:
    def spoil(path: Path) -> None:
        (path / CONFIG).write_bytes(content)

    return spoil


def _weights_are(content: bytes) -> Callable[[Path], None]:
    def spoil(path: Path) -> None:
        (path / WEIGHTS).write_bytes(content)

    return spoil


def _truncated(path: Path) -> None:
    content = (path / WEIGHTS).read_bytes()
    (path / WEIGHTS).write_bytes(content[:-1])


LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 84000000\n"
TENSOR = {"dtype": "F16", "shape": [RANK, 6], "data_offsets": [0, 0]}


class TestBroken:
    @pytest.mark.parametrize(
        ("spoil", "words"),
        [
            pytest.param(_no_config, f"has no {CONFIG}", id="no configuration"),
            pytest.param(_whole_model, "a whole model, not an adapter", id="whole model"),
            pytest.param(_checkpoints, "did you mean its checkpoint-500?", id="checkpoints"),
            pytest.param(_no_weights, f"{WEIGHTS} is missing", id="no weights"),
            pytest.param(_old_weights, "adapter_model.bin", id="weights in the old format"),
            pytest.param(_config_is(b"{"), "is not JSON", id="not JSON"),
            pytest.param(_config_is(b"\xff\xfe\xfa"), "is not JSON", id="not text"),
            pytest.param(_config_is(b""), "is not JSON", id="empty configuration"),
            pytest.param(_config_is(b"[" * 100_000), "is not JSON", id="JSON bomb"),
            pytest.param(_config_is(b"[]"), "not an object", id="a list"),
            pytest.param(_config_is(b" " * 1_100_000), "larger than", id="huge configuration"),
            pytest.param(_truncated, "cut short", id="cut by a byte"),
            pytest.param(_weights_are(b""), "cut short", id="empty weights"),
            pytest.param(_weights_are(b"1234567"), "cut short", id="not even a length"),
            pytest.param(
                _weights_are(struct.pack("<Q", 2**64 - 1) + b"{}"), "not a safetensors", id="2**64-1"
            ),
            pytest.param(_weights_are(struct.pack("<Q", 2**63) + b"{}"), "not a safetensors", id="2**63"),
            pytest.param(_weights_are(struct.pack("<Q", 0) + b"{}"), "not a safetensors", id="0"),
            pytest.param(_weights_are(struct.pack("<Q", 1000) + b"{}"), "cut short", id="beyond the file"),
            pytest.param(_weights_are(LFS), "not a safetensors", id="LFS pointer"),
            pytest.param(_weights_are(b"PK\x03\x04" + bytes(100)), "cut short", id="zip of torch"),
            pytest.param(_weights_are(header(b"no json")), "not JSON", id="header is not JSON"),
            pytest.param(_weights_are(header(b"[" * 100_000)), "not JSON", id="header is a bomb"),
            pytest.param(_weights_are(header([])), "not an object", id="header is a list"),
            pytest.param(_weights_are(header({})), "no tensors", id="no tensors"),
            pytest.param(_weights_are(header({"__metadata__": {}})), "no tensors", id="metadata only"),
            pytest.param(_weights_are(header({"a": 3})), "nothing usable", id="tensor is a number"),
            pytest.param(_weights_are(header({"a": {}})), "nothing usable", id="tensor is empty"),
            pytest.param(
                _weights_are(header({"a": {**TENSOR, "data_offsets": [0, 10]}})), "cut short", id="no data"
            ),
        ],
    )
    def test_it_is_refused_and_says_why(
        self, tmp_path: Path, spoil: Callable[[Path], None], words: str
    ) -> None:
        spoil(write(tmp_path))
        error = refusal(tmp_path)
        assert words in error.message
        assert error.hint

    @pytest.mark.parametrize("kind", ["IA3", "PREFIX_TUNING", "lora", None, 3, ["LORA"]])
    def test_what_is_not_lora_is_refused(self, tmp_path: Path, kind: Any) -> None:
        assert "only LoRA" in refusal(write(tmp_path, peft_type=kind)).message

    @pytest.mark.parametrize("rank", [0, -1, True, "16", 1.5, None, [16]])
    def test_a_rank_that_is_none_is_refused(self, tmp_path: Path, rank: Any) -> None:
        assert "no usable rank" in refusal(write(tmp_path, r=rank)).message

    @pytest.mark.parametrize("part", ["lora_A", "lora_B"])
    def test_a_rank_that_the_tensors_deny_is_refused(self, tmp_path: Path, part: str) -> None:
        tensors = {name: t for name, t in layers(RANK * 2).items() if part in name}
        message = refusal(write(tmp_path, tensors)).message
        assert f"says r={RANK}" in message and f"has rank {RANK * 2}" in message

    def test_a_git_lfs_pointer_is_named_in_the_hint(self, tmp_path: Path) -> None:
        write(tmp_path)
        (tmp_path / WEIGHTS).write_bytes(LFS)
        assert "Git LFS" in refusal(tmp_path).hint

    def test_a_path_that_is_not_there_is_refused(self, tmp_path: Path) -> None:
        assert "does not exist" in refusal(tmp_path / "nowhere").message

    def test_a_path_to_a_file_is_refused(self, tmp_path: Path) -> None:
        write(tmp_path)
        assert "not a directory" in refusal(tmp_path / CONFIG).message

    @pytest.mark.parametrize("name", ["x" * 5000, "nul\0byte"])
    def test_a_path_that_no_system_takes_is_refused(self, name: str) -> None:
        assert refusal(name).hint

    def test_the_home_of_nobody_is_refused(self) -> None:
        assert "does not exist" in refusal("~nobody-of-this-name/adapter").message

    def test_a_directory_that_may_not_be_read_is_refused(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def scandir(path: Path) -> Any:
            raise PermissionError(13, "Permission denied", str(path))

        write(tmp_path)
        monkeypatch.setattr(os, "scandir", scandir)
        error = refusal(tmp_path)
        assert "Permission denied" in error.message and "permissions" in error.hint

    @pytest.mark.parametrize("name", [CONFIG, WEIGHTS])
    def test_a_directory_in_place_of_a_file_is_refused(self, tmp_path: Path, name: str) -> None:
        write(tmp_path)
        (tmp_path / name).unlink()
        (tmp_path / name).mkdir()
        assert "cannot be read" in refusal(tmp_path).message

    @pytest.mark.parametrize("name", [CONFIG, WEIGHTS])
    def test_a_pipe_in_place_of_a_file_does_not_stop_the_reader(self, tmp_path: Path, name: str) -> None:
        write(tmp_path)
        (tmp_path / name).unlink()
        os.mkfifo(tmp_path / name)
        outcome: list[BaseException] = []

        def read() -> None:
            try:
                read_directory(str(tmp_path))
            except BaseException as error:
                outcome.append(error)

        reader = threading.Thread(target=read, daemon=True)
        reader.start()
        reader.join(0.5)
        stuck = reader.is_alive()
        if stuck:
            os.close(os.open(tmp_path / name, os.O_WRONLY))
            reader.join()
        assert not stuck and isinstance(outcome[0], ConfigurationInvalid)

    @pytest.mark.parametrize(
        "facts",
        [
            {"rank_pattern": "q_proj"},
            {"rank_pattern": [1, 2]},
            {"rank_pattern": 8},
            {"lora_alpha": 10**400},
        ],
        ids=["pattern is text", "pattern is a list", "pattern is a number", "alpha beyond floats"],
    )
    def test_a_fact_of_the_wrong_shape_is_refused_or_passed_over(
        self, tmp_path: Path, facts: dict[str, Any]
    ) -> None:
        try:
            read_directory(str(write(tmp_path, **facts)))
        except ConfigurationInvalid as error:
            assert error.hint

    def test_an_end_beyond_all_numbers_is_refused(self, tmp_path: Path) -> None:
        write(tmp_path)
        end = b"9" * 4300
        content = b'{"a": {"dtype": "F16", "shape": [1], "data_offsets": [0, ' + end + b"]}}"
        (tmp_path / WEIGHTS).write_bytes(struct.pack("<Q", len(content)) + content)
        assert "cut short" in refusal(tmp_path).message


class TestHostile:
    @pytest.mark.parametrize("key", ["base_model_name_or_path", "revision", "target_modules"])
    def test_its_words_come_out_clean(self, tmp_path: Path, key: str) -> None:
        adapter = read_directory(str(write(tmp_path, **{key: f"a{HOSTILE}b"})))
        told = f"{adapter.base_model} {adapter.revision} {adapter.target_modules}"
        assert is_clean(adapter.summary) and "\x1b" not in told and "\u202e" not in told

    @pytest.mark.parametrize(
        "facts",
        [{"peft_type": HOSTILE}, {"r": HOSTILE}, {"r": [HOSTILE]}],
        ids=["type", "rank", "rank in a list"],
    )
    def test_a_refusal_of_its_configuration_is_clean(self, tmp_path: Path, facts: dict[str, Any]) -> None:
        assert is_clean(refusal(write(tmp_path, **facts)).message)

    @pytest.mark.parametrize(
        "tensors",
        [
            {HOSTILE: {}},
            {f"lora_A{HOSTILE}": {**TENSOR, "shape": [9, 9]}},
            {"lora_A": {**TENSOR, "shape": [HOSTILE, 9]}},
        ],
        ids=["name of a tensor", "name of a tensor of another rank", "rank in a shape"],
    )
    def test_a_refusal_of_its_weights_is_clean(self, tmp_path: Path, tensors: Any) -> None:
        write(tmp_path)
        (tmp_path / WEIGHTS).write_bytes(header(tensors))
        assert is_clean(refusal(tmp_path).message)

    @pytest.mark.parametrize("name", [f"checkpoint-{HOSTILE}", "checkpoint-1\n\x1b[2J"])
    def test_the_name_of_a_checkpoint_is_told_clean(self, tmp_path: Path, name: str) -> None:
        # Out of a foreign archive.
        (tmp_path / name).mkdir()
        assert is_clean(refusal(tmp_path).message)

    def test_the_path_is_told_clean(self, tmp_path: Path) -> None:
        # The directory picker offers such names too.
        (tmp_path / "\x1b[2Jout").mkdir()
        assert is_clean(refusal(tmp_path / "\x1b[2Jout").message)

    def test_its_data_types_come_out_clean(self, tmp_path: Path) -> None:
        write(tmp_path)
        (tmp_path / WEIGHTS).write_bytes(header({"lora_A": {**TENSOR, "dtype": HOSTILE}}))
        assert is_clean(read_directory(str(tmp_path)).dtype)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
KEYS = st.sampled_from([*FACTS, "rank_pattern", "use_dora", "use_rslora", "revision"])
NAMES = st.sampled_from(["lora_A", "x.lora_B.weight", "lora_embedding_A", "__metadata__", "bias"])
TENSORS = st.dictionaries(st.sampled_from(["dtype", "shape", "data_offsets"]), JSON, max_size=3)


class TestFuzz:
    """Whatever lies there, the only thing that comes out is an adapter or `ConfigurationInvalid`."""

    @given(changes=st.dictionaries(KEYS, JSON, max_size=4))
    def test_no_configuration_gets_anything_else_out(self, changes: dict[str, Any]) -> None:
        try:
            build(SOURCE, {**FACTS, **changes}, {"x.lora_A": {"shape": [RANK, 2], "dtype": "F16"}}, 1, ())
        except ConfigurationInvalid as error:
            assert is_clean(error.message)

    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(content=st.binary(max_size=300))
    def test_no_bytes_of_a_configuration_do(self, tmp_path: Path, content: bytes) -> None:
        write(tmp_path)
        (tmp_path / CONFIG).write_bytes(content)
        refusal(tmp_path)

    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(content=st.binary(max_size=300), length=st.none() | st.integers(0, 2**64 - 1) | st.integers(0, 40))
    def test_no_bytes_of_a_header_do(self, tmp_path: Path, content: bytes, length: int | None) -> None:
        write(tmp_path)
        size = len(content) if length is None else length
        (tmp_path / WEIGHTS).write_bytes(struct.pack("<Q", size) + content)
        refusal(tmp_path)

    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(tensors=st.dictionaries(NAMES | st.text(max_size=10), TENSORS | JSON, max_size=3))
    def test_no_header_of_any_shape_does(self, tmp_path: Path, tensors: Any) -> None:
        write(tmp_path)
        (tmp_path / WEIGHTS).write_bytes(header(tensors))
        try:
            read_directory(str(tmp_path))
        except ConfigurationInvalid as error:
            assert is_clean(error.message)

    @given(prefix=st.binary(max_size=10), size=st.integers(0, 2**70))
    def test_no_length_reaches_beyond_its_file(self, prefix: bytes, size: int) -> None:
        try:
            length = header_length(prefix, size)
        except ConfigurationInvalid:
            return
        assert 2 <= length <= size - 8 and length <= 100_000_000
