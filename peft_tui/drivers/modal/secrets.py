"""The secrets of a deployment: what its container gets, and what opens it."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from peft_tui.credentials import Credentials, Place, Secret
from peft_tui.domain.errors import AuthenticationFailed, ConfigurationInvalid, PeftTuiError, PlatformFailed
from peft_tui.domain.spec import DeploymentSpec
from peft_tui.drivers.hugging_face import hub_token
from peft_tui.drivers.modal.control import Control
from peft_tui.drivers.modal.data_plane import ProxyToken
from peft_tui.drivers.modal.engine import environment_names
from peft_tui.drivers.modal.failures import TITLE

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

    def __init__(self, credentials: Credentials, control: Control) -> None:
        self._credentials = credentials
        self._control = control
        self._kept: ProxyToken | None = None
        self._making = asyncio.Lock()

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

    async def see_to(self, workspace: str) -> Place | None:
        """Have one; where a new one is kept, None where there was one.

        Modal tells its secret once: what a machine without keyring and passphrase had is gone with the
        session, and another one takes its place.
        """
        async with self._making:
            if await self.token(workspace) is not None:
                return None
            made = await self._control.make_proxy_token("peft-tui")
            # Kept before anything is asked: one whose secret is forgotten opens nothing, and stays.
            place = await self._keep(workspace, made)
            await self._check(workspace, made[0].reveal())
            return place

    async def take_back(self, workspace: str) -> None:
        """One that ends with this session is of no more use to anybody: they must not pile up."""
        known = self._credentials.vault.known(kept_as(workspace))
        if known and known[1] is Place.SESSION and (token_id := known[0].reveal().partition(".")[0]):
            await self._control.remove_proxy_token(token_id)

    async def _keep(self, workspace: str, token: ProxyToken) -> Place:
        self._kept = token
        joined = Secret(f"{token[0].reveal()}.{token[1].reveal()}")
        return await self._credentials.vault.put(kept_as(workspace), joined)

    async def _check(self, workspace: str, token_id: str) -> None:
        """
        Raises:
            PlatformFailed: the new token is not among the workspace's; it is neither kept nor left there.
        """
        try:
            if await self._control.lists_proxy_token(token_id):
                return
        except PeftTuiError:
            # Whether it opens the door is seen when it is used.
            return
        self._kept = None
        await self._credentials.vault.delete(kept_as(workspace))
        with suppress(PeftTuiError):
            await self._control.remove_proxy_token(token_id)
        raise PlatformFailed(
            f"{TITLE} made a proxy token and does not list it.",
            hint="Make one at modal.com/settings/proxy-auth-tokens, and keep it: peft-tui credentials set"
            " modal MODAL_PROXY_TOKEN_ID, and …_SECRET.",
            transient=True,
        )


def kept_as(workspace: str) -> str:
    """The name of a workspace's token in the vault, its two halves joined by a full stop."""
    return f"modal/proxy-token/{workspace}"
