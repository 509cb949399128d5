"""RPCs about the workspace: tokens, environments, budget."""

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
    ENVIRONMENT,
    ENVIRONMENT_IDS,
    TOKENS,
    WORKSPACE_IDS,
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


def own_environment(call: Call, id: str) -> None:
    if id != ENVIRONMENT_IDS[call.workspace]:
        raise refuse(Status.NOT_FOUND, f"Environment {id} not found")


@rpc("EnvironmentGetBudget")
def budget(call: Call, request: pb.EnvironmentGetBudgetRequest) -> Message:
    own_environment(call, request.environment_id)
    budget, limit, used, reached = _budget(call)
    answer = pb.EnvironmentGetBudgetResponse(
        effective_cycle_spend_limit=limit, current_cycle_usage=used, spend_limit_reached=reached
    )
    if budget is not None:
        answer.cycle_budget_dollars = budget
    return answer


@rpc("EnvironmentSetBudget")
def set_budget(call: Call, request: pb.EnvironmentSetBudgetRequest) -> Message:
    own_environment(call, request.environment_id)
    if request.clear_budget:
        call.state.budgets.pop(call.workspace, None)
    elif request.cycle_budget_dollars < 0:
        raise refuse(Status.INVALID_ARGUMENT, "The budget cannot be negative")
    else:
        call.state.budgets[call.workspace] = Decimal(str(request.cycle_budget_dollars))
    return Empty()
