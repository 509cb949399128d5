"""What is asked of Modal's control plane, one method a question."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from decimal import Decimal
from io import BytesIO
from pathlib import Path
from typing import Any

from peft_tui.credentials import Secret
from peft_tui.domain.errors import NotFound, PeftTuiError, PlatformFailed
from peft_tui.drivers.hosts import Urgency
from peft_tui.drivers.modal.connection import Connection
from peft_tui.drivers.modal.engine import SERVER, ServerPlan
from peft_tui.drivers.modal.failures import TITLE, Unimplemented
from peft_tui.drivers.modal.gpus import parse_rates
from peft_tui.drivers.modal.progress import Meter
from peft_tui.drivers.modal.wire import (
    App,
    Budget,
    Container,
    ContainerInfo,
    Environment,
    Server,
    Version,
)
from peft_tui.text import clean, clean_line

BUILD_SECONDS = 45 * 60.0
DEPLOY_SECONDS = 10 * 60.0
UPLOAD_SECONDS = 6 * 3600.0
STALL_SECONDS = 120.0
"""Without a byte going out. The SDK repeats a part that was cut for minutes, which comes to nothing with some
versions of its HTTP library; begun again, what has arrived is not sent again."""
STOPPED_BY_CLIENT = 2
"""`AppStopSource` of the vendor's own SDK."""
LOG_LINES = 12
"""Of a build that failed."""
MAX_CONFIG = 1024 * 1024
TAGS = {"managed-by": "peft-tui"}


class Control:
    """The questions, in one environment once it is known."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.environment = ""
        self.environment_id = ""

    # Who, where, for how much

    async def workspace(self) -> str:
        answer = await self.connection.rpc("WorkspaceNameLookup", "")
        return clean_line(answer.username or answer.workspace_name)

    async def token(self) -> str:
        """Who the token is of, for a person; nothing where it is not told."""
        try:
            answer = await self.connection.rpc("TokenInfoGet", "TokenInfoGetRequest")
        except PeftTuiError:
            return ""
        return clean_line(answer.user_identity.username or answer.token_name)

    async def environments(self) -> list[Environment]:
        answer = await self.connection.rpc("EnvironmentList", "")
        return [Environment.of(item) for item in answer.items]

    async def budget(self, urgency: Urgency = Urgency.NORMAL) -> Budget | None:
        """Of the environment; None where the server does not tell."""
        try:
            answer = await self.connection.rpc(
                "EnvironmentGetBudget",
                "EnvironmentGetBudgetRequest",
                urgency=urgency,
                environment_id=self.environment_id,
            )
        except Unimplemented:
            return None
        return Budget.of(answer)

    async def rates(self, urgency: Urgency = Urgency.NORMAL) -> dict[str, Decimal]:
        """The price list in USD; empty where the server does not tell."""
        try:
            answer = await self.connection.rpc(
                "WorkspaceBillingRates", "WorkspaceBillingRatesRequest", urgency=urgency
            )
        except Unimplemented:
            return {}
        return parse_rates(dict(answer.rates))

    # What there is

    async def apps(self) -> list[App]:
        answer = await self.connection.rpc(
            "AppList", "AppListRequest", urgency=Urgency.BACKGROUND, environment_name=self.environment
        )
        return [App.of(item) for item in answer.apps]

    async def containers(self, urgency: Urgency = Urgency.BACKGROUND) -> list[Container] | None:
        """Of all apps of the environment; None where the server does not tell."""
        try:
            answer = await self.connection.rpc(
                "TaskList", "TaskListRequest", urgency=urgency, environment_name=self.environment
            )
        except Unimplemented:
            return None
        return [Container.of(item) for item in answer.tasks]

    async def container(self, task_id: str) -> ContainerInfo | None:
        try:
            answer = await self.connection.rpc(
                "TaskGetInfo", "TaskGetInfoRequest", urgency=Urgency.BACKGROUND, task_id=task_id
            )
        except (Unimplemented, NotFound):
            return None
        return ContainerInfo.of(answer)

    async def server(self, name: str, urgency: Urgency = Urgency.NORMAL) -> Server:
        """The server in the app `name`, with the bounds that hold now.

        Raises:
            NotFound: there is none.
        """
        answer = await self.connection.rpc(
            "FunctionGet",
            "FunctionGetRequest",
            urgency=urgency,
            app_name=name,
            object_tag=SERVER,
            environment_name=self.environment,
        )
        server = Server.of(answer)
        try:
            told = await self.connection.rpc(
                "FunctionGetSchedulingParams",
                "FunctionGetSchedulingParamsRequest",
                urgency=urgency,
                function_id=server.function_id,
            )
        except Unimplemented:
            return server
        bounds = told.autoscaler_configuration.settings
        return server.model_copy(
            update={
                "min_containers": bounds.min_containers,
                "max_containers": bounds.max_containers or None,
                "buffer_containers": bounds.buffer_containers,
                "scaledown_window": bounds.scaledown_window,
            }
        )

    async def statistics(self, function_id: str, since: datetime, until: datetime) -> Any:
        """`ServerGetTimeRangeStatsResponse` of a stretch of seven days at most."""
        return await self.connection.rpc(
            "ServerGetTimeRangeStats",
            "ServerGetTimeRangeStatsRequest",
            urgency=Urgency.BACKGROUND,
            function_id=function_id,
            since={"seconds": int(since.timestamp())},
            until={"seconds": int(until.timestamp())},
        )

    async def billed(self, begin: datetime, end: datetime) -> list[tuple[str, datetime, Decimal]]:
        """USD of the workspace's apps by the whole hour: whose, when it began, how much.

        Raises:
            AuthenticationFailed: this token, or this plan, may not read it.
            Unimplemented: the server does not tell.
        """
        modal = (await self.connection.loaded()).modal
        async with self.connection.asking(safe=True, urgency=Urgency.BACKGROUND) as client:
            workspace = modal.Workspace.from_context(client=client)
            rows = await workspace.billing.report.aio(start=begin, end=end, resolution="h")
        return [(row.object_id, row.interval_start, row.cost) for row in rows]

    async def deployed(self, name: str) -> str:
        """The id of the app that is deployed under `name`; empty when none is."""
        answer = await self.connection.rpc(
            "AppGetByDeploymentName",
            "AppGetByDeploymentNameRequest",
            name=name,
            environment_name=self.environment,
        )
        return str(answer.app_id)

    async def history(self, app_id: str) -> list[Version]:
        """The versions of an app, as they were deployed; none where the server does not tell."""
        try:
            answer = await self.connection.rpc(
                "AppDeploymentHistory", "AppDeploymentHistoryRequest", app_id=app_id
            )
        except Unimplemented:
            return []
        return [Version.of(item) for item in answer.app_deployment_histories]

    async def logs(self, app_id: str, limit: int) -> list[str]:
        """The last lines that its containers have written, oldest first."""
        async with self.connection.asking(safe=True) as client:
            modal = (await self.connection.loaded()).modal
            app = await modal.App.lookup.aio(app_id, client=client, environment_name=self.environment)
            entries = [entry async for entry in app.logs.tail.aio(limit)]
        entries.sort(key=lambda entry: entry.timestamp)
        return _lines(entry.message for entry in entries)[-limit:]

    # What is changed

    async def scale(self, name: str, bounds: Mapping[str, int | None]) -> None:
        """Set the autoscaler of the server in the app `name`: at once, without a rollout."""
        modal = (await self.connection.loaded()).modal
        async with self.connection.asking(safe=True) as client:
            server = modal.Server.from_name(name, SERVER, client=client, environment_name=self.environment)
            await server.autoscaler.update.aio(**bounds)

    async def build(self, plan: ServerPlan) -> str:
        """Have the image built, in an app that ends with it; its id.

        Raises:
            PlatformFailed: it cannot be built; the end of what it printed is in the message.
        """
        loaded = await self.connection.loaded()
        async with self.connection.asking(safe=True, urgency=None, seconds=BUILD_SECONDS) as client:
            image = _image(loaded.modal, plan)
            app = loaded.modal.App(f"{plan.name}-image", tags=TAGS)
            try:
                async with app.run.aio(client=client, environment_name=self.environment):
                    await image.build.aio(app)
            except loaded.errors.ImageBuildError as error:
                raise await self._build_failed(client, error) from error
            return str(image.object_id)

    async def deploy(self, plan: ServerPlan) -> str:
        """Deploy under the plan's name; the app's id. The same plan a second time changes nothing."""
        loaded = await self.connection.loaded()
        modal = loaded.modal
        async with self.connection.asking(safe=False, urgency=None, seconds=DEPLOY_SECONDS) as client:
            volumes: dict[str, Any] = {}
            for path, name in plan.volumes.items():
                volumes[path] = self._volume(modal, name, create=True)
            for path, name in plan.read_only.items():
                volumes[path] = self._volume(modal, name).read_only()
            secrets = []
            if plan.secret:
                secrets.append(modal.Secret.from_name(plan.secret, environment_name=self.environment))
            app = modal.App(plan.name, tags=TAGS)
            app.server(
                image=_image(modal, plan),
                name=SERVER,
                gpu=list(plan.gpu) if len(plan.gpu) > 1 else plan.gpu[0],
                volumes=volumes,
                secrets=secrets,
                port=8000,
                unauthenticated=not plan.private,
                startup_timeout=plan.startup_timeout,
                routing_region=plan.routing_region,
                compute_region=plan.region or None,
                min_containers=plan.min_containers,
                max_containers=plan.max_containers,
                buffer_containers=plan.buffer_containers,
                scaledown_window=plan.scaledown_window,
                target_concurrency=plan.target_concurrency,
                max_concurrency=plan.max_concurrency,
                include_source=False,
            )(loaded.direct_server)
            try:
                await app.deploy.aio(name=plan.name, environment_name=self.environment, client=client)
            except loaded.errors.ImageBuildError as error:
                raise await self._build_failed(client, error) from error
            return str(app.app_id)

    async def roll_back(self, app_id: str, version: int) -> None:
        """Put an earlier version in charge again: a new one of the same definitions."""
        await self.connection.rpc(
            "AppRollback", "AppRollbackRequest", safe=False, app_id=app_id, version=version
        )

    async def stop(self, app_id: str) -> None:
        await self.connection.rpc(
            "AppStop",
            "AppStopRequest",
            urgency=Urgency.STOP,
            app_id=app_id,
            source=STOPPED_BY_CLIENT,
        )

    async def put_secret(self, name: str, values: Mapping[str, Secret]) -> None:
        """Write the named secret, over what it was."""
        loaded = await self.connection.loaded()
        await self.connection.rpc(
            "SecretGetOrCreate",
            "SecretGetOrCreateRequest",
            deployment_name=name,
            environment_name=self.environment,
            object_creation_type=loaded.api.OBJECT_CREATION_TYPE_CREATE_OVERWRITE_IF_EXISTS,
            env_dict={key: value.reveal() for key, value in values.items()},
        )

    async def remove_secret(self, name: str) -> None:
        modal = (await self.connection.loaded()).modal
        async with self.connection.asking(safe=True) as client:
            await modal.Secret.objects.delete.aio(
                name, allow_missing=True, environment_name=self.environment, client=client
            )

    async def proxy_token(self, name: str) -> tuple[Secret, Secret]:
        """A new token for what is private: its two halves, told once."""
        modal = (await self.connection.loaded()).modal
        async with self.connection.asking(safe=True) as client:
            tokens = modal.Workspace.from_context(client=client).proxy_tokens
            made = await tokens.create.aio(name=name)
        return Secret(made.token_id), Secret(made.token_secret)

    async def lists_proxy_token(self, token_id: str) -> bool:
        """Whether it is among the workspace's tokens."""
        modal = (await self.connection.loaded()).modal
        async with self.connection.asking(safe=True) as client:
            tokens = modal.Workspace.from_context(client=client).proxy_tokens
            return token_id in {token.token_id for token in await tokens.list.aio()}

    async def remove_proxy_token(self, token_id: str) -> None:
        modal = (await self.connection.loaded()).modal
        async with self.connection.asking(safe=True) as client:
            await modal.Workspace.from_context(client=client).proxy_tokens.delete.aio(token_id)

    # Volumes

    async def _make(self, name: str) -> None:
        """Make the volume, unless it is there: of the second kind, where what is sent counts in parts."""
        try:
            async with self.volume(name):
                return
        except NotFound:
            pass
        loaded = await self.connection.loaded()
        await self.connection.rpc(
            "VolumeGetOrCreate",
            "VolumeGetOrCreateRequest",
            deployment_name=name,
            environment_name=self.environment,
            object_creation_type=loaded.api.OBJECT_CREATION_TYPE_CREATE_IF_MISSING,
            version=loaded.api.VOLUME_FS_VERSION_V2,
        )

    @asynccontextmanager
    async def volume(self, name: str, *, seconds: float | None = None) -> AsyncIterator[tuple[Any, Any]]:
        """The open volume, and the client."""
        modal = (await self.connection.loaded()).modal
        long = {"urgency": None, "seconds": seconds} if seconds else {}
        async with self.connection.asking(safe=True, **long) as client:  # type: ignore[arg-type]
            volume = self._volume(modal, name)
            await volume.hydrate.aio(client)
            yield volume, client

    def _volume(self, modal: Any, name: str, create: bool = False) -> Any:
        return modal.Volume.from_name(name, environment_name=self.environment, create_if_missing=create)

    async def upload(self, name: str, files: Sequence[tuple[Path | BytesIO, str]], meter: Meter) -> None:
        """Put `files` on the volume `name`; they appear there when all have arrived."""
        loaded = await self.connection.loaded()
        await self._make(name)
        async with self.volume(name, seconds=UPLOAD_SECONDS) as (volume, client):
            version = volume._get_metadata().version
            async with asyncio.timeout(STALL_SECONDS) as limit:
                now = asyncio.get_running_loop().time
                meter.moved = lambda: limit.reschedule(now() + STALL_SECONDS)
                try:
                    await loaded.upload.aio(client, volume.object_id, version, files, meter)
                finally:
                    meter.moved = lambda: None

    async def listing(self, name: str, path: str) -> dict[str, int | None]:
        """What lies directly under `path`: size of a file, None for a directory.

        Raises:
            NotFound: there is no such volume or directory.
        """
        async with self.volume(name) as (volume, _):
            entries = await volume.listdir.aio(f"/{path}")
        return {
            clean_line(entry.path).strip("/").rpartition("/")[2]: entry.size
            if entry.type.name == "FILE"
            else None
            for entry in entries
        }

    async def paths(self, name: str) -> set[str]:
        """Every file and directory on the volume `name`."""
        async with self.volume(name) as (volume, _):
            return {
                clean_line(entry.path).strip("/") for entry in await volume.listdir.aio("/", recursive=True)
            }

    async def read(self, name: str, path: str) -> bytes:
        """The file at `path`, as far as a configuration may be long."""
        content = bytearray()
        async with self.volume(name) as (volume, _):
            async for chunk in volume.read_file.aio(f"/{path}"):
                content += chunk
                if len(content) > MAX_CONFIG:
                    raise PlatformFailed(f"{path} on {name} is larger than a configuration is.")
        return bytes(content)

    async def remove(self, name: str, path: str) -> None:
        try:
            async with self.volume(name) as (volume, _):
                await volume.remove_file.aio(f"/{path}", recursive=True)
        except NotFound:
            # The volume or the directory: gone is what was wanted.
            pass

    async def _build_failed(self, client: Any, error: Any) -> PeftTuiError:
        loaded = await self.connection.loaded()
        image_id = getattr(error, "image_id", "") or ""
        printed: list[str] = []
        try:
            async with asyncio.timeout(10.0):
                request = loaded.api.ImageJoinStreamingRequest(
                    image_id=image_id, timeout=5, include_logs_for_finished=True
                )
                printed = await loaded.join_image.aio(client, request)
        except Exception:
            # That it failed is known; what it printed stays at Modal.
            pass
        lines = [line for line in _lines(printed) if line.strip()][-LOG_LINES:]
        said = clean_line(error, 200)
        return PlatformFailed(
            f"{TITLE} could not build the image: {lines[-1] if lines else said}",
            hint="Nothing was deployed, and nothing bills that did not before. Check the engine's image, and"
            " try again.",
            detail="\n".join(lines) or said,
        )


def _image(modal: Any, plan: ServerPlan) -> Any:
    """Two layers: what is pulled is shared by all deployments of one engine, what differs is on top."""
    return modal.Image.from_registry(plan.image).dockerfile_commands(plan.dockerfile)


def _lines(chunks: Iterable[str]) -> list[str]:
    """Output comes in pieces of one or more lines."""
    return [clean(line, 500) for chunk in chunks for line in chunk.splitlines()]
