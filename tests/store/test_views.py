"""How a screen was left is kept across a restart."""

from __future__ import annotations

from pathlib import Path

from peft_tui.store import Store


async def test_a_view_is_kept_and_replaced(memory: Path) -> None:
    first = await Store.open(memory)
    assert await first.views.get("list") == {}
    await first.views.put("list", {"filter": "old"})
    await first.views.put("list", {"filter": "new", "sort": ["name", True]})
    await first.close()
    second = await Store.open(memory)
    assert await second.views.get("list") == {"filter": "new", "sort": ["name", True]}
    assert await second.views.get("other") == {}
    await second.close()


async def test_what_is_no_view_is_none(memory: Path) -> None:
    store = await Store.open(memory)
    async with store.database.transaction() as transaction:
        await transaction.connection.execute("INSERT INTO views VALUES ('list', '[1]')")
    assert await store.views.get("list") == {}
    await store.close()
