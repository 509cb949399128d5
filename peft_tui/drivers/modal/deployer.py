"""Images and deployments: what a server is made of is built, and put into service."""

from __future__ import annotations

import asyncio
from typing import Any

from peft_tui.domain.errors import PeftTuiError, PlatformFailed
from peft_tui.drivers.modal.connection import Connection
from peft_tui.drivers.modal.engine import SERVER, ServerPlan
from peft_tui.drivers.modal.failures import TITLE
from peft_tui.drivers.modal.wire import cleaned_lines
from peft_tui.text import clean_line

BUILD_SECONDS = 45 * 60.0
DEPLOY_SECONDS = 10 * 60.0
LOG_LINES = 12
"""Of a build that failed."""
TAGS = {"managed-by": "peft-tui"}


class Deployer:
    """From a plan to a server, in the connection's environment."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

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
                async with app.run.aio(client=client, environment_name=self.connection.environment):
                    await image.build.aio(app)
            except loaded.errors.ImageBuildError as error:
                raise await self._build_failed(client, error) from error
            return str(image.object_id)

    async def deploy(self, plan: ServerPlan) -> str:
        """Deploy under the plan's name; the app's id. The same plan a second time changes nothing."""
        loaded = await self.connection.loaded()
        modal = loaded.modal
        where = self.connection.environment
        async with self.connection.asking(safe=False, urgency=None, seconds=DEPLOY_SECONDS) as client:
            volumes: dict[str, Any] = {}
            for path, name in plan.volumes.items():
                volumes[path] = modal.Volume.from_name(name, environment_name=where, create_if_missing=True)
            for path, name in plan.read_only.items():
                volumes[path] = modal.Volume.from_name(name, environment_name=where).read_only()
            secrets = []
            if plan.secret:
                secrets.append(modal.Secret.from_name(plan.secret, environment_name=where))
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
                await app.deploy.aio(name=plan.name, environment_name=where, client=client)
            except loaded.errors.ImageBuildError as error:
                raise await self._build_failed(client, error) from error
            return str(app.app_id)

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
        last = [line for line in cleaned_lines(printed) if line.strip()][-LOG_LINES:]
        said = clean_line(error, 200)
        return PlatformFailed(
            f"{TITLE} could not build the image: {last[-1] if last else said}",
            hint="Nothing was deployed, and nothing bills that did not before. Check the engine's image, and"
            " try again.",
            detail="\n".join(last) or said,
        )


def _image(modal: Any, plan: ServerPlan) -> Any:
    """Two layers: what is pulled is shared by all deployments of one engine, what differs is on top."""
    return modal.Image.from_registry(plan.image).dockerfile_commands(plan.dockerfile)
