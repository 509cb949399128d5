"""The secrets of a deployment: what its container gets, and what opens it."""

from __future__ import annotations

from peft_tui.credentials import Credentials, Place, Secret
from peft_tui.domain.errors import AuthenticationFailed, ConfigurationInvalid
from peft_tui.domain.spec import DeploymentSpec
from peft_tui.drivers.hugging_face import hub_token
from peft_tui.drivers.modal.data_plane import ProxyToken
from peft_tui.drivers.modal.engine import environment_names

HUB_TOKEN = "HF_TOKEN"
LASTING = (Place.KEYRING, Place.FILE)


async def environment(credentials: Credentials, spec: DeploymentSpec, remote_name: str) -> dict[str, Secret]:
    """The container's secret variables.

    Raises:
        ConfigurationInvalid: one that was named has no value.
    """
    values: dict[str, Secret] = {}
    for name in environment_names(spec):
        value = await _value(credentials, name, remote_name)
        if value is None:
            raise ConfigurationInvalid(
                f"{name} is not set, and the container is to have it.",
                hint=f"export {name}=… and try again. Nothing was sent.",
            )
        values[name] = value
    if (token := hub_token(credentials.optional_secret(HUB_TOKEN), spec)) is not None:
        values[HUB_TOKEN] = token
    return values


async def _value(credentials: Credentials, name: str, remote_name: str) -> Secret | None:
    """What was kept for this deployment, else what stands in peft-tui's own environment."""
    for kept in credentials.vault.names("deployment/"):
        _, deployment, _, variable = f"{kept}///".split("/")[:4]
        # A remote name ends in eight digits of the deployment's id, of which the last may be replaced.
        if variable == name and deployment[:7] and f"-{deployment[:7]}" in remote_name:
            return await credentials.vault.get(kept)
    text = credentials.text(name)
    return Secret(text) if text else None


class Doorkeeper:
    """The proxy token: from the environment, else kept, else made at Modal when it is first needed."""

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials
        self._kept: ProxyToken | None = None

    def given(self) -> ProxyToken | None:
        """The one in the environment, if it is whole."""
        found = [self._credentials.optional_secret(f"MODAL_PROXY_TOKEN_{part}") for part in ("ID", "SECRET")]
        return (found[0], found[1]) if found[0] is not None and found[1] is not None else None

    async def token(self, workspace: str) -> ProxyToken | None:
        """The one in use; None when there is none, or it cannot be read now."""
        if (given := self.given()) is not None:
            return given
        if self._kept is None:
            try:
                kept = await self._credentials.vault.get(kept_as(workspace))
            except AuthenticationFailed:
                return None
            token_id, _, token_secret = kept.reveal().partition(".") if kept else ("", "", "")
            if token_id and token_secret:
                self._kept = Secret(token_id), Secret(token_secret)
        return self._kept

    async def lasts(self) -> bool:
        """Whether a new one would outlive this session."""
        return any(rung.usable for rung in await self._credentials.vault.rungs() if rung.place in LASTING)

    def passing(self, workspace: str) -> str:
        """The id of the one that was made here and that nobody has when this session ends; else nothing."""
        known = self._credentials.vault.known(kept_as(workspace))
        return known[0].reveal().partition(".")[0] if known and known[1] is Place.SESSION else ""

    async def keep(self, workspace: str, token: ProxyToken) -> Place:
        """Keep a new one; where."""
        self._kept = token
        joined = Secret(f"{token[0].reveal()}.{token[1].reveal()}")
        return await self._credentials.vault.put(kept_as(workspace), joined)

    async def forget(self, workspace: str) -> None:
        self._kept = None
        await self._credentials.vault.delete(kept_as(workspace))


def kept_as(workspace: str) -> str:
    """The name of a workspace's token in the vault, its two halves joined by a full stop."""
    return f"modal/proxy-token/{workspace}"
