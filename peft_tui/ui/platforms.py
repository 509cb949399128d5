"""How the platforms do, in words: who fails, whose list is old, whose key is missing."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from datetime import datetime

from peft_tui.backend import Backend
from peft_tui.credentials import CredentialState
from peft_tui.domain.ages import age
from peft_tui.domain.deployment import Deployment
from peft_tui.domain.errors import PeftTuiError
from peft_tui.drivers import PLATFORMS, capabilities
from peft_tui.store.platforms import PlatformHealth
from peft_tui.text import clean_line
from peft_tui.ui.status import list_age, seen_ago
from peft_tui.ui.widgets.headline import nothing_yet
from peft_tui.ui.widgets.lines import Line


class PlatformWords:
    """`state` says whether this is the sandbox, and whether the declarations may be loaded yet."""

    def __init__(self, backend: Backend, state: Callable[[], tuple[bool, bool]]) -> None:
        self._backend = backend
        self._state = state

    def troubles(
        self,
        deployments: Collection[Deployment],
        health_of: Mapping[str, PlatformHealth],
        *,
        now: datetime,
        own: str,
    ) -> tuple[list[str], list[str]]:
        """What fails, and what is merely old.

        Args:
            own: what fails here and not at a platform.
        """
        _, ready = self._state()
        used = {deployment.platform for deployment in deployments}
        troubles = [own] if own else []
        old: list[str] = []
        for platform in sorted(used | health_of.keys()):
            health = health_of.get(platform)
            # What a platform needs is in its declaration, which the first frame does without.
            missing = self.missing(platform) if ready else ()
            if missing and platform in used:
                trouble = self._backend.credentials.state(capabilities(platform)).trouble
                troubles.append(f"{clean_line(platform, 40)} ✖ {trouble or f'{missing[0]} is not set'}")
            elif health and health.error and not missing:
                troubles.append(platform_trouble(health, now))
            elif platform in used and (age := self._oldest(platform, deployments, health, now)):
                old.append(f"{clean_line(platform, 40)} seen {age} ago")
        return troubles, old

    def _oldest(
        self,
        platform: str,
        deployments: Collection[Deployment],
        health: PlatformHealth | None,
        now: datetime,
    ) -> str:
        """How old the platform's last list is; what it never listed counts by itself."""
        fresh = self._backend.pace.fresh_seconds
        if health and health.listed_at:
            return list_age(health, now, fresh)
        times = [d.observation.observed_at for d in deployments if d.platform == platform and d.observation]
        return seen_ago((now - min(times)).total_seconds(), fresh) if times else ""

    def missing(self, platform: str) -> tuple[str, ...]:
        """Variables that it needs and that are not set; nothing before that can be said."""
        sandbox, ready = self._state()
        if sandbox and not ready:
            return ()
        try:
            return self._backend.credentials.state(capabilities(platform)).missing
        except PeftTuiError:
            # A newer version wrote it: its rows are shown all the same.
            return ()

    def nothing_yet(self, width: int) -> list[Line]:
        """For an empty list: the first key, and whose keys are there."""
        sandbox, _ = self._state()
        found = [
            (capabilities(p).title, capabilities(p).credentials[0].env, self._credentials_of(p))
            for p in PLATFORMS
        ]
        return nothing_yet(found, width, sandbox=sandbox)

    def _credentials_of(self, platform: str) -> CredentialState:
        sandbox, ready = self._state()
        if sandbox and not ready:
            return CredentialState(())
        return self._backend.credentials.state(capabilities(platform))


_FAILURES = {
    "connection": "unreachable",
    "authentication": "refuses the key",
    "timeout": "does not answer",
    "resource": "refuses for now",
    "platform": "is failing",
}


def platform_trouble(health: PlatformHealth, now: datetime) -> str:
    """`together ✖ unreachable since 2m`; empty while it answers."""
    if health.error is None:
        return ""
    words = _FAILURES.get(str(health.error.get("kind")), "is failing")
    passed = (now - health.failing_since).total_seconds() if health.failing_since else 0
    return f"{clean_line(health.platform, 40)} ✖ {words}" + (f" since {age(passed)}" if passed >= 60 else "")
