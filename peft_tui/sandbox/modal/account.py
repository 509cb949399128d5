"""RPCs about the workspace: tokens, environments, budget, secrets, proxy tokens."""

from __future__ import annotations

from decimal import Decimal

from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import Message
from grpclib.const import Status
from modal_proto import api_pb2 as pb

from peft_tui.sandbox.modal import life
from peft_tui.sandbox.modal.calls import Call, refuse, rpc, stamp
from peft_tui.sandbox.modal.costs import spent_this_month
from peft_tui.sandbox.modal.state import (
    ALPHABET,
    ENVIRONMENT,
    ENVIRONMENT_IDS,
    ID_LENGTH,
    TOKENS,
    WORKSPACE_IDS,
    ProxyToken,
    Secret,
)

IMAGE_BUILDER = "2025.06"
NO_LIMIT = 0.0


def creation(at: float, workspace: str) -> pb.CreationInfo:
    """When something was made and by whom."""
    return pb.CreationInfo(created_at=at, created_by=workspace)


@rpc("ClientHello")
def hello(call: Call, request: Empty) -> Message:
    return pb.ClientHelloResponse(image_builder_version=IMAGE_BUILDER)


@rpc("TokenInfoGet")
def token_info(call: Call, request: pb.TokenInfoGetRequest) -> Message:
    return pb.TokenInfoGetResponse(
        token_id=TOKENS[call.workspace][0],
        workspace_id=WORKSPACE_IDS[call.workspace],
        workspace_name=call.workspace,
        user_identity=pb.UserIdentity(user_id="us-sandbox000000000000000", username=call.workspace),
        created_at=stamp(call.world.clock.now() - 86400),
        token_name="sandbox",
    )


@rpc("WorkspaceNameLookup")
def workspace_name(call: Call, request: Empty) -> Message:
    return pb.WorkspaceNameLookupResponse(workspace_name=call.workspace, username=call.workspace)


@rpc("WorkspaceSettings")
def workspace_settings(call: Call, request: Empty) -> Message:
    return pb.WorkspaceSettingsResponse(
        default_environment_name=ENVIRONMENT, image_builder_version=IMAGE_BUILDER
    )


@rpc("WorkspaceDashboardUrlGet")
def dashboard(call: Call, request: pb.WorkspaceDashboardUrlRequest) -> Message:
    return pb.WorkspaceDashboardUrlResponse(url=f"https://modal.com/apps/{call.workspace}/{ENVIRONMENT}")


# Environments and their budget


@rpc("EnvironmentGetOrCreate")
def environment(call: Call, request: pb.EnvironmentGetOrCreateRequest) -> Message:
    call.environment(request.deployment_name)
    return pb.EnvironmentGetOrCreateResponse(
        environment_id=ENVIRONMENT_IDS[call.workspace],
        metadata=pb.EnvironmentMetadata(
            name=ENVIRONMENT, settings=pb.EnvironmentSettings(image_builder_version=IMAGE_BUILDER)
        ),
    )


def _budget(call: Call) -> tuple[float | None, float, float, bool]:
    """What is set, what holds, what is used, and whether that is all of it."""
    life.settle_all(call.world)
    budget = call.state.budgets.get(call.workspace)
    used = spent_this_month(call.world, call.workspace)
    limit = NO_LIMIT if budget is None else float(budget)
    return (
        None if budget is None else float(budget),
        limit,
        float(used),
        life.over_limit(call.world, call.workspace),
    )


@rpc("EnvironmentList")
def environments(call: Call, request: Empty) -> Message:
    budget, limit, used, reached = _budget(call)
    running = [
        c
        for f in call.state.functions.values()
        if call.state.apps[f.app_id].workspace == call.workspace
        for c in life.live(f)
        if c.started_at is not None
    ]
    item = pb.EnvironmentListItem(
        name=ENVIRONMENT,
        default=True,
        environment_id=ENVIRONMENT_IDS[call.workspace],
        current_concurrent_tasks=len(running),
        current_concurrent_gpus=sum(c.gpu.count for c in running),
        effective_cycle_spend_limit=limit,
        current_cycle_usage=used,
        spend_limit_reached=reached,
        image_builder_version=IMAGE_BUILDER,
    )
    if budget is not None:
        item.cycle_budget_dollars = budget
    return pb.EnvironmentListResponse(items=[item])


def _own_environment(call: Call, id: str) -> None:
    if id != ENVIRONMENT_IDS[call.workspace]:
        raise refuse(Status.NOT_FOUND, f"Environment {id} not found")


@rpc("EnvironmentGetBudget")
def budget(call: Call, request: pb.EnvironmentGetBudgetRequest) -> Message:
    _own_environment(call, request.environment_id)
    budget, limit, used, reached = _budget(call)
    answer = pb.EnvironmentGetBudgetResponse(
        effective_cycle_spend_limit=limit, current_cycle_usage=used, spend_limit_reached=reached
    )
    if budget is not None:
        answer.cycle_budget_dollars = budget
    return answer


@rpc("EnvironmentSetBudget")
def set_budget(call: Call, request: pb.EnvironmentSetBudgetRequest) -> Message:
    _own_environment(call, request.environment_id)
    if request.clear_budget:
        call.state.budgets.pop(call.workspace, None)
    elif request.cycle_budget_dollars < 0:
        raise refuse(Status.INVALID_ARGUMENT, "The budget cannot be negative")
    else:
        call.state.budgets[call.workspace] = Decimal(str(request.cycle_budget_dollars))
    return Empty()


# Secrets


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


# Proxy tokens


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
    _own_environment(call, request.environment_id)
    _proxy_token(call, request.token_id).allowed = True
    return Empty()


@rpc("WebhookTokenEnvironmentRemove")
def proxy_token_revoke(call: Call, request: pb.WebhookTokenEnvironmentRemoveRequest) -> Message:
    _own_environment(call, request.environment_id)
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
