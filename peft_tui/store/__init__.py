"""The only truth between restarts."""

from __future__ import annotations

from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from peft_tui.store.database import Changes, Database, StoreError, Transaction
from peft_tui.store.deployments import Deployments
from peft_tui.store.operations import Operations
from peft_tui.store.platforms import Platforms
from peft_tui.store.views import Views

if TYPE_CHECKING:
    from peft_tui.store.billing import Billing
    from peft_tui.store.catalog import Catalog
    from peft_tui.store.figures import Figures
    from peft_tui.store.reported import Reported
    from peft_tui.store.requests import Requests

__all__ = ["Changes", "Store", "StoreError", "Transaction"]


class Store:
    """One open store; the attributes are its table families. The first frame goes without the later ones."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.operations = Operations(database)
        self.deployments = Deployments(database, self.operations, lambda: self.billing)
        self.platforms = Platforms(database)
        self.views = Views(database)
        self.looked_every = timedelta(0)
        """The period of the refresh loop; set before `billing` is first used."""

    @cached_property
    def billing(self) -> Billing:
        from peft_tui.store.billing import Billing

        return Billing(self.database, self.looked_every)

    @cached_property
    def catalog(self) -> Catalog:
        from peft_tui.store.catalog import Catalog

        return Catalog(self.database)

    @cached_property
    def requests(self) -> Requests:
        from peft_tui.store.requests import Requests

        return Requests(self.database)

    @cached_property
    def figures(self) -> Figures:
        from peft_tui.store.figures import Figures

        return Figures(self.database)

    @cached_property
    def reported(self) -> Reported:
        from peft_tui.store.reported import Reported

        return Reported(self.database)

    @classmethod
    async def open(cls, directory: Path) -> Store:
        """The store in `directory`, made when there is none.

        Raises:
            ConfigurationInvalid: it cannot be used; the message says why.
        """
        return cls(await Database.open(directory / "peft-tui.db"))

    async def close(self) -> None:
        await self.database.close()
