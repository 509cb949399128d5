"""Bytes are the same on every machine, so they may be asserted; times may not."""

from __future__ import annotations

from tests.bench.measure import SIZE, cost_of, environment, program, ready
from tests.terminal import Terminal


async def test_a_live_table_writes_only_what_changed() -> None:
    async with Terminal.run(program("tables_app", "live", "1000"), env=environment(), size=SIZE) as term:
        await ready(term, "deployment-3")
        assert (await cost_of(term, "n")).bytes == 0
        assert 0 < (await cost_of(term, "o")).bytes < 1000
        await term.sees("22")
        assert (await cost_of(term, "n")).bytes == 0
        assert (await cost_of(term, "a")).bytes < 3000
        assert 0 < (await cost_of(term, "j")).bytes < 1000
