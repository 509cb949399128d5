"""What a person is asked before a verb, and what is written down once she agrees.

Loaded with the first question: the dialogs and the plans of the drivers are not for the first frame.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

from peft_tui.backend import Backend
from peft_tui.domain.deployment import Deployment
from peft_tui.domain.errors import NotPossible
from peft_tui.domain.operation import OperationKind
from peft_tui.services.previews import may_carry, preview
from peft_tui.ui.costs import coming, sums
from peft_tui.ui.screens.dialogs import ConfirmScreen, VersionsScreen, question
from peft_tui.ui.screens.dialogs.question import LeftOut
from peft_tui.ui.screens.update import UpdateScreen
from peft_tui.ui.verbs import Verb

if TYPE_CHECKING:
    from peft_tui.ui.application import Application

LATELY = timedelta(minutes=15)
"""A deployment that was asked something within this time is one that somebody relies on."""

Write = Callable[[Deployment], Awaitable[object]]
"""Writes the intent for one deployment."""


class Consent:
    """Asks with the dialogs of `app`; each answer is what to write, or None for a no."""

    def __init__(self, app: Application, backend: Backend) -> None:
        self._app = app
        self._backend = backend

    async def to(
        self, verb: Verb, able: Sequence[Deployment], left_out: Sequence[LeftOut] = ()
    ) -> Write | None:
        """What to write for each of `able`.

        Args:
            left_out: those that were chosen too, and for which it is not possible.

        Raises:
            PeftTuiError: it cannot be asked like this; a sentence says why.
        """
        match verb:
            case Verb.UPDATE:
                return await self._to_update(able, left_out)
            case Verb.ROLLBACK:
                return await self._to_go_back(able[0])
            case Verb.ADOPT:
                asked = question.about_adopting(able, sums(able), left_out)
                return _by_id(self._backend.life.adopt) if await self._agreed(asked) else None
            case Verb.CANCEL:
                asked = question.about_cancelling(able, sums(able), left_out)
                return self._give_up if await self._agreed(asked) else None
            case _:
                return await self._to_change(verb, able, left_out)

    async def _agreed(self, asked: question.Question) -> bool:
        screen = ConfirmScreen(asked)
        return await self._app.push_screen_wait(screen)

    async def _to_change(
        self, verb: Verb, able: Sequence[Deployment], left_out: Sequence[LeftOut]
    ) -> Write | None:
        """Stop, start or delete them."""
        life, kind = self._backend.life, OperationKind(verb.value)
        others = await self._backend.store.deployments.all() if may_carry(able) else ()
        previews = [preview(deployment, kind, others=others) for deployment in able]
        asked = question.asked_about(
            previews,
            sums(able),
            await coming(self._backend, previews) if verb is Verb.START else "",
            await self._traffic(able),
            left_out,
        )
        screen = ConfirmScreen(asked)
        if not await self._app.push_screen_wait(screen):
            return None
        if screen.option_taken:
            return _by_id(partial(life.delete, keep_adapter=True))
        return _by_id({Verb.STOP: life.stop, Verb.START: life.start, Verb.DELETE: life.delete}[verb])

    async def _to_update(self, able: Sequence[Deployment], left_out: Sequence[LeftOut]) -> Write | None:
        if len({deployment.platform for deployment in able}) > 1:
            raise NotPossible("Settings are each platform's own: mark those of one.")
        changes = await self._app.push_screen_wait(UpdateScreen(self._backend, able, left_out))
        return _by_id(partial(self._backend.life.update, changes=changes)) if changes else None

    async def _to_go_back(self, deployment: Deployment) -> Write | None:
        """Which version, then what going back to it does."""
        version = await self._app.push_screen_wait(VersionsScreen(self._backend, deployment))
        if version is None:
            return None
        changes = await self._backend.life.going_back(deployment.id, version)
        before = preview(deployment, OperationKind.ROLLBACK, changes)
        if not await self._agreed(question.asked_about([before], sums([deployment]))):
            return None
        return _by_id(partial(self._backend.life.rollback, version=version))

    async def _give_up(self, deployment: Deployment) -> object:
        if deployment.to_give_up is None:
            return None
        return await self._backend.life.cancel(deployment.to_give_up.id)

    async def _traffic(self, deployments: Sequence[Deployment]) -> dict[str, int]:
        """How many requests were sent to each of them lately."""
        lately = self._backend.clock.now() - LATELY
        return await self._backend.store.requests.since([d.id for d in deployments], lately)


def _by_id(write: Callable[[str], Awaitable[object]]) -> Write:
    return partial(_written, write)


async def _written(write: Callable[[str], Awaitable[object]], deployment: Deployment) -> object:
    return await write(deployment.id)
