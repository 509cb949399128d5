"""What all at Modal share: the workspace and its environment, the ways there, and what opens its servers."""

from __future__ import annotations

from datetime import datetime

from peft_tui.clock import Clock
from peft_tui.credentials import Credentials, Place
from peft_tui.domain.errors import ConfigurationInvalid
from peft_tui.domain.offers import InstanceType
from peft_tui.drivers.hugging_face import HuggingFace
from peft_tui.drivers.modal import gpus
from peft_tui.drivers.modal.connection import Connection
from peft_tui.drivers.modal.control import Control
from peft_tui.drivers.modal.data_plane import DataPlane, ProxyToken
from peft_tui.drivers.modal.declaration import CAPABILITIES
from peft_tui.drivers.modal.deployer import Deployer
from peft_tui.drivers.modal.failures import Unimplemented
from peft_tui.drivers.modal.secrets import Doorkeeper
from peft_tui.drivers.modal.volumes import Volumes
from peft_tui.drivers.modal.watch import Watch
from peft_tui.drivers.modal.wire import Budget, Environment
from peft_tui.drivers.network import Network
from peft_tui.text import clean_line

MAIN = "main"
"""What an environment is called that nobody has named."""


class ModalApi:
    """One environment of one workspace."""

    title = CAPABILITIES.title
    bill_due: datetime | None = None
    """When what was billed is worth asking for again; None: it was not asked for yet."""
    bill_read = False
    """Whether it was ever told: the first time it is read from far back."""

    def __init__(self, network: Network, credentials: Credentials, clock: Clock) -> None:
        self.credentials = credentials
        self.connection = Connection(
            network,
            credentials.text("MODAL_SERVER_URL"),
            credentials.secret("MODAL_TOKEN_ID", self.title),
            credentials.secret("MODAL_TOKEN_SECRET", self.title),
        )
        self.control = Control(self.connection)
        self.volumes = Volumes(self.connection)
        self.deployer = Deployer(self.connection)
        self.plane = DataPlane(network, self.connection.local)
        self.watch = Watch(self.control, self.volumes, self.plane, clock)
        self.doors = Doorkeeper(credentials, self.control)
        self.hub = HuggingFace(network, credentials)
        self.connection.leaving = self._leave
        self._clock = clock
        self._workspace = ""

    async def workspace(self) -> str:
        """Who the token belongs to; asked for once, with the environment to work in."""
        if not self._workspace:
            workspace = await self.control.workspace()
            environment = await self._environment()
            self.connection.environment = environment.name
            self.connection.environment_id = environment.environment_id
            self._workspace = workspace
        return self._workspace

    async def instance_types(self, base: str = "") -> tuple[InstanceType, ...]:
        """The machines on offer; those last that are too small for `base`."""
        await self.workspace()
        rates = await self.control.rates()
        return gpus.instance_types(rates, self._clock.now().isoformat(), gpus.needed_gib(base))

    async def budget(self) -> Budget | None:
        """The environment's; None where it is not told."""
        await self.workspace()
        return await self.control.budget()

    async def proxy_token(self) -> ProxyToken | None:
        """What opens the servers that are private; None where there is none, or it cannot be read now."""
        return await self.doors.token(await self.workspace())

    async def see_to_the_token(self) -> Place | None:
        """Have a proxy token; where a new one is kept, None where there was one."""
        return await self.doors.see_to(await self.workspace())

    async def _leave(self) -> None:
        if self._workspace:
            await self.doors.take_back(self._workspace)

    async def _environment(self) -> Environment:
        wanted = self.credentials.text("MODAL_ENVIRONMENT")
        try:
            found = await self.control.environments()
        except Unimplemented:
            return Environment(name=wanted or MAIN)
        named = {environment.name: environment for environment in found}
        if wanted:
            if wanted not in named:
                raise ConfigurationInvalid(
                    f"Modal: there is no environment “{clean_line(wanted, 60)}” in this workspace.",
                    hint=f"Set MODAL_ENVIRONMENT to one of: {', '.join(sorted(named)) or 'none'}.",
                )
            return named[wanted]
        default = next((environment for environment in found if environment.default), None)
        return default or named.get(MAIN) or (found[0] if found else Environment(name=MAIN))
