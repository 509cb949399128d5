"""What the platform does not tell of money is said to be a guess, with who guessed."""

from __future__ import annotations

from pathlib import Path

from tests.life import at_platform, life


async def test_the_tail_after_a_request_is_derived_and_its_price_is_cited(tmp_path: Path) -> None:
    async with life(tmp_path, "replicate") as lived:
        made = await lived.intend(at_platform("acme/llm-support"), instance_type="gpu-l40s")
        await lived.run(made)
        await lived.refresh.tick()
        row = await lived.backend.store.deployments.get(made.id)
        assert row is not None and row.observation is not None
        assert row.observation.price_source.startswith("replicate.com/pricing, 20")
        assert row.is_guess and "how long it stays warm" in row.observation.reason
        await lived.clock.sleep(301)
        await lived.refresh.tick()
        row = await lived.backend.store.deployments.get(made.id)
        assert row is not None and row.usd_per_hour == 0 and not row.is_guess
