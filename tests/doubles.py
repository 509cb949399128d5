"""Doubles of the two things that no test may depend on: time, and a platform."""

from __future__ import annotations

import asyncio
import heapq
import uuid
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from peft_tui.domain.adapter import Adapter, AdapterSource, SourceKind
from peft_tui.domain.deployment import Deployment, Origin, remote_name
from peft_tui.domain.errors import Conflict, ConnectionFailed, Effect, PeftTuiError, TimedOut
from peft_tui.domain.inference import Dialect, InferenceTarget, Role, ServedModel
from peft_tui.domain.offers import (
    Account,
    Assessment,
    Capabilities,
    InstanceType,
    PlannedStep,
    PlatformModel,
)
from peft_tui.domain.operation import AWAIT_ACTIVE, Operation, OperationKind, OperationState, OperationStep
from peft_tui.domain.spec import DeploymentSpec
from peft_tui.domain.status import Observation, Status
from peft_tui.drivers.protocol import Event, Outputs, RemoteDeployment, StepContext
from peft_tui.store import Store

NOON = datetime(2026, 3, 14, 12, 0, tzinfo=UTC)
PATIENCE_SECONDS = 60.0
"""How long a fact may take on a busy machine."""


async def until(fact: Callable[[], bool], complaint: str = "it never came true") -> None:
    """Let everybody else run until `fact`. Threads (the store's) take real time; nobody sleeps through it."""
    loop = asyncio.get_running_loop()
    end = loop.time() + PATIENCE_SECONDS
    while not fact():
        assert loop.time() < end, complaint
        await asyncio.sleep(0)


async def until_true(fact: Callable[[], Awaitable[bool]]) -> None:
    """As `until`, for a fact that has to be asked for."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not await fact():
            await asyncio.sleep(0.01)


async def finished(task: asyncio.Task[Any]) -> Any:
    """Its result, with an end to the waiting."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        return await task


class VirtualClock:
    """Time that passes when it is told to: by `advance`, or by itself where `leaps`."""

    def __init__(self, now: datetime = NOON, *, leaps: bool = False) -> None:
        self.begin = now
        self.leaps = leaps
        """True: whoever sleeps is woken at once, that much later."""
        self.slept: list[float] = []
        """What was asked for, in order."""
        self._elapsed = 0.0
        self._waiting: list[tuple[float, int, asyncio.Future[None]]] = []

    def now(self) -> datetime:
        return self.begin + timedelta(seconds=self._elapsed)

    def monotonic(self) -> float:
        return self._elapsed

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        if self.leaps:
            self._elapsed += seconds
            await asyncio.sleep(0)
            return
        woken = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (self._elapsed + seconds, len(self.slept), woken))
        await woken

    @property
    def sleepers(self) -> int:
        return sum(not woken.done() for _, _, woken in self._waiting)

    async def until_asleep(self, count: int = 1) -> None:
        """Let the others run until that many of them sleep."""
        await until(lambda: self.sleepers >= count, f"{self.sleepers} asleep, not {count}")

    async def advance(self, seconds: float) -> None:
        """Let time pass: sleepers are woken in the order of their time, and run before the next one is."""
        end = self._elapsed + seconds
        await _others()
        while self._waiting and self._waiting[0][0] <= end:
            at, _, woken = heapq.heappop(self._waiting)
            if not woken.done():
                self._elapsed = max(self._elapsed, at)
                woken.set_result(None)
                await _others()
        self._elapsed = end
        await _others()


async def _others() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


# A platform that does what it is told to


class Crash(BaseException):
    """The process died here."""


@dataclass(frozen=True, slots=True)
class Lost:
    """The work is done, the answer is not heard."""

    error: BaseException = field(
        default_factory=lambda: TimedOut("No answer.", effect=Effect.UNKNOWN, transient=True)
    )


def broken(**more: Any) -> ConnectionFailed:
    """An error that passes, with nothing done."""
    return ConnectionFailed("The line is broken.", transient=True, **more)


Script = PeftTuiError | BaseException | Lost | Callable[[StepContext], Awaitable[None]]


class ScriptedDriver:
    """A `Driver` with a world of its own.

    `script[step]` says how the next calls of `act` end, `looks[step]` the same for `find`: an error is raised
    with nothing done, `Lost` after the work is done, a function is awaited before the work. When a script is
    used up, everything goes well.
    """

    def __init__(self, *, account: str = "acme", repeatable: Sequence[str] = ()) -> None:
        self.capabilities = capabilities()
        self.account_id = account
        self.repeatables = set(repeatable)
        self.script: dict[str, deque[Script]] = {}
        self.looks: dict[str, deque[Script]] = {}
        self.accounts: deque[PeftTuiError] = deque()
        self.lists: deque[PeftTuiError | Sequence[RemoteDeployment]] = deque()
        """Answers of `deployments`; the last one stays."""
        self.existing: set[str] = set()
        """Remote ids that are there, whatever the list says."""
        self.denials: deque[PeftTuiError] = deque()
        self.reasons: deque[str | PeftTuiError] = deque()
        self.unique_names = False
        """True: what is made twice is refused with `Conflict`."""
        self.lag = 0
        """How many looks do not show yet what was made."""
        self.trap: Callable[[str], None] = lambda point: None
        """Called at each point where a process may die."""
        self.calls: list[str] = []
        self.target: InferenceTarget | PeftTuiError = TARGET
        self.world: dict[tuple[str, str], int] = {}
        """How often each step was carried out for each remote name."""

    def will(self, step: str, *ends: Script) -> None:
        self.script[step] = deque(ends)

    def will_look(self, step: str, *ends: Script) -> None:
        self.looks[step] = deque(ends)

    def made(self, step: str) -> int:
        return sum(count for (key, _), count in self.world.items() if key == step)

    async def account(self) -> Account:
        self.calls.append("account")
        if self.accounts:
            raise self.accounts.popleft()
        return Account(self.account_id, self.account_id)

    async def instance_types(self) -> tuple[InstanceType, ...]:
        self.calls.append("instance types")
        return (InstanceType("gpu-1", "one GPU", None),)

    async def models(self) -> tuple[PlatformModel, ...]:
        self.calls.append("models")
        return (PlatformModel("acme/llm", "llm"),)

    async def assess(self, source: AdapterSource, adapter: Adapter | None) -> Assessment:
        self.calls.append(f"assess {source.reference}")
        return Assessment((), adapter.base_model if adapter else "")

    async def deployments(self) -> tuple[RemoteDeployment, ...]:
        self.calls.append("deployments")
        if not self.lists:
            return ()
        answer = self.lists.popleft() if len(self.lists) > 1 else self.lists[0]
        if isinstance(answer, PeftTuiError):
            raise answer
        return tuple(answer)

    async def explain(self, remote: RemoteDeployment) -> Observation:
        self.calls.append(f"explain {remote.remote_name}")
        reason = self.reasons.popleft()
        if isinstance(reason, PeftTuiError):
            raise reason
        said = remote.observation
        return Observation(said.status, said.observed_at, said.platform_status, reason)

    async def exists(self, remote_id: str) -> bool:
        self.calls.append(f"exists {remote_id}")
        if self.denials:
            raise self.denials.popleft()
        return remote_id in self.existing

    def repeatable(self, step: str) -> bool:
        return step in self.repeatables

    async def find(self, step: str, context: StepContext) -> Outputs | None:
        self.calls.append(f"find {step}")
        self.trap(f"before find {step}")
        await self._played(self.looks.get(step), context)
        if (step, context.remote_name) not in self.world:
            return None
        if self.lag:
            self.lag -= 1
            return None
        return self.outputs(step, context)

    async def act(self, step: str, context: StepContext) -> Outputs:
        self.calls.append(f"act {step}")
        self.trap(f"before {step}")
        lost = await self._played(self.script.get(step), context)
        if self.unique_names and (step, context.remote_name) in self.world:
            raise Conflict(f"{context.remote_name} is taken.")
        if step not in self.repeatables:
            key = (step, context.remote_name)
            self.world[key] = self.world.get(key, 0) + 1
        self.trap(f"after {step}")
        if lost is not None:
            raise lost.error
        return self.outputs(step, context)

    async def inference(self, deployment: Deployment) -> InferenceTarget:
        self.calls.append(f"inference {deployment.name}")
        if isinstance(self.target, PeftTuiError):
            raise self.target
        return self.target

    async def events(self, remote_id: str) -> tuple[Event, ...]:
        self.calls.append(f"events {remote_id}")
        return (Event(NOON, "it began"),)

    async def logs(self, remote_id: str, limit: int) -> tuple[str, ...]:
        self.calls.append(f"logs {remote_id}")
        return ("a line",)

    def outputs(self, step: str, context: StepContext) -> Outputs:
        return {f"{step}_id": f"{step}-of-{context.remote_name}"}

    async def _played(self, script: deque[Script] | None, context: StepContext) -> Lost | None:
        end = script.popleft() if script else None
        if isinstance(end, Lost):
            return end
        if isinstance(end, BaseException):
            raise end
        if end is not None:
            await end(context)
        return None


TARGET = InferenceTarget(
    Dialect.OPENAI_CHAT,
    "http://127.0.0.1:9/v1",
    (ServedModel("bot-lora", "acme/bot"), ServedModel("base", "the base", Role.BASE)),
)
PLATFORM = "scripted"
PLAN = (
    PlannedStep("model", "make the model"),
    PlannedStep("check", "check it"),
    PlannedStep("machine", "start the machine", bills=True),
    PlannedStep("traffic", "send it traffic"),
)
AWAITED = (*PLAN, PlannedStep(AWAIT_ACTIVE, "wait until it is active"))


def capabilities(**more: Any) -> Capabilities:
    facts: dict[str, Any] = {
        "platform": PLATFORM,
        "title": "Scripted",
        "best_for": "tests",
        "credentials": (),
        "sources": {},
        "no_sources": {},
        "settings": (),
        "scale_to_zero": False,
        "plan": lambda spec: PLAN,
        "guard": lambda settings: "",
    }
    return Capabilities(**{**facts, **more})


def deployment(
    name: str = "bot",
    *,
    identity: str = "",
    account: str = "",
    settings: Mapping[str, Any] | None = None,
    **more: Any,
) -> Deployment:
    """One that was asked for and of which nothing was heard yet."""
    identity = identity or uuid.uuid5(uuid.NAMESPACE_DNS, name).hex
    spec = DeploymentSpec(
        name, PLATFORM, AdapterSource(SourceKind.DIRECTORY, "/tmp/adapter"), "base", settings or {}
    )
    facts: dict[str, Any] = {"remote_id": "", "created_at": NOON, **more}
    return Deployment(identity, spec, Origin.OURS, account, remote_name(name, identity), **facts)


def operation(of: Deployment, plan: Sequence[PlannedStep] = PLAN, *, at: datetime = NOON) -> Operation:
    steps = tuple(OperationStep(seq, step.key, step.title, bills=step.bills) for seq, step in enumerate(plan))
    return Operation(
        f"op-{of.id}-{at.timestamp():.0f}",
        of.id,
        OperationKind.CREATE,
        OperationState.QUEUED,
        at,
        at,
        steps,
    )


async def intend(store: Store, wanted: Deployment, plan: Sequence[PlannedStep] = PLAN) -> Operation:
    """Write down that it is wanted."""
    asked = operation(wanted, plan)
    async with store.database.transaction(durable=True) as transaction:
        await store.deployments.insert(transaction, wanted)
        await store.operations.insert(transaction, asked)
    return asked


def seen(status: Status = Status.ACTIVE, at: datetime = NOON, **more: Any) -> Observation:
    return Observation(status, at, **{"platform_status": status.upper(), **more})


async def see(
    store: Store, identity: str, observation: Observation, *, listed: bool = True, remote_id: str = ""
) -> None:
    """Write what was seen of a deployment that is in the store."""
    current = await store.deployments.get(identity)
    assert current is not None
    async with store.database.transaction() as transaction:
        await store.deployments.observe(transaction, current, observation, listed=listed, remote_id=remote_id)


def remote(name: str, status: Status = Status.ACTIVE, at: datetime = NOON, **more: Any) -> RemoteDeployment:
    """A deployment in a platform's list."""
    facts = {key: more.pop(key) for key in tuple(more) if key in RemoteDeployment.__slots__}
    facts = {"adapter": "ml_1", "remote_id": f"id-of-{name}", **facts}
    return RemoteDeployment(remote_name=name, observation=seen(status, at, **more), **facts)
