"""RPCs about images: found in the cache, or built while their log streams."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import Message
from grpclib.const import Status
from modal_proto import api_pb2 as pb

from peft_tui.sandbox.modal.calls import Call, entry_number, refuse, rpc, streamed
from peft_tui.sandbox.modal.state import Image

_VLLM_TAG = re.compile(r"latest|nightly|v\d+\.\d+\.\d+([-.]?\w+)*")
_METADATA = pb.ImageMetadata(image_builder_version="2025.06", python_version_info="3.12.10")


def _failure(commands: list[str]) -> str:
    """What a builder would stumble over."""
    for line in commands:
        word, _, rest = line.strip().partition(" ")
        found = re.fullmatch(r"(?:\S*/)?vllm/vllm-openai(?::(\S+))?", rest)
        if word.upper() == "FROM" and found and not _VLLM_TAG.fullmatch(found[1] or "latest"):
            return f"manifest for {rest} not found: manifest unknown: manifest unknown"
    return ""


def _lines(commands: list[str], failure: str) -> list[str]:
    lines = ["Building image"]
    for number, line in enumerate(commands, 1):
        lines.append(f"=> Step {number}: {line[:200]}")
        if line.upper().startswith("FROM ") and line[5:].strip() != "base":
            lines.append("Getting image source signatures")
            if failure:
                lines.append(f"Error: {failure}")
                return lines
            lines.append("Copying blob sha256:7b1f3e")
    if failure:
        lines.append(f"Error: {failure}")
        return lines
    lines += ["Creating image...", "Finished image build."]
    return lines


@rpc("ImageGetOrCreate")
def get_or_create(call: Call, request: pb.ImageGetOrCreateRequest) -> Message:
    if request.existing_image_id:
        image = _image(call, request.existing_image_id)
        return _found(image)
    commands = list(request.image.dockerfile_commands)
    bases = [b.image_id for b in request.image.base_images if b.image_id]
    if not commands:
        raise refuse(Status.INVALID_ARGUMENT, "The image has no commands")
    for image in call.state.images.values():
        same = image.commands == commands and image.bases == bases and image.workspace == call.workspace
        # A build that failed is tried again; one that runs is joined.
        if same and not (image.done and image.failure) and not request.force_build:
            return _found(image)
    call.may_spend()
    knobs = call.state.knobs
    failure = _failure(commands)
    if not failure and knobs.fail_builds > 0:
        knobs.fail_builds -= 1
        failure = 'process "/bin/sh -c pip install" did not complete successfully: exit code: 1'
    image = Image(
        call.new_id("im"),
        call.workspace,
        commands,
        bases,
        call.now,
        call.now + knobs.build_seconds,
        _lines(commands, failure),
        failure,
    )
    call.state.images[image.id] = image
    return _found(image)


def _found(image: Image) -> Message:
    answer = pb.ImageGetOrCreateResponse(image_id=image.id)
    if image.done:
        answer.result.CopyFrom(_result(image))
        answer.metadata.CopyFrom(_METADATA)
    return answer


def _result(image: Image) -> pb.GenericResult:
    # A failed build has no exception text; its log tells.
    good, bad = pb.GenericResult.GENERIC_STATUS_SUCCESS, pb.GenericResult.GENERIC_STATUS_FAILURE
    return pb.GenericResult(status=bad if image.failure else good)


def _image(call: Call, id: str) -> Image:
    image = call.state.images.get(id)
    if image is None or image.workspace != call.workspace:
        raise refuse(Status.NOT_FOUND, f"Image {id} not found")
    return image


@streamed("ImageJoinStreaming")
async def join(call: Call, request: pb.ImageJoinStreamingRequest) -> AsyncIterator[Message]:
    """The build's lines as they are printed, then its result. A frozen clock holds nothing back."""
    image = _image(call, request.image_id)
    seen = entry_number(request.last_entry_id)
    pause = (image.built_at - image.created_at) / len(image.lines)
    if not image.done or request.include_logs_for_finished:
        for number, line in enumerate(image.lines[seen:], seen + 1):
            at = image.created_at + number * pause
            await call.world.clock.pace(at)
            log = pb.TaskLogs(data=line + "\n", timestamp=at, file_descriptor=pb.FILE_DESCRIPTOR_STDOUT)
            yield pb.ImageJoinStreamingResponse(task_logs=[log], entry_id=f"0-{number}")
    image.done = True
    yield pb.ImageJoinStreamingResponse(result=_result(image), metadata=_METADATA, eof=True)


@rpc("ImageFromId")
def from_id(call: Call, request: pb.ImageFromIdRequest) -> Message:
    image = _image(call, request.image_id)
    return pb.ImageFromIdResponse(image_id=image.id, metadata=_METADATA)


@rpc("ImageGetByTag")
def by_tag(call: Call, request: pb.ImageGetByTagRequest) -> Message:
    raise refuse(Status.NOT_FOUND, f"Image '{request.tag}' not found")


@rpc("ImageDelete")
def delete(call: Call, request: pb.ImageDeleteRequest) -> Message:
    del call.state.images[_image(call, request.image_id).id]
    return Empty()
