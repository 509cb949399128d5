"""Deployments: ask for one, find one, sum them up."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import TYPE_CHECKING

from peft_tui.clock import Clock
from peft_tui.domain.deployment import Deployment, Origin, remote_name, unmarked
from peft_tui.domain.errors import (
    ConfigurationInvalid,
    NotFound,
    NotLikeThis,
    NotUsable,
    PeftTuiError,
    read_only,
)
from peft_tui.domain.operation import Operation, OperationKind, OperationState, OperationStep
from peft_tui.domain.spec import DeploymentSpec
from peft_tui.domain.status import Status
from peft_tui.drivers import capabilities
from peft_tui.store import Store

if TYPE_CHECKING:
    from peft_tui.domain.offers import Capabilities

TAKEN = "taken by another deployment here"


@dataclass(frozen=True, slots=True)
class Summary:
    """The numbers of the header."""

    total: int
    active: int
    deploying: int
    failed: int
    usd_per_hour: Decimal
    """Of everything whose cost is known."""
    unpriced: int
    """How many bill now at a price that is not known."""
    is_guess: bool = False
    """Some of it is not what the platform says."""


class DeploymentService:
    """The verbs on deployments."""

    def __init__(
        self, store: Store, clock: Clock, trouble: PeftTuiError | None = None, *, looks_only: bool = False
    ) -> None:
        """`trouble` is why the store is none that lasts: then nothing that bills is begun."""
        self._store = store
        self._clock = clock
        self._trouble = trouble
        self._looks_only = looks_only

    async def problems(self, spec: DeploymentSpec, instead_of: str = "") -> dict[str, str]:
        """What cannot be, by field (`name`, `source`, or a setting's key); empty when it can be asked for."""
        offers, spec = _completed(spec)
        found = offers.problems(spec.settings)
        if problem := offers.name_rule.problem(spec.name):
            found["name"] = problem
        elif await self.name_is_taken(spec.name, instead_of):
            found["name"] = TAKEN
        if reason := offers.no_sources.get(spec.source.kind):
            found["source"] = reason
        elif not spec.source.reference:
            found["source"] = "an adapter is needed"
        if not spec.instance_type and offers.setting("instance_type"):
            found.setdefault("instance_type", "an instance type is needed")
        return found

    async def name_is_taken(self, name: str, instead_of: str = "") -> bool:
        return await self._store.deployments.name_is_taken(name, but=instead_of)

    async def deploy(self, spec: DeploymentSpec, account: str = "", *, instead_of: str = "") -> Deployment:
        """Write the intent; the operations worker carries it out, in this process or the next.

        Args:
            account: whose price was shown. With another account's key it is not carried out.
            instead_of: one that failed: its name may be taken over, and it is deleted. Both are written
                down together, or neither.

        Raises:
            ConfigurationInvalid, Conflict: it cannot be; nothing was written and nothing will be sent.
        """
        if self._looks_only:
            raise read_only()
        if self._trouble is not None:
            raise NotUsable(
                f"Nothing is deployed while the store cannot be used: {self._trouble.message}",
                hint=f"Without it a create could not be kept to once. {self._trouble.hint}",
            )
        offers, spec = _completed(spec)
        if problems := await self.problems(spec, instead_of):
            if problems == {"name": TAKEN}:
                raise taken(spec.name)
            raise cannot_be(problems)
        now = self._clock.now()
        deployment_id = uuid.uuid4().hex
        deployment = Deployment(
            deployment_id, spec, Origin.OURS, account, remote_name(spec.name, deployment_id), "", now
        )
        operation = Operation(
            uuid.uuid4().hex,
            deployment_id,
            OperationKind.CREATE,
            OperationState.QUEUED,
            now,
            now,
            tuple(
                OperationStep(seq, step.key, step.title, bills=step.bills)
                for seq, step in enumerate(offers.plan(spec))
            ),
        )
        async with self._store.database.transaction(durable=True) as transaction:
            # Looked up once more under the lock: two windows may ask for the same name at once.
            if await self._store.deployments.name_is_taken(spec.name, transaction, but=instead_of):
                raise taken(spec.name)
            if instead_of:
                # It knows what is offered: the first frame goes without.
                from peft_tui.services.life import LifeService

                await LifeService(self._store, self._clock).give_way(transaction, instead_of)
            await self._store.deployments.insert(transaction, deployment)
            await self._store.operations.insert(transaction, operation)
        return deployment

    async def find(self, name: str, platform: str = "") -> Deployment:
        """The one that a person means by `name`, at `platform` if one is named.

        Raises:
            NotFound: none.
            Conflict: several; the message names them.
        """
        named = await self._store.deployments.named(name)
        if not named:
            # Made here before the store was lost, or by another one: its name there is ours with a mark.
            everything = await self._store.deployments.all()
            named = [d for d in everything if d.origin is Origin.ORPHAN and unmarked(d.remote_name) == name]
        found = [deployment for deployment in named if platform in ("", deployment.platform)]
        ours = [deployment for deployment in found if deployment.origin is Origin.OURS]
        living = [deployment for deployment in ours if not _leaves(deployment)]
        found = living or ours[-1:] or found
        if not found:
            raise NotFound(f"There is no deployment named “{name}”.", hint="peft-tui list shows them all.")
        if len(found) > 1:
            raise NotLikeThis(
                f"{len(found)} deployments are named “{name}”.",
                hint="Use one of their remote names: " + ", ".join(d.remote_name for d in found),
            )
        return found[0]


def taken(name: str) -> NotLikeThis:
    """Another one here has it."""
    return NotLikeThis(
        f"There is a deployment named “{name}” already.", hint="Choose another name; nothing was sent."
    )


def cannot_be(problems: Mapping[str, str], hint: str = "") -> ConfigurationInvalid:
    """All of what `problems` found, to be mended in one go; `hint` says how, where that is known."""
    sentences = "; ".join(f"{key}: {sentence}" for key, sentence in problems.items())
    return ConfigurationInvalid(sentences, hint=f"{hint} Nothing was sent and nothing bills.".strip())


def _leaves(deployment: Deployment) -> bool:
    """Its name means another one, where there is another one."""
    under_way = deployment.under_way
    deleted = under_way is not None and under_way.kind is OperationKind.DELETE
    return deleted or deployment.came_to_nothing


def _completed(spec: DeploymentSpec) -> tuple[Capabilities, DeploymentSpec]:
    """The platform's declaration, and the spec with its default for every setting that was left empty."""
    offers = capabilities(spec.platform)
    given = {key: value for key, value in spec.settings.items() if value not in (None, "")}
    return offers, replace(spec, settings={**offers.defaults(), **given})


def summarize(deployments: Iterable[Deployment]) -> Summary:
    """Count, and add up what bills now."""
    total = active = deploying = failed = unpriced = 0
    guess = False
    cost = Decimal(0)
    for deployment in deployments:
        total += 1
        status = deployment.standing
        active += status is Status.ACTIVE
        deploying += status in (Status.DEPLOYING, Status.PENDING)
        failed += status is Status.FAILED
        observation = deployment.observation
        if observation is None or deployment.started_unseen:
            # Asked for, and not in a list yet: it may bill already.
            unpriced += deployment.bills
            continue
        if observation.usd_per_hour is not None:
            cost += observation.usd_per_hour
            guess |= deployment.is_guess
        elif observation.billed_instances is None or observation.billed_instances > 0:
            unpriced += status is not Status.STOPPED
    return Summary(total, active, deploying, failed, cost, unpriced, guess)
