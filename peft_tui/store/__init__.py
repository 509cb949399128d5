"""The only truth between restarts."""

from __future__ import annotations

from pathlib import Path

from peft_tui.store.billing import Billing
from peft_tui.store.catalog import Catalog
from peft_tui.store.database import Changes, Database, StoreError, Transaction
from peft_tui.store.deployments import Deployments
from peft_tui.store.figures import Figures
from peft_tui.store.operations import Operations
from peft_tui.store.platforms import Platforms
from peft_tui.store.reported import Reported
from peft_tui.store.requests import Requests
from peft_tui.store.views import Views

__all__ = ["Changes", "Store", "StoreError", "Transaction"]


class Store:
    """One open store; the attributes are its table families."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.operations = Operations(database)
        self.billing = Billing(database)
        self.deployments = Deployments(database, self.operations, self.billing)
        self.platforms = Platforms(database)
        self.catalog = Catalog(database)
        self.requests = Requests(database)
        self.views = Views(database)
        self.figures = Figures(database)
        self.reported = Reported(database)

    @classmethod
    async def open(cls, directory: Path) -> Store:
        """The store in `directory`, made when there is none.

        Raises:
            ConfigurationInvalid: it cannot be used; the message says why.
        """
        return cls(await Database.open(directory / "peft-tui.db"))

    async def close(self) -> None:
        await self.database.close()
