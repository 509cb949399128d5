"""RPCs about containers, which the protocol calls tasks."""

from __future__ import annotations

from google.protobuf.message import Message
from grpclib.const import Status
from modal_proto import api_pb2 as pb

from peft_tui.sandbox.modal import life
from peft_tui.sandbox.modal.calls import Call, refuse, rpc
from peft_tui.sandbox.modal.state import App, Container, Function


@rpc("TaskList")
def task_list(call: Call, request: pb.TaskListRequest) -> Message:
    """Those that exist; `started_at` is 0 while one waits for its GPU."""
    call.environment(request.environment_name)
    if request.app_id:
        apps = [call.app(request.app_id)]
    else:
        life.settle_all(call.world)
        apps = [a for a in call.state.apps.values() if a.workspace == call.workspace]
    return pb.TaskListResponse(
        tasks=[
            pb.TaskStats(
                task_id=container.id,
                app_id=app.id,
                app_description=app.description,
                started_at=container.started_at or 0.0,
                enqueued_at=container.enqueued_at,
            )
            for app in apps
            for id in app.functions.values()
            for container in life.live(call.state.functions[id])
        ]
    )


def _container(call: Call, id: str) -> tuple[App, Function, Container]:
    for function in call.state.functions.values():
        for container in function.containers:
            if container.id == id:
                return call.app(function.app_id), function, container
    raise refuse(Status.NOT_FOUND, f"Container {id} not found")


@rpc("TaskGetInfo")
def task_info(call: Call, request: pb.TaskGetInfoRequest) -> Message:
    app, _, container = _container(call, request.task_id)
    info = pb.TaskInfo(
        id=container.id,
        enqueued_at=container.enqueued_at,
        started_at=container.started_at or 0.0,
        finished_at=container.ended_at or 0.0,
    )
    if container.gpu.type:
        info.gpu_type = container.gpu.type
        info.gpu_config.gpu_type, info.gpu_config.count = container.gpu.type, container.gpu.count
    if container.ended_at is not None:
        ok = container.exit_code == 0
        info.result.status = (
            pb.GenericResult.GENERIC_STATUS_SUCCESS if ok else pb.GenericResult.GENERIC_STATUS_FAILURE
        )
        info.result.exitcode = container.exit_code
        if not ok:
            info.result.exception = container.death
    return pb.TaskGetInfoResponse(app_id=app.id, info=info)


@rpc("FlashContainerList")
def flash_containers(call: Call, request: pb.FlashContainerListRequest) -> Message:
    """Those of a server that answer."""
    function = call.function(request.function_id)
    definition = call.state.definitions.get(function.live)
    return pb.FlashContainerListResponse(
        containers=[
            pb.FlashContainerListResponse.Container(
                task_id=c.id, host="127.0.0.1", port=definition.port if definition else 0
            )
            for c in life.live(function)
            if life.is_healthy(c, call.now)
        ]
    )


@rpc("ContainerStop")
def container_stop(call: Call, request: pb.ContainerStopRequest) -> Message:
    _, function, container = _container(call, request.task_id)
    life.stop_container(call.world, function, container)
    life.settle(call.world, function)
    return pb.ContainerStopResponse()
