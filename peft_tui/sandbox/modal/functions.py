"""RPCs that make functions and servers, find them, and turn their autoscaler."""

from __future__ import annotations

import base64
import hashlib
import re

from google.protobuf.message import Message
from grpclib.const import Status
from modal_proto import api_pb2 as pb

from peft_tui.sandbox.modal import life
from peft_tui.sandbox.modal.calls import Call, refuse, rpc
from peft_tui.sandbox.modal.catalog import GPUS
from peft_tui.sandbox.modal.state import App, Definition, Function, Gpu, Mount

LONGEST_LABEL = 63
LEAST_WINDOW, LONGEST_WINDOW = 2, 3600
DEFAULTS = {"min_containers": 0, "buffer_containers": 0, "scaledown_window": int(life.DEFAULT_SCALEDOWN)}


def _label(*words: str) -> str:
    """The first part of a host name: lower case, dashes, and cut with a hash where it is too long."""
    label = re.sub(r"[^a-z0-9-]+", "-", "-".join(words).lower()).strip("-")
    if len(label) <= LONGEST_LABEL:
        return label
    digest = hashlib.sha256(label.encode()).hexdigest()[:6]
    return f"{label[: LONGEST_LABEL - 7]}-{digest}"


def handle(call: Call, function: Function, definition_id: str = "") -> pb.FunctionHandleMetadata:
    """What a client keeps of a function."""
    url = call.url(function)
    metadata = pb.FunctionHandleMetadata(
        function_name=function.name,
        function_type=pb.Function.FUNCTION_TYPE_FUNCTION,
        web_url=url if function.kind == "web" else "",
        definition_id=definition_id or function.live,
        app_id=function.app_id,
    )
    if function.kind == "server" and url:
        metadata._experimental_flash_urls.append(url)
    return metadata


def _web_host(call: Call, app: App, name: str, config: pb.WebhookConfig) -> str:
    words = [config.requested_suffix] if config.requested_suffix else [app.description, name]
    return f"{_label(f'{call.workspace}-', *words)}.modal.run"


@rpc("FunctionPrecreate")
def precreate(call: Call, request: pb.FunctionPrecreateRequest) -> Message:
    call.may_change()
    app = call.app(request.app_id)
    if request.existing_function_id:
        function = call.function(request.existing_function_id)
    else:
        function = _new(call, app, request.function_name)
    if request.webhook_config.type:
        function.kind = "web"
        function.host = _web_host(call, app, function.name, request.webhook_config)
    return pb.FunctionPrecreateResponse(function_id=function.id, handle_metadata=handle(call, function))


def _new(call: Call, app: App, name: str) -> Function:
    if not name:
        raise refuse(Status.INVALID_ARGUMENT, "The function has no name")
    for function in call.state.functions.values():
        # A deployment that broke off left it behind.
        if function.app_id == app.id and function.name == name:
            return function
    function = Function(call.new_id("fu"), app.id, name, "plain", "")
    call.state.functions[function.id] = function
    return function


@rpc("FunctionCreate")
def create(call: Call, request: pb.FunctionCreateRequest) -> Message:
    call.may_change()
    app = call.app(request.app_id)
    data = _function_data(request)
    ranked = sorted(data.ranked_functions, key=lambda r: r.rank)
    first = ranked[0].function
    if request.existing_function_id:
        function = call.function(request.existing_function_id)
    else:
        function = _new(call, app, first.function_name)
    if data.is_server:
        region = next(iter(data.http_config.proxy_regions), "us-east")
        function.kind = "server"
        function.host = (
            f"{_label(f'{call.workspace}-', app.description, function.name)}.{region}.modal.direct"
        )
    elif data.webhook_config.type:
        function.kind = "web"
        function.host = _web_host(call, app, function.name, data.webhook_config)
    else:
        function.kind, function.host = "plain", ""
    if function.kind == "web":
        data.web_url = call.url(function)
    elif function.host:
        data.flash_service_urls[:] = [call.url(function)]
    _check(call, data)
    definition = _definition(call, function, data)
    call.state.definitions[definition.id] = definition
    return pb.FunctionCreateResponse(
        function_id=function.id,
        function=first,
        function_data=data,
        handle_metadata=handle(call, function, definition.id),
    )


def _function_data(request: pb.FunctionCreateRequest) -> pb.FunctionData:
    """One form of what may be sent in two: a function, or one per GPU of a list."""
    data = pb.FunctionData()
    if request.HasField("function_data"):
        data.CopyFrom(request.function_data)
        if not data.ranked_functions:
            raise refuse(Status.INVALID_ARGUMENT, "function_data has no ranked_functions")
        return data
    if not request.HasField("function"):
        raise refuse(Status.INVALID_ARGUMENT, "There is no function")
    function = request.function
    for field, value in function.ListFields():
        same = pb.FunctionData.DESCRIPTOR.fields_by_name.get(field.name)
        if same is None or same.type != field.type:
            continue
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            getattr(data, field.name).MergeFrom(value)
        elif hasattr(value, "MergeFrom") and not hasattr(value, "DESCRIPTOR"):
            getattr(data, field.name).MergeFrom(value)
        elif field.message_type is not None:
            getattr(data, field.name).CopyFrom(value)
        else:
            setattr(data, field.name, value)
    data.ranked_functions.add(rank=0).function.CopyFrom(function)
    return data


def _check(call: Call, data: pb.FunctionData) -> None:
    """What the platform refuses before anything runs."""
    for ranked in data.ranked_functions:
        function = ranked.function
        gpu = function.resources.gpu_config
        if gpu.gpu_type and gpu.gpu_type not in GPUS:
            known = ", ".join(GPUS)
            raise refuse(
                Status.INVALID_ARGUMENT, f"Unknown GPU type: {gpu.gpu_type!r}. Available types: {known}."
            )
        if gpu.gpu_type and not 1 <= gpu.count <= GPUS[gpu.gpu_type].most:
            most = GPUS[gpu.gpu_type].most
            raise refuse(
                Status.INVALID_ARGUMENT, f"{gpu.gpu_type}:{gpu.count} is not available; the maximum is {most}"
            )
        image = call.state.images.get(function.image_id)
        if image is None or image.workspace != call.workspace:
            raise refuse(Status.NOT_FOUND, f"Image {function.image_id} not found")
        if image.failure or not image.done:
            raise refuse(Status.FAILED_PRECONDITION, f"Image {image.id} is not built")
        for mount in function.volume_mounts:
            volume = call.state.volumes.get(mount.volume_id)
            if volume is None or volume.deleted or volume.workspace != call.workspace:
                raise refuse(Status.NOT_FOUND, f"Volume {mount.volume_id} not found")
        for id in function.secret_ids:
            secret = call.state.secrets.get(id)
            if secret is None or secret.deleted or secret.workspace != call.workspace:
                raise refuse(Status.NOT_FOUND, f"Secret {id} not found")
    _check_settings(_settings(data.autoscaler_settings))


def _settings(message: pb.AutoscalerSettings) -> dict[str, float]:
    """The fields that are set, by name."""
    return {field.name: float(value) for field, value in message.ListFields()}


def _check_settings(settings: dict[str, float]) -> None:
    low, high = settings.get("min_containers", 0), settings.get("max_containers", 0)
    if high and low > high:
        raise refuse(
            Status.INVALID_ARGUMENT,
            f"min_containers ({low:g}) cannot be greater than max_containers ({high:g})",
        )
    window = settings.get("scaledown_window")
    if window and not LEAST_WINDOW <= window <= LONGEST_WINDOW:
        raise refuse(
            Status.INVALID_ARGUMENT,
            f"scaledown_window must be between {LEAST_WINDOW} and {LONGEST_WINDOW} seconds",
        )


def _definition(call: Call, function: Function, data: pb.FunctionData) -> Definition:
    ranked = sorted(data.ranked_functions, key=lambda r: r.rank)
    first = ranked[0].function
    configs = [r.function.resources.gpu_config for r in ranked]
    if function.kind == "server":
        private, port = not data.http_config.unauthenticated, data.http_config.port
        timeout = float(data.http_config.startup_timeout)
    else:
        private, port = data.webhook_config.requires_proxy_auth, data.webhook_config.web_server_port
        timeout = data.webhook_config.web_server_startup_timeout
    settings = _settings(data.autoscaler_settings)
    return Definition(
        id=call.new_id("de"),
        function_id=function.id,
        wire=base64.b64encode(data.SerializeToString(deterministic=True)).decode(),
        image_id=first.image_id,
        gpus=[Gpu(c.gpu_type, c.count) if c.gpu_type else Gpu("", 0) for c in configs],
        cpu_milli=first.resources.milli_cpu,
        memory_mb=first.resources.memory_mb,
        settings=settings,
        mounts=[Mount(m.mount_path, m.volume_id, m.sub_path) for m in first.volume_mounts],
        secret_ids=list(first.secret_ids),
        runs_image=data.http_config.HasField("lift_and_shift_config"),
        private=private,
        port=port,
        startup_timeout=timeout or first.startup_timeout_secs or first.timeout_secs or 300.0,
        max_concurrency=first.max_concurrent_inputs,
    )


def stored_data(call: Call, function: Function) -> pb.FunctionData:
    """The deployed definition as it was sent."""
    data = pb.FunctionData()
    definition = call.state.definitions.get(function.live)
    if definition is not None:
        data.ParseFromString(base64.b64decode(definition.wire))
        # The port of the sandbox may be another one since.
        if function.kind == "web":
            data.web_url = call.url(function)
        elif function.host:
            data.flash_service_urls[:] = [call.url(function)]
    return data


@rpc("FunctionGet")
def get(call: Call, request: pb.FunctionGetRequest) -> Message:
    call.environment(request.environment_name)
    app = call.deployed(request.app_name)
    if app is None or not app.releases:
        raise refuse(Status.NOT_FOUND, f"App '{request.app_name}' not found in environment 'main'")
    id = app.functions.get(request.object_tag)
    if id is None:
        raise refuse(
            Status.NOT_FOUND, f"Lookup failed for '{request.object_tag}' in App '{request.app_name}'"
        )
    function = call.state.functions[id]
    return pb.FunctionGetResponse(
        function_id=id, handle_metadata=handle(call, function), function=stored_data(call, function)
    )


@rpc("FunctionGetById")
def get_by_id(call: Call, request: pb.FunctionGetByIdRequest) -> Message:
    function = call.function(request.function_id)
    return pb.FunctionGetByIdResponse(
        function=stored_data(call, function), handle_metadata=handle(call, function)
    )


# The autoscaler


def _as_message(settings: dict[str, float]) -> pb.AutoscalerSettings:
    message = pb.AutoscalerSettings()
    for name, value in settings.items():
        setattr(message, name, value if name.endswith("_float") else int(value))
    return message


def _deployed_settings(call: Call, function: Function) -> dict[str, float]:
    definition = call.state.definitions.get(function.live)
    return {} if definition is None else definition.settings


def _current(call: Call, function: Function) -> dict[str, float]:
    return {**DEFAULTS, **_deployed_settings(call, function), **function.overrides}


@rpc("FunctionGetSchedulingParams")
def scheduling(call: Call, request: pb.FunctionGetSchedulingParamsRequest) -> Message:
    function = call.function(request.function_id)
    configuration = pb.AutoscalerConfiguration(
        settings=_as_message(_current(call, function)),
        default_settings=_as_message({k: float(v) for k, v in DEFAULTS.items()}),
        static_settings=_as_message(_deployed_settings(call, function)),
        override_settings=_as_message(function.overrides),
    )
    for name in function.overrides:
        configuration.override_events[name].timestamp = function.overridden_at
        configuration.override_events[name].requested_by = call.workspace
    return pb.FunctionGetSchedulingParamsResponse(autoscaler_configuration=configuration)


@rpc("FunctionUpdateSchedulingParams")
def update_scheduling(call: Call, request: pb.FunctionUpdateSchedulingParamsRequest) -> Message:
    call.may_change()
    function = call.function(request.function_id)
    changes = _settings(request.settings)
    if request.warm_pool_size_override:
        changes["min_containers"] = float(request.warm_pool_size_override)
    _check_settings({**_current(call, function), **changes})
    function.overrides |= changes
    function.overridden_at = call.now
    life.settle(call.world, function)
    return pb.FunctionUpdateSchedulingParamsResponse(current_settings=_as_message(_current(call, function)))
