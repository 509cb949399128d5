"""The only truth between restarts."""

from __future__ import annotations

import asyncio
import sqlite3
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from peft_tui.domain.errors import NotUsable
from peft_tui.store.care import Damage, Mended, identity, is_damage, mend
from peft_tui.store.database import Changes, Database, StoreError, Transaction
from peft_tui.store.deployments import Deployments
from peft_tui.store.operations import Operations
from peft_tui.store.platforms import Platforms
from peft_tui.store.views import Views

if TYPE_CHECKING:
    from peft_tui.store.billing import Billing
    from peft_tui.store.budgets import Budgets
    from peft_tui.store.catalog import Catalog
    from peft_tui.store.figures import Figures
    from peft_tui.store.reported import Reported
    from peft_tui.store.requests import Requests

__all__ = ["Changes", "Damage", "Mended", "Store", "StoreError", "Transaction"]

FILE = "peft-tui.db"


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
        self.mended: Mended | None = None
        """What was done when it was opened, where the file was damaged."""

    @cached_property
    def billing(self) -> Billing:
        from peft_tui.store.billing import Billing

        return Billing(self.database, self.looked_every)

    @cached_property
    def budgets(self) -> Budgets:
        from peft_tui.store.budgets import Budgets

        return Budgets(self.database)

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
    async def open(cls, directory: Path, damage: Damage | None = None) -> Store:
        """The store in `directory`, made when there is none; mended where it is damaged: see `mended`.

        Args:
            damage: for which it was closed.

        Raises:
            NotUsable: it cannot be used; the message says why.
        """
        path = directory / FILE
        mended = None if damage is None else await _mend(path, damage)
        found = identity(path)
        try:
            store = cls(await Database.open(path))
        except NotUsable as error:
            cause = error.__cause__
            if mended is not None or not (isinstance(cause, sqlite3.Error) and is_damage(cause)):
                raise
            mended = await _mend(path, Damage(str(cause), found))
            store = cls(await Database.open(path))
        store.mended = mended
        return store

    async def close(self) -> None:
        await self.database.close()


async def _mend(path: Path, damage: Damage) -> Mended | None:
    try:
        return await asyncio.to_thread(mend, path, damage)
    except (OSError, sqlite3.Error) as error:
        raise NotUsable(
            f"The store {path} is damaged ({damage.why}) and cannot be put aside: {error}.",
            hint="Move it aside by hand, or set PEFT_TUI_DATA_DIR elsewhere.",
        ) from error
