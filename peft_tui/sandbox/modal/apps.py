"""RPCs about apps: made, published, listed, rolled back, stopped."""

from __future__ import annotations

from dataclasses import replace

from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import Message
from grpclib.const import Status
from modal_proto import api_pb2 as pb

from peft_tui.sandbox.modal import life
from peft_tui.sandbox.modal.calls import Call, refuse, rpc
from peft_tui.sandbox.modal.functions import handle, stored_data
from peft_tui.sandbox.modal.state import (
    DEPLOYED,
    ENVIRONMENT,
    EPHEMERAL,
    INITIALIZING,
    STOPPED,
    App,
    Definition,
    Release,
)

CLIENT_VERSION = "1.6.4"
PREVIOUS = -1


def _lifecycle(app: App) -> pb.AppLifecycle:
    return pb.AppLifecycle(
        app_state=app.state,  # type: ignore[arg-type]  # the numbers are the vendor's
        created_at=app.created_at,
        created_by=app.workspace,
        deployed_at=app.deployed_at,
        deployed_by=app.workspace if app.deployed_at else "",
        version=app.releases[-1].version if app.releases else 0,
        stopped_at=app.stopped_at,
        stopped_by=app.workspace if app.stopped_at else "",
    )


def _metadata(call: Call, app: App) -> pb.AppHandleMetadata:
    kinds = {name: call.state.functions[id].kind for name, id in app.functions.items()}
    return pb.AppHandleMetadata(
        description=app.description,
        app_id=app.id,
        environment_name=ENVIRONMENT,
        lifecycle=_lifecycle(app),
        functions={n: id for n, id in app.functions.items() if kinds[n] != "server"},
        servers={n: id for n, id in app.functions.items() if kinds[n] == "server"},
    )


def _page(app: App) -> str:
    return f"https://modal.com/apps/{app.workspace}/{ENVIRONMENT}/{app.id}"


@rpc("AppGetByDeploymentName")
def by_name(call: Call, request: pb.AppGetByDeploymentNameRequest) -> Message:
    call.environment(request.environment_name)
    answer = pb.AppGetByDeploymentNameResponse(environment_name=ENVIRONMENT)
    app = call.deployed(request.name)
    if app is not None:
        answer.app_id = app.id
        answer.lifecycle.CopyFrom(_lifecycle(app))
        return answer
    stopped = [
        a for a in call.state.apps.values() if a.name == request.name and a.workspace == call.workspace
    ]
    if stopped:
        answer.previous_app_id = stopped[-1].id
    return answer


@rpc("AppCreate")
def create(call: Call, request: pb.AppCreateRequest) -> Message:
    call.may_spend()
    call.environment(request.environment_name)
    app = App(
        call.new_id("ap"),
        call.workspace,
        "",
        request.description,
        request.app_state or INITIALIZING,
        call.now,
        dict(request.tags),
    )
    call.state.apps[app.id] = app
    return pb.AppCreateResponse(app_id=app.id, app_page_url=_page(app), app_logs_url=f"{_page(app)}/logs")


@rpc("AppGetOrCreate")
def get_or_create(call: Call, request: pb.AppGetOrCreateRequest) -> Message:
    call.environment(request.environment_name)
    name = request.app_name
    app = call.app(name) if name in call.state.apps else call.deployed(name)
    if app is None and request.object_creation_type == pb.OBJECT_CREATION_TYPE_CREATE_IF_MISSING:
        call.may_change()
        app = App(call.new_id("ap"), call.workspace, name, name, DEPLOYED, call.now, deployed_at=call.now)
        call.state.apps[app.id] = app
    if app is None:
        raise refuse(Status.NOT_FOUND, f"App '{name}' not found in environment '{ENVIRONMENT}'")
    return pb.AppGetOrCreateResponse(app_id=app.id, handle_metadata=_metadata(call, app))


@rpc("AppLookup")
def lookup(call: Call, request: pb.AppLookupRequest) -> Message:
    call.environment(request.environment_name)
    app = call.deployed(request.app_name)
    if app is None:
        raise refuse(Status.NOT_FOUND, f"App '{request.app_name}' not found")
    return pb.AppLookupResponse(app_id=app.id)


@rpc("AppHeartbeat")
def heartbeat(call: Call, request: pb.AppHeartbeatRequest) -> Message:
    call.app(request.app_id)
    return Empty()


@rpc("AppClientDisconnect")
def disconnect(call: Call, request: pb.AppClientDisconnectRequest) -> Message:
    """A deployment that broke off leaves nothing running; what was deployed before goes on."""
    app = call.app(request.app_id)
    if request.exception:
        life.say(app, call.now, "", "", 3, request.exception)
    if app.state in (INITIALIZING, EPHEMERAL):
        life.stop_app(call.world, app, call.now)
    return Empty()


@rpc("AppGetLayout")
def layout(call: Call, request: pb.AppGetLayoutRequest) -> Message:
    app = call.app(request.app_id)
    answer = pb.AppGetLayoutResponse()
    for name, id in app.functions.items():
        answer.app_layout.function_ids[name] = id
        answer.app_layout.objects.add(
            object_id=id, function_handle_metadata=handle(call, call.state.functions[id])
        )
    return answer


@rpc("AppPublish")
def publish(call: Call, request: pb.AppPublishRequest) -> Message:
    call.may_spend()
    app = call.app(request.app_id)
    if app.state == STOPPED:
        raise refuse(Status.FAILED_PRECONDITION, f"App {app.id} is stopped")
    if request.staged:
        raise refuse(Status.UNIMPLEMENTED, "The sandbox does not stage deployments")
    other = call.deployed(request.name) if request.name else None
    if other is not None and other.id != app.id:
        raise refuse(Status.ALREADY_EXISTS, f"An App named '{request.name}' is already deployed")
    chosen: dict[str, str] = {}
    for name, id in request.function_ids.items():
        definition = call.state.definitions.get(request.definition_ids.get(id, ""))
        if definition is None or definition.function_id != id:
            raise refuse(Status.INVALID_ARGUMENT, f"There is no definition of function {name}")
        chosen[name] = definition.id
    app.name, app.tags = request.name, dict(request.tags)
    if app.state == DEPLOYED and _unchanged(call, app, chosen, request.deployment_tag):
        return pb.AppPublishResponse(url=_page(app), deployed_at=0.0)
    app.functions = dict(request.function_ids)
    release = Release(
        _next_version(app),
        request.deployment_tag,
        call.now,
        request.client_version or CLIENT_VERSION,
        chosen,
        commit=request.commit_info.commit_hash,
    )
    _release(call, app, release)
    if request.app_state == EPHEMERAL:
        # A run: it is there as long as its client is, and nothing is deployed under a name.
        app.state = EPHEMERAL
    return pb.AppPublishResponse(url=_page(app), deployed_at=call.now)


def _next_version(app: App) -> int:
    return app.releases[-1].version + 1 if app.releases else 1


def _unchanged(call: Call, app: App, chosen: dict[str, str], tag: str) -> bool:
    """Whether a deployment would change nothing; the vendor answers it with no time [INF]."""

    def content(id: str) -> Definition:
        return replace(call.state.definitions[id], id="", function_id="")

    current = app.releases[-1] if app.releases else None
    if current is None or current.tag != tag or set(current.definitions) != set(chosen):
        return False
    if any(call.state.functions[id].overrides for id in app.functions.values()):
        return False
    return all(content(current.definitions[name]) == content(chosen[name]) for name in chosen)


def _release(call: Call, app: App, release: Release) -> None:
    """Put definitions in charge: settings changed by hand are forgotten, containers replaced."""
    app.state, app.deployed_at = DEPLOYED, call.now
    app.releases.append(release)
    life.say(app, call.now, "", "", 3, f"App deployed, version {release.version}.")
    for function in [f for f in call.state.functions.values() if f.app_id == app.id]:
        if function.id not in app.functions.values():
            for container in life.live(function):
                life.stop_container(call.world, function, container)
            continue
        function.live = release.definitions[function.name]
        function.overrides = {}
        life.replace_containers(call.world, function, call.now)


@rpc("AppRollback")
def rollback(call: Call, request: pb.AppRollbackRequest) -> Message:
    call.may_spend()
    app = _deployed_app(call, request.app_id)
    if request.version == PREVIOUS:
        wanted = app.releases[-1].version - 1
    else:
        wanted = request.version
    target = next((r for r in app.releases if r.version == wanted), None)
    if target is None or target is app.releases[-1]:
        raise refuse(Status.INVALID_ARGUMENT, f"App {app.id} has no earlier version {wanted}")
    app.functions = {name: call.state.definitions[id].function_id for name, id in target.definitions.items()}
    release = replace(
        target,
        version=_next_version(app),
        deployed_at=call.now,
        definitions=dict(target.definitions),
        rollback_of=target.version,
    )
    _release(call, app, release)
    return pb.AppRollbackResponse(url=_page(app), deployed_at=call.now)


@rpc("AppRollover")
def rollover(call: Call, request: pb.AppRolloverRequest) -> Message:
    """The same version with new containers."""
    call.may_spend()
    app = _deployed_app(call, request.app_id)
    current = app.releases[-1]
    copies: dict[str, str] = {}
    for name, id in current.definitions.items():
        copy = replace(call.state.definitions[id], id=call.new_id("de"))
        call.state.definitions[copy.id] = copy
        copies[name] = copy.id
    release = replace(current, version=_next_version(app), deployed_at=call.now, definitions=copies)
    _release(call, app, release)
    return pb.AppRolloverResponse(url=_page(app), deployed_at=call.now)


def _deployed_app(call: Call, id: str) -> App:
    app = call.app(id)
    if app.state != DEPLOYED or not app.releases:
        raise refuse(Status.FAILED_PRECONDITION, f"App {id} is not deployed")
    return app


@rpc("AppList")
def list_apps(call: Call, request: pb.AppListRequest) -> Message:
    call.environment(request.environment_name)
    life.settle_all(call.world)
    mine = [a for a in call.state.apps.values() if a.workspace == call.workspace]
    mine.sort(key=lambda a: a.created_at, reverse=True)
    return pb.AppListResponse(
        apps=[
            pb.AppListResponse.AppListItem(
                app_id=app.id,
                name=app.name,
                description=app.description,
                state=app.state,  # type: ignore[arg-type]
                created_at=app.created_at,
                stopped_at=app.stopped_at,
                n_running_tasks=sum(
                    c.started_at is not None
                    for id in app.functions.values()
                    for c in life.live(call.state.functions[id])
                ),
            )
            for app in mine
        ]
    )


@rpc("AppGetInfo")
def info(call: Call, request: pb.AppGetInfoRequest) -> Message:
    app = call.app(request.app_id)
    answer = pb.AppGetInfoResponse(info=_metadata(call, app))
    for name, id in app.functions.items():
        data = stored_data(call, call.state.functions[id])
        summary = answer.function_info_summaries[name]
        summary.gpu_config.extend(
            r.function.resources.gpu_config
            for r in data.ranked_functions
            if r.function.resources.gpu_config.gpu_type
        )
        summary.web_function = call.state.functions[id].kind == "web"
        summary.is_sessioned = data.is_sessioned
        if data.webhook_config.type:
            summary.requires_proxy_auth = data.webhook_config.requires_proxy_auth
    return answer


@rpc("AppGetLifecycle")
def lifecycle(call: Call, request: pb.AppGetLifecycleRequest) -> Message:
    return pb.AppGetLifecycleResponse(lifecycle=_lifecycle(call.app(request.app_id)))


@rpc("AppDeploymentHistory")
def history(call: Call, request: pb.AppDeploymentHistoryRequest) -> Message:
    """Newest first, as the vendor's command line shows it."""
    app = call.app(request.app_id)
    answer = pb.AppDeploymentHistoryResponse(
        production_app_version=app.releases[-1].version if app.releases else 0
    )
    for release in reversed(app.releases):
        answer.app_deployment_histories.add(
            app_id=app.id,
            version=release.version,
            client_version=release.client_version,
            deployed_at=release.deployed_at,
            deployed_by=app.workspace,
            tag=release.tag,
            rollback_version=release.rollback_of,
            rollback_allowed=release is not app.releases[-1],
            commit_info=pb.CommitInfo(vcs="git", commit_hash=release.commit) if release.commit else None,
        )
    return answer


@rpc("AppStop")
def stop(call: Call, request: pb.AppStopRequest) -> Message:
    app = call.app(request.app_id)
    if app.state != STOPPED:
        life.stop_app(call.world, app, call.now)
    return Empty()


@rpc("AppSetTags")
def set_tags(call: Call, request: pb.AppSetTagsRequest) -> Message:
    call.app(request.app_id).tags = dict(request.tags)
    return Empty()


@rpc("AppGetTags")
def get_tags(call: Call, request: pb.AppGetTagsRequest) -> Message:
    return pb.AppGetTagsResponse(tags=call.app(request.app_id).tags)
