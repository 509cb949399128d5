"""What do the platforms say? Every five seconds, one list a platform, however many deployments it has."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from datetime import datetime

from peft_tui.clock import Clock
from peft_tui.domain.adapter import AdapterSource, SourceKind
from peft_tui.domain.deployment import Deployment, Origin, looks_like_ours
from peft_tui.domain.errors import ConfigurationInvalid, ConnectionFailed, PeftTuiError
from peft_tui.domain.operation import Operation, OperationKind
from peft_tui.domain.spec import DeploymentSpec, Settings, Value
from peft_tui.domain.status import Condition, Observation, Status, gone
from peft_tui.drivers.protocol import Dated, Describer, Driver, RemoteDeployment
from peft_tui.store import Store, StoreError
from peft_tui.workers.unasked import is_silent, with_reason

log = logging.getLogger(__name__)

PERIOD_SECONDS = 5.0
LONGEST_SILENCE_SECONDS = 120.0
"""However long a platform asks us to stay away."""
ASKED_FOR = 20
"""How many that a list left out are asked for by their id in one tick."""
DELETED = "the platform does not have it any more"
DELETED_ELSEWHERE = f"{DELETED}: deleted elsewhere"


class Refresh:
    """One platform's loop body."""

    def __init__(
        self,
        platform: str,
        driver: Driver,
        store: Store,
        clock: Clock,
        nobody_serves: Callable[[str], AbstractContextManager[bool]] = lambda account: nullcontext(True),
    ) -> None:
        self._nobody_serves = nobody_serves
        self._platform = platform
        self._driver = driver
        self._store = store
        self._clock = clock
        self._not_before = 0.0
        self._account = ""
        self._error: tuple[str, str] | None = None
        self._explained: dict[str, tuple[str, str]] = {}
        """State and reason by remote id."""
        self._described: set[str] = set()
        """What was adopted, and whose settings were read since the start."""

    async def whose(self) -> str | None:
        """The account; None when it cannot be asked now, which is written down."""
        if self._clock.monotonic() < self._not_before:
            return None
        try:
            self._account = (await self._driver.account()).id
        except PeftTuiError as error:
            await self._failed(error)
        except Exception as error:
            await self._broke(error)
        else:
            return self._account
        return None

    async def tick(self) -> None:
        """Ask once and write what is new; an error is written too, and nothing is thrown."""
        if self._clock.monotonic() < self._not_before:
            return
        try:
            account = self._account = (await self._driver.account()).id
            # An answer tells how things stood when it was asked for, not when it came.
            asked = self._clock.now()
            remotes = await self._driver.deployments()
            known = await self._store.deployments.of_account(self._platform, account)
            # Ten thousand of them take a while to compare, and no key should wait for it.
            pairs = await asyncio.to_thread(_pairs, remotes, known, asked)
            unclear = {remote.remote_id for _, remote in pairs if remote.needs_explaining}
            self._explained = {key: said for key, said in self._explained.items() if key in unclear}
            explained = [
                await self._explain(mine, remote) if remote.needs_explaining else remote.observation
                for mine, remote in pairs
            ]
            offers = self._driver.capabilities
            explained = [
                await with_reason(self._store, offers, mine, seen)
                if mine is not None and is_silent(mine, seen)
                else seen
                for (mine, _), seen in zip(pairs, explained, strict=True)
            ]
            listed = {mine.id for mine, _ in pairs if mine is not None}
            left_out = [d for d in known if d.id not in listed and _was_there(d)]
            missing = [await self._missing(d) for d in left_out[:ASKED_FOR]]
            missing += [(deployment, False) for deployment in left_out[ASKED_FOR:]]
            await self._write(account, pairs, explained, missing, asked)
            await self._describe(pairs)
        except PeftTuiError as error:
            await self._failed(error)
        except StoreError:
            raise
        except Exception as error:
            await self._broke(error)
        else:
            self._error = None

    async def _write(
        self,
        account: str,
        pairs: list[tuple[Deployment | None, RemoteDeployment]],
        observations: list[Observation],
        missing: list[tuple[Deployment, bool]],
        now: datetime,
    ) -> None:
        store = self._store
        news = await asyncio.to_thread(_news, pairs, observations)
        unclear = await store.operations.unclear(self._platform)
        over = await self._over(account)
        async with store.database.transaction() as transaction:
            for mine, remote, observation in news:
                if mine is None:
                    mine = _found(self._platform, account, remote, now)
                    await store.deployments.insert(transaction, mine)
                await store.deployments.observe(
                    transaction, mine, observation, remote_id=remote.remote_id, account=account
                )
            for operation in _that_serve(unclear, pairs, observations):
                await store.operations.turned_out_well(transaction, operation, now)
            for deployment, is_gone in missing:
                if is_gone:
                    doing = deployment.under_way
                    ours = doing is not None and doing.kind is OperationKind.DELETE
                    seen = gone(now, DELETED if ours else DELETED_ELSEWHERE)
                    await store.deployments.observe(transaction, deployment, seen, listed=False)
                elif deployment.listed:
                    await store.deployments.missed(transaction, deployment)
            ahead = self._driver.ahead if isinstance(self._driver, Dated) else None
            await store.platforms.listed(
                transaction, self._platform, now, ahead, account=account, clears=over
            )
            await store.billing.watched(transaction, self._platform, account, now)

    async def _over(self, account: str) -> tuple[str, ...]:
        """Whose errors nobody takes back any more: those of an account that no window looks at."""
        failing = await self._store.platforms.failing(self._platform)
        if failing in ("", account):
            return ()
        with self._nobody_serves(failing) as nobody:
            return (failing,) if nobody else ()

    async def _describe(self, pairs: list[tuple[Deployment | None, RemoteDeployment]]) -> None:
        """Take over how what was adopted is set up there: an update or a start begins from that."""
        if not isinstance(self._driver, Describer):
            return
        unread = await self._store.deployments.adopted(self._platform) - self._described
        due = [(mine, remote) for mine, remote in pairs if mine is not None and mine.id in unread]
        for mine, remote in due[:ASKED_FOR]:
            try:
                told = self._valid(await self._driver.settings_of(remote))
            except PeftTuiError:
                # Asked for again at the next tick.
                continue
            self._described.add(mine.id)
            news = {key: value for key, value in told.items() if mine.spec.settings.get(key) != value}
            if news:
                async with self._store.database.transaction() as transaction:
                    await self._store.deployments.change(transaction, mine.id, news)

    def _valid(self, told: Settings) -> dict[str, Value]:
        """Without what could not be asked for here."""
        found: dict[str, Value] = {}
        for key, value in told.items():
            setting = self._driver.capabilities.setting(key)
            try:
                parsed = setting.parse(str(value)) if setting is not None and setting.supported else None
            except ConfigurationInvalid:
                continue
            if parsed is not None:
                found[key] = parsed
        return found

    async def _missing(self, deployment: Deployment) -> tuple[Deployment, bool]:
        """One that the list left out, and whether it is gone: a list may lag, or be half of one.

        Gone is only what the platform denies when it is asked for by its id.
        """
        try:
            return deployment, not await self._driver.exists(deployment.remote_id)
        except PeftTuiError:
            # Not known: it stays as it was last seen, and grows old.
            return deployment, False

    async def _explain(self, mine: Deployment | None, remote: RemoteDeployment) -> Observation:
        """The observation with the platform's reason, which is asked for once a state."""
        state = remote.observation.platform_status
        seen = mine.observation if mine else None
        if remote.remote_id not in self._explained and seen and seen.platform_status == state and seen.reason:
            self._explained[remote.remote_id] = (state, seen.reason)
        if self._explained.get(remote.remote_id, ("", ""))[0] != state:
            try:
                self._explained[remote.remote_id] = (state, (await self._driver.explain(remote)).reason)
            except PeftTuiError:
                # The state itself is known; why can be asked for at the next tick.
                return replace(remote.observation, reason=seen.reason) if seen else remote.observation
        return replace(remote.observation, reason=self._explained[remote.remote_id][1])

    async def _broke(self, error: Exception) -> None:
        """A bug of ours: whoever looks at the list must not take it for the platform's last word."""
        log.exception("the look at %s", self._platform)
        await self._failed(
            PeftTuiError(
                f"peft-tui itself failed at reading its list ({type(error).__name__}).",
                hint="Please report it, with the log. The platform's own page shows what runs.",
            )
        )

    async def _failed(self, error: PeftTuiError) -> None:
        if error.status is not None and error.retry_after is not None:
            # Asked by the platform to stay away for a while. A breaker of our own lets its probe through.
            self._not_before = self._clock.monotonic() + min(error.retry_after, LONGEST_SILENCE_SECONDS)
        # A breaker's "asking again in 7 s" says less than what opened it, and changes every time.
        echo = isinstance(error, ConnectionFailed) and error.retry_after is not None
        same = self._error is not None and (echo or self._error[0] == error.kind)
        if not same:
            self._error = (error.kind, error.message)
            told, now = error.as_dict(), self._clock.now()
            await self._store.platforms.failed(self._platform, told, now, self._account)


def _distinct(remotes: Iterable[RemoteDeployment]) -> list[RemoteDeployment]:
    """Each once, although pages may shift while they are read; a second one of the same name by its id."""
    by_id = {remote.remote_id: remote for remote in remotes}
    names: set[str] = set()
    distinct = []
    for remote in by_id.values():
        if remote.remote_name in names:
            remote = replace(remote, remote_name=remote.remote_id)
        names.add(remote.remote_name)
        distinct.append(remote)
    return distinct


def _pairs(
    remotes: Iterable[RemoteDeployment], known: list[Deployment], asked: datetime
) -> list[tuple[Deployment | None, RemoteDeployment]]:
    """Each listed one, with the one of ours that it is."""
    by_id = {d.remote_id: d for d in known if d.remote_id}
    by_name = {d.remote_name: d for d in known}
    return [
        (by_id.get(r.remote_id) or by_name.get(r.remote_name), _as_of(asked, r)) for r in _distinct(remotes)
    ]


def _news(
    pairs: list[tuple[Deployment | None, RemoteDeployment]], observations: list[Observation]
) -> list[tuple[Deployment | None, RemoteDeployment, Observation]]:
    """Those of which something is to be written."""
    return [
        (mine, remote, observation)
        for (mine, remote), observation in zip(pairs, observations, strict=True)
        if mine is None or not _unchanged(mine, remote, observation)
    ]


def _that_serve(
    unclear: Iterable[Operation],
    pairs: list[tuple[Deployment | None, RemoteDeployment]],
    observations: list[Observation],
) -> list[Operation]:
    """Those whose deployment is listed as active: a restored store does not know how they ended."""
    wanted = {operation.deployment_id: operation for operation in unclear}
    if not wanted:
        return []
    return [
        wanted[mine.id]
        for (mine, _), seen in zip(pairs, observations, strict=True)
        if mine is not None and mine.id in wanted
        if seen.status is Status.ACTIVE and seen.condition is not Condition.STOPPING
    ]


def _found(platform: str, account: str, remote: RemoteDeployment, now: datetime) -> Deployment:
    """A deployment that the platform lists and this store did not make."""
    spec = DeploymentSpec(
        remote.remote_name,
        platform,
        AdapterSource(SourceKind.PLATFORM, remote.adapter),
        remote.base_model,
    )
    origin = Origin.ORPHAN if looks_like_ours(remote.remote_name) else Origin.FOUND
    return Deployment(
        uuid.uuid4().hex,
        spec,
        origin,
        account,
        remote.remote_name,
        remote.remote_id,
        remote.created_at or now,
    )


def _unchanged(mine: Deployment, remote: RemoteDeployment, observation: Observation) -> bool:
    """Everything but the time is as it was written last."""
    before = mine.observation
    return (
        before is not None
        and mine.listed
        and mine.remote_id == remote.remote_id
        # A time that has not come yet is of a clock that was wrong: it is written anew.
        and before.observed_at <= observation.observed_at
        and replace(before, observed_at=observation.observed_at) == observation
    )


def _was_there(deployment: Deployment) -> bool:
    """It was seen once, and not found to be gone."""
    return deployment.observation is not None and deployment.condition is not Condition.GONE


def _as_of(asked: datetime, remote: RemoteDeployment) -> RemoteDeployment:
    return replace(remote, observation=replace(remote.observation, observed_at=asked))
