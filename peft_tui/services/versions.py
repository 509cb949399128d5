"""What an earlier version of a deployment was set to, from what the operations that made it wrote down."""

from __future__ import annotations

from collections.abc import Iterable

from peft_tui.domain.deployment import Deployment
from peft_tui.domain.offers import Change
from peft_tui.domain.operation import Operation
from peft_tui.domain.spec import Settings
from peft_tui.drivers import capabilities


def settings_of(operations: Iterable[Operation], remote_id: str, number: int) -> Settings | None:
    """Those of version `number` of what has this id at the platform; None where it was not made from here."""
    for operation in operations:
        for step in operation.steps:
            made = step.outputs
            if made.get("version") == number and made.get("app_id") == remote_id:
                settings = made.get("settings")
                return dict(settings) if isinstance(settings, dict) else None
    return None


def changes_to(deployment: Deployment, settings: Settings) -> Settings:
    """What is different in `settings`, as far as it can differ between versions; an empty text is none."""
    now = deployment.spec.settings
    keys = [
        setting.key
        for setting in capabilities(deployment.platform).settings
        if setting.change in (Change.LIVE, Change.REDEPLOY) and not setting.local
    ]
    return {key: settings.get(key, "") for key in keys if settings.get(key, "") != now.get(key, "")}
