"""What is left of Together's first generation: endpoints that serve and bill until they are stopped for good.

Since July 2026 none is made and none is started again (403); those that ran go on. They are listed, stopped
and deleted here, and nothing else (dossier §0, §5.9). The list names neither hardware nor price: what one
costs is not known.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from peft_tui.clock import Clock
from peft_tui.domain.errors import NotFound, PeftTuiError
from peft_tui.domain.status import Condition, Observation, Status
from peft_tui.drivers.hosts import Urgency
from peft_tui.drivers.protocol import Outputs, RemoteDeployment
from peft_tui.drivers.together.api import TogetherApi
from peft_tui.drivers.together.declaration import V1
from peft_tui.drivers.together.wire import Page
from peft_tui.drivers.wire import Text, Wire, moment, parse, parse_all, parse_page

MARK = "v1:"
"""Before its id, in `remote_id`: theirs and those of today are asked for at different addresses."""
PATH = "/v1/endpoints"
LOOK_SECONDS, AGAIN_SECONDS = 600.0, 60.0
"""Until the next look where there was none, for no new ones can come; and where it was not answered."""
STATES: dict[str, tuple[Status, Condition]] = {
    "PENDING": (Status.PENDING, Condition.NONE),
    "STARTING": (Status.DEPLOYING, Condition.NONE),
    "STARTED": (Status.ACTIVE, Condition.NONE),
    # It bills until it is STOPPED: not "stopped" before that was read.
    "STOPPING": (Status.ACTIVE, Condition.STOPPING),
    "STOPPED": (Status.STOPPED, Condition.NONE),
    "ERROR": (Status.FAILED, Condition.NONE),
}


class LegacyEndpoint(Wire):
    """As a list has it."""

    id: str
    name: Text = ""
    model: Text = ""
    type: Text = ""
    state: Text = ""
    created_at: str = ""


class Legacy:
    """The first generation's endpoints of one account."""

    def __init__(self, api: TogetherApi, clock: Clock) -> None:
        self._api = api
        self._clock = clock
        self._not_before = 0.0
        self._any = False

    async def deployments(self) -> list[RemoteDeployment]:
        """All of them. What this old list does not answer keeps nobody from today's."""
        if self._clock.monotonic() < self._not_before:
            return []
        try:
            query = {"type": "dedicated", "mine": "true"}
            body = await self._api.http.get(PATH, query, Urgency.BACKGROUND)
            page = parse_page(Page, body, "data", self._api.title)
            endpoints = await parse_all(LegacyEndpoint, page.data, self._api.title)
        except NotFound:
            endpoints = []
        except PeftTuiError:
            # Those that are known are asked for by their id, and else grow old.
            if not self._any:
                self._not_before = self._clock.monotonic() + AGAIN_SECONDS
            return []
        mine = [endpoint for endpoint in endpoints if endpoint.type in ("", "dedicated")]
        self._any = bool(mine)
        if not mine:
            self._not_before = self._clock.monotonic() + LOOK_SECONDS
        now = self._clock.now()
        return [
            RemoteDeployment(
                f"{MARK}{endpoint.id}",
                endpoint.name.rpartition("/")[2] or endpoint.id,
                observe(endpoint, now, self._api.inference_url),
                adapter=endpoint.model,
                created_at=moment(endpoint.created_at),
            )
            for endpoint in mine
        ]

    async def read(self, remote_id: str, urgency: Urgency) -> LegacyEndpoint | None:
        """One by its id; None when there is none."""
        try:
            body = await self._api.http.get(_path(remote_id), urgency=urgency)
        except NotFound:
            return None
        return parse(LegacyEndpoint, body, self._api.title)


def is_legacy(remote_id: str) -> bool:
    return remote_id.startswith(MARK)


def observe(endpoint: LegacyEndpoint, now: datetime, url: str) -> Observation:
    """What the list says of one; how many instances it has is not in it."""
    unknown = (Status.DEPLOYING, Condition.NONE)
    status, condition = STATES.get(endpoint.state, unknown)
    stopped = endpoint.state == "STOPPED"
    return Observation(
        status,
        now,
        platform_status=endpoint.state,
        reason="" if stopped else "of Together's first generation: once stopped it cannot be started again",
        condition=condition,
        ready_instances=0 if stopped else None,
        billed_instances=0 if stopped else None,
        instance_type=V1,
        usd_per_hour=Decimal(0) if stopped else None,
        endpoint_url=url,
        model=endpoint.name,
    )


async def stop(api: TogetherApi, remote_id: str) -> Outputs:
    try:
        await api.http.request("PATCH", _path(remote_id), body={"state": "STOPPED"}, urgency=Urgency.STOP)
    except NotFound:
        return {"absent": True}
    return {}


async def delete(api: TogetherApi, remote_id: str) -> Outputs:
    try:
        await api.http.request("DELETE", _path(remote_id))
    except NotFound:
        pass
    return {}


def _path(remote_id: str) -> str:
    return f"{PATH}/{remote_id.removeprefix(MARK)}"
