"""The last step of a create at Modal: have it boot, and see that it serves the adapter."""

from __future__ import annotations

from peft_tui.domain.errors import PlatformFailed, ResourceUnavailable, TimedOut
from peft_tui.drivers.hosts import Urgency
from peft_tui.drivers.modal.api import ModalApi
from peft_tui.drivers.modal.data_plane import Answer, Health
from peft_tui.drivers.modal.declaration import PRIVATE
from peft_tui.drivers.modal.wire import Container
from peft_tui.drivers.protocol import Outputs, StepContext

POLL_SECONDS = 3.0
LOST_SECONDS = 120.0
"""How long an address may not be known yet."""
MARGIN_SECONDS = 300.0
"""What a start may take beyond its limit: waiting for a GPU is not counted in it."""
CRASHES = 3


async def first_answer(api: ModalApi, context: StepContext) -> Outputs:
    """Have it boot, and see that it serves the adapter under its name."""
    url, app_id = context.outputs["endpoint_url"], context.outputs["app_id"]
    private = context.spec.text("visibility", PRIVATE) == PRIVATE
    token = await api.proxy_token() if private else None
    limit = context.spec.integer("startup_timeout", 1200) + MARGIN_SECONDS
    begun = context.clock.monotonic()
    # Why each of its containers ended, by id: the newest last.
    ended: dict[str, str] = {}
    seen: set[str] = set()
    while True:
        answer = await api.plane.health(url, token, Urgency.NORMAL)
        if answer.health is Health.READY:
            break
        _see_that_it_may(answer)
        containers = [c for c in await api.control.containers(Urgency.NORMAL) or () if c.app_id == app_id]
        for task_id in sorted(seen - {c.task_id for c in containers} - set(ended)):
            info = await api.control.container(task_id)
            ended[task_id] = (info.exception if info else "") or "without a reason"
        seen |= {c.task_id for c in containers}
        if len(ended) >= CRASHES:
            await _crashed(api, app_id, ended)
        waited = context.clock.monotonic() - begun
        if answer.health is Health.GONE and waited > LOST_SECONDS:
            raise PlatformFailed(
                f"Its address is not known there: {answer.said}",
                hint="It was stopped elsewhere, or could not be set up: see modal.com/apps.",
            )
        if waited > limit:
            raise TimedOut(
                f"It did not answer within {limit:.0f} s.",
                hint="Its container bills while it starts: stop it, or look at its logs and wait.",
            )
        context.report(None, None, _what_it_does(containers, ended))
        await context.clock.sleep(POLL_SECONDS)
    names = await api.plane.models(url, token)
    if context.remote_name not in names:
        raise PlatformFailed(
            f"It is up and does not serve {context.remote_name}, only {', '.join(names) or 'nothing'}.",
            hint="It is running and bills: stop it, and look at its logs.",
        )
    return {}


def _see_that_it_may(answer: Answer) -> None:
    """
    Raises:
        ResourceUnavailable, PlatformFailed: waiting longer would change nothing.
    """
    if answer.health is Health.DISABLED:
        raise ResourceUnavailable(
            f"Modal does not serve it: {answer.said}",
            hint="The workspace's spend limit is reached: see modal.com/settings/usage.",
        )
    if answer.health is Health.REFUSED:
        raise PlatformFailed(
            f"Its address does not take the proxy token: {answer.said}",
            hint="Check MODAL_PROXY_TOKEN_ID and _SECRET; where tokens are limited to environments, allow"
            " it there. The server is deployed and bills when it is asked.",
        )


def _what_it_does(containers: list[Container], ended: dict[str, str]) -> str:
    before = f"; {len(ended)} ended: {list(ended.values())[-1]}" if ended else ""
    if any(container.started_at for container in containers):
        return f"the container is starting{before}"
    return f"waiting for a GPU{before}" if containers else f"no container yet{before}"


async def _crashed(api: ModalApi, app_id: str, ended: dict[str, str]) -> None:
    # The next look must not call it asleep and well.
    api.watch.crashed(app_id, len(ended), list(ended.values())[-1])
    lines = await api.control.logs(app_id, 5)
    raise PlatformFailed(
        f"Its containers end before they answer: {list(ended.values())[-1]}",
        hint="It is still deployed: each request boots it again, and each try bills. Look at its logs, then"
        " delete it or change its settings.",
        detail="\n".join(lines),
    )
