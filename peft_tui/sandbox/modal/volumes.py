"""RPCs about volumes of both versions; what lies on them is in `files.py`."""

from __future__ import annotations

from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import Message
from grpclib.const import Status
from modal_proto import api_pb2 as pb

from peft_tui.sandbox.modal.account import creation
from peft_tui.sandbox.modal.calls import Call, refuse, rpc
from peft_tui.sandbox.modal.state import ENVIRONMENT, Volume


def volume_of(call: Call, id: str) -> Volume:
    volume = call.state.volumes.get(id)
    if volume is None or volume.deleted or volume.workspace != call.workspace:
        raise refuse(Status.NOT_FOUND, f"Volume {id} not found")
    return volume


def named(call: Call, name: str) -> Volume | None:
    return next(
        (
            v
            for v in call.state.volumes.values()
            if v.name == name and v.workspace == call.workspace and not v.deleted
        ),
        None,
    )


def _metadata(volume: Volume) -> pb.VolumeMetadata:
    return pb.VolumeMetadata(
        version=volume.version,  # type: ignore[arg-type]
        name=volume.name,
        creation_info=creation(volume.created_at, volume.workspace),
    )


@rpc("VolumeGetOrCreate")
def get_or_create(call: Call, request: pb.VolumeGetOrCreateRequest) -> Message:
    call.environment(request.environment_name)
    name, how = request.deployment_name, request.object_creation_type
    found = named(call, name) if name else None
    if how == pb.OBJECT_CREATION_TYPE_UNSPECIFIED and found is None:
        raise refuse(Status.NOT_FOUND, f"Volume '{name}' not found in environment '{ENVIRONMENT}'")
    if how == pb.OBJECT_CREATION_TYPE_CREATE_FAIL_IF_EXISTS and found is not None:
        raise refuse(Status.ALREADY_EXISTS, f"Volume '{name}' already exists")
    if found is not None and request.version and request.version != found.version:
        raise refuse(
            Status.FAILED_PRECONDITION, f"Volume '{name}' has version {found.version}, not {request.version}"
        )
    if found is None:
        call.may_change()
        version = request.version or call.state.knobs.volume_version
        found = Volume(call.new_id("vo"), call.workspace, name, version, call.now)
        call.state.volumes[found.id] = found
    return pb.VolumeGetOrCreateResponse(
        volume_id=found.id,
        version=found.version,  # type: ignore[arg-type]
        metadata=_metadata(found),
    )


@rpc("VolumeGetById")
def get_by_id(call: Call, request: pb.VolumeGetByIdRequest) -> Message:
    volume = volume_of(call, request.volume_id)
    return pb.VolumeGetByIdResponse(volume_id=volume.id, metadata=_metadata(volume))


@rpc("VolumeList")
def list_volumes(call: Call, request: pb.VolumeListRequest) -> Message:
    call.environment(request.environment_name)
    before = request.pagination.created_before or float("inf")
    mine = [
        v
        for v in call.state.volumes.values()
        if v.workspace == call.workspace and v.name and not v.deleted and v.created_at < before
    ]
    mine.sort(key=lambda v: v.created_at, reverse=True)
    if request.pagination.max_objects:
        mine = mine[: request.pagination.max_objects]
    return pb.VolumeListResponse(
        environment_name=ENVIRONMENT,
        items=[
            pb.VolumeListItem(label=v.name, volume_id=v.id, created_at=v.created_at, metadata=_metadata(v))
            for v in mine
        ],
    )


@rpc("VolumeDelete")
def delete(call: Call, request: pb.VolumeDeleteRequest) -> Message:
    volume_of(call, request.volume_id).deleted = True
    return Empty()


@rpc("VolumeRename")
def rename(call: Call, request: pb.VolumeRenameRequest) -> Message:
    volume = volume_of(call, request.volume_id)
    if named(call, request.name) is not None:
        raise refuse(Status.ALREADY_EXISTS, f"Volume '{request.name}' already exists")
    volume.name = request.name
    return Empty()


@rpc("VolumeHeartbeat")
def heartbeat(call: Call, request: pb.VolumeHeartbeatRequest) -> Message:
    volume_of(call, request.volume_id)
    return Empty()


@rpc("VolumeReload")
def reload(call: Call, request: pb.VolumeReloadRequest) -> Message:
    volume_of(call, request.volume_id)
    return Empty()


@rpc("VolumeCommit")
def commit(call: Call, request: pb.VolumeCommitRequest) -> Message:
    volume_of(call, request.volume_id)
    return pb.VolumeCommitResponse()
