"""RPCs about named secrets, which containers get as variables."""

from __future__ import annotations

from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import Message
from grpclib.const import Status
from modal_proto import api_pb2 as pb

from peft_tui.sandbox.modal.account import creation
from peft_tui.sandbox.modal.calls import Call, refuse, rpc
from peft_tui.sandbox.modal.state import ENVIRONMENT, Secret


def _secret(call: Call, id: str) -> Secret:
    secret = call.state.secrets.get(id)
    if secret is None or secret.deleted or secret.workspace != call.workspace:
        raise refuse(Status.NOT_FOUND, f"Secret {id} not found")
    return secret


def _secret_metadata(secret: Secret) -> pb.SecretMetadata:
    return pb.SecretMetadata(
        name=secret.name,
        creation_info=creation(secret.created_at, secret.workspace),
        keys=sorted(secret.values),
        environment_name=ENVIRONMENT,
    )


@rpc("SecretGetOrCreate")
def secret_get_or_create(call: Call, request: pb.SecretGetOrCreateRequest) -> Message:
    call.environment(request.environment_name)
    name, how = request.deployment_name, request.object_creation_type
    found = next(
        (
            s
            for s in call.state.secrets.values()
            if name and s.name == name and s.workspace == call.workspace and not s.deleted
        ),
        None,
    )
    if how in (pb.OBJECT_CREATION_TYPE_ANONYMOUS_OWNED_BY_APP, pb.OBJECT_CREATION_TYPE_EPHEMERAL):
        found = None
    elif how == pb.OBJECT_CREATION_TYPE_UNSPECIFIED and found is None:
        raise refuse(Status.NOT_FOUND, f"Secret '{name}' not found in environment '{ENVIRONMENT}'")
    elif how == pb.OBJECT_CREATION_TYPE_CREATE_FAIL_IF_EXISTS and found is not None:
        raise refuse(Status.ALREADY_EXISTS, f"Secret '{name}' already exists")
    elif how == pb.OBJECT_CREATION_TYPE_CREATE_OVERWRITE_IF_EXISTS and found is not None:
        found.values = dict(request.env_dict)
    if found is None:
        found = Secret(call.new_id("st"), call.workspace, name, dict(request.env_dict), call.now)
        call.state.secrets[found.id] = found
    if missing := sorted(set(request.required_keys) - set(found.values)):
        raise refuse(Status.FAILED_PRECONDITION, f"Secret '{name}' is missing key(s): {', '.join(missing)}")
    return pb.SecretGetOrCreateResponse(secret_id=found.id, metadata=_secret_metadata(found))


@rpc("SecretGetInfo")
def secret_info(call: Call, request: pb.SecretGetInfoRequest) -> Message:
    return pb.SecretGetInfoResponse(metadata=_secret_metadata(_secret(call, request.secret_id)))


@rpc("SecretList")
def secrets(call: Call, request: pb.SecretListRequest) -> Message:
    call.environment(request.environment_name)
    before = request.pagination.created_before or float("inf")
    mine = [
        s
        for s in call.state.secrets.values()
        if s.workspace == call.workspace and s.name and not s.deleted and s.created_at < before
    ]
    mine.sort(key=lambda s: s.created_at, reverse=True)
    if request.pagination.max_objects:
        mine = mine[: request.pagination.max_objects]
    return pb.SecretListResponse(
        environment_name=ENVIRONMENT,
        items=[
            pb.SecretListItem(
                label=s.name,
                created_at=s.created_at,
                environment_name=ENVIRONMENT,
                secret_id=s.id,
                metadata=_secret_metadata(s),
            )
            for s in mine
        ],
    )


@rpc("SecretUpdate")
def secret_update(call: Call, request: pb.SecretUpdateRequest) -> Message:
    secret = _secret(call, request.secret_id)
    for update in request.updates:
        if update.HasField("value"):
            secret.values[update.key] = update.value
        else:
            secret.values.pop(update.key, None)
    return Empty()


@rpc("SecretDelete")
def secret_delete(call: Call, request: pb.SecretDeleteRequest) -> Message:
    _secret(call, request.secret_id).deleted = True
    return Empty()
