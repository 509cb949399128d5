"""Bytes are the same on every machine, so they may be asserted; times may not."""

from __future__ import annotations

from tests.bench.measure import SIZE, cost_of, environment, program, ready
from tests.terminal import Terminal

TRIES = 5
"""A busy machine may still write what came before. That is over the next time; what is too much is not."""


async def written(term: Terminal, key: str) -> int:
    """The bytes of a key that changes something, however late that comes."""
    mark = term.mark()
    term.press(key)
    await term.until(lambda: term.bytes_written > mark.position)
    await term.quiet(0.25)
    return term.bytes_written - mark.position


async def writes_nothing(term: Terminal, key: str) -> bool:
    for _ in range(TRIES):
        if (await cost_of(term, key)).bytes == 0:
            return True
    return False


async def test_a_live_table_writes_only_what_changed() -> None:
    async with Terminal.run(program("tables_app", "live", "1000"), env=environment(), size=SIZE) as term:
        await ready(term, "deployment-3")
        assert await writes_nothing(term, "n")
        assert await written(term, "o") < 1000
        await term.sees("22")
        assert await writes_nothing(term, "n")
        assert await written(term, "a") < 3000
        assert await written(term, "j") < 1000
