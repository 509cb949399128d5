"""RPCs about the tokens that open what is private."""

from __future__ import annotations

from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import Message
from grpclib.const import Status
from modal_proto import api_pb2 as pb

from peft_tui.sandbox.modal.account import own_environment
from peft_tui.sandbox.modal.calls import Call, refuse, rpc
from peft_tui.sandbox.modal.state import ALPHABET, ENVIRONMENT_IDS, ID_LENGTH, ProxyToken


def _proxy_token(call: Call, id: str) -> ProxyToken:
    token = call.state.proxy_tokens.get(id)
    if token is None or token.workspace != call.workspace:
        raise refuse(Status.NOT_FOUND, f"Proxy token {id} not found")
    return token


def _token_message(token: ProxyToken) -> pb.WebhookToken:
    return pb.WebhookToken(
        token_id=token.id,
        created_at=token.created_at,
        scoped=token.scoped,
        name=token.name,
        created_by=pb.UserIdentity(user_id="us-sandbox000000000000000", username=token.workspace),
    )


@rpc("WebhookTokenCreate")
def proxy_token_create(call: Call, request: pb.WebhookTokenCreateRequest) -> Message:
    token = ProxyToken(
        call.new_id("wk"),
        call.world.new_id("ws-", ID_LENGTH, ALPHABET),
        call.workspace,
        request.name,
        call.now,
        scoped=request.scoped,
        allowed=not request.scoped,
    )
    call.state.proxy_tokens[token.id] = token
    return pb.TokenCreateResponse(token_id=token.id, token_secret=token.secret)


@rpc("WebhookTokenList")
def proxy_token_list(call: Call, request: Empty) -> Message:
    mine = [t for t in call.state.proxy_tokens.values() if t.workspace == call.workspace]
    return pb.WebhookTokenListResponse(tokens=[_token_message(t) for t in mine])


@rpc("WebhookTokenListForEnvironment")
def proxy_token_list_here(call: Call, request: pb.WebhookTokenListForEnvironmentRequest) -> Message:
    call.environment(request.environment_name)
    mine = [t for t in call.state.proxy_tokens.values() if t.workspace == call.workspace and t.allowed]
    return pb.WebhookTokenListResponse(tokens=[_token_message(t) for t in mine])


@rpc("WebhookTokenUpdate")
def proxy_token_update(call: Call, request: pb.WebhookTokenUpdateRequest) -> Message:
    token = _proxy_token(call, request.token_id)
    token.name = request.name
    return _token_message(token)


@rpc("WebhookTokenEnvironmentAdd")
def proxy_token_allow(call: Call, request: pb.WebhookTokenEnvironmentAddRequest) -> Message:
    own_environment(call, request.environment_id)
    _proxy_token(call, request.token_id).allowed = True
    return Empty()


@rpc("WebhookTokenEnvironmentRemove")
def proxy_token_revoke(call: Call, request: pb.WebhookTokenEnvironmentRemoveRequest) -> Message:
    own_environment(call, request.environment_id)
    _proxy_token(call, request.token_id).allowed = False
    return Empty()


@rpc("WebhookTokenEnvironmentList")
def proxy_token_environments(call: Call, request: pb.WebhookTokenEnvironmentListRequest) -> Message:
    token = _proxy_token(call, request.token_id)
    ids = [ENVIRONMENT_IDS[call.workspace]] if token.allowed else []
    return pb.WebhookTokenEnvironmentListResponse(environment_ids=ids)


@rpc("WebhookTokenDelete")
def proxy_token_delete(call: Call, request: pb.TokenDeleteRequest) -> Message:
    _proxy_token(call, request.token_id)
    del call.state.proxy_tokens[request.token_id]
    return Empty()
