"""What is asked of Modal's control plane, one method a question."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from decimal import Decimal
from typing import Any

from peft_tui.credentials import Secret
from peft_tui.domain.errors import NotFound, PeftTuiError
from peft_tui.drivers.hosts import Urgency
from peft_tui.drivers.modal.connection import Connection
from peft_tui.drivers.modal.engine import SERVER
from peft_tui.drivers.modal.failures import Unimplemented
from peft_tui.drivers.modal.gpus import parse_rates
from peft_tui.drivers.modal.wire import (
    App,
    Budget,
    Container,
    ContainerInfo,
    Environment,
    Server,
    Version,
    cleaned_lines,
)
from peft_tui.text import clean_line

STOPPED_BY_CLIENT = 2
"""`AppStopSource` of the vendor's own SDK."""


class Control:
    """The questions, in the connection's environment."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

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
                environment_id=self.connection.environment_id,
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
            "AppList",
            "AppListRequest",
            urgency=Urgency.BACKGROUND,
            environment_name=self.connection.environment,
        )
        return [App.of(item) for item in answer.apps]

    async def containers(self, urgency: Urgency = Urgency.BACKGROUND) -> list[Container] | None:
        """Of all apps of the environment; None where the server does not tell."""
        try:
            answer = await self.connection.rpc(
                "TaskList", "TaskListRequest", urgency=urgency, environment_name=self.connection.environment
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
            environment_name=self.connection.environment,
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
            environment_name=self.connection.environment,
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
        """The last lines of its containers, oldest first; none where the server does not tell."""
        modal, where = (await self.connection.loaded()).modal, self.connection.environment
        try:
            async with self.connection.asking(safe=True) as client:
                app = await modal.App.lookup.aio(app_id, client=client, environment_name=where)
                entries = [entry async for entry in app.logs.tail.aio(limit)]
        except Unimplemented:
            return []
        entries.sort(key=lambda entry: entry.timestamp)
        return cleaned_lines(entry.message for entry in entries)[-limit:]

    # What is changed

    async def scale(self, name: str, bounds: Mapping[str, int | None]) -> None:
        """Set the autoscaler of the server in the app `name`: at once, without a rollout."""
        modal, where = (await self.connection.loaded()).modal, self.connection.environment
        async with self.connection.asking(safe=True) as client:
            server = modal.Server.from_name(name, SERVER, client=client, environment_name=where)
            await server.autoscaler.update.aio(**bounds)

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
            environment_name=self.connection.environment,
            object_creation_type=loaded.api.OBJECT_CREATION_TYPE_CREATE_OVERWRITE_IF_EXISTS,
            env_dict={key: value.reveal() for key, value in values.items()},
        )

    async def remove_secret(self, name: str) -> None:
        modal = (await self.connection.loaded()).modal
        async with self.connection.asking(safe=True) as client:
            await modal.Secret.objects.delete.aio(
                name, allow_missing=True, environment_name=self.connection.environment, client=client
            )

    # The tokens that open what is private

    @asynccontextmanager
    async def _proxy_tokens(self) -> AsyncIterator[Any]:
        modal = (await self.connection.loaded()).modal
        async with self.connection.asking(safe=True) as client:
            yield modal.Workspace.from_context(client=client).proxy_tokens

    async def make_proxy_token(self, name: str) -> tuple[Secret, Secret]:
        """A new one: its two halves, told once."""
        async with self._proxy_tokens() as tokens:
            made = await tokens.create.aio(name=name)
        return Secret(made.token_id), Secret(made.token_secret)

    async def lists_proxy_token(self, token_id: str) -> bool:
        """Whether it is among the workspace's."""
        async with self._proxy_tokens() as tokens:
            return token_id in {token.token_id for token in await tokens.list.aio()}

    async def remove_proxy_token(self, token_id: str) -> None:
        async with self._proxy_tokens() as tokens:
            await tokens.delete.aio(token_id)
