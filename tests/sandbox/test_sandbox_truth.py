"""What happens does not depend on who looks, or how often."""

from __future__ import annotations

import pytest

P = "/v2/projects/proj_acme"


async def look_often(sb, seconds, look):
    for _ in range(int(seconds)):
        sb.clock.advance(1)
        await look()


async def look_once(sb, seconds, look):
    sb.clock.advance(int(seconds))
    await look()


@pytest.mark.parametrize("watch", [look_often, look_once])
async def test_together_costs_the_same_whether_watched_or_not(sb, together, money, watch):
    d = await together.deployment(
        ready=False, replicas=2, autoscaling={"minReplicas": 2, "maxReplicas": 2, "scaleToZeroWindow": "60s"}
    )

    async def look():
        await together.read(d)

    await watch(sb, 200, look)
    bill = await money.of("acme/support/main")
    assert bill["state"] == "STOPPED"
    assert bill["usd_total"] == pytest.approx(2 * 5.49 * (40 + 60 + 8) / 3600, abs=1e-5)


@pytest.mark.parametrize("watch", [look_often, look_once])
async def test_replicate_runs_the_same_whether_watched_or_not(sb, replicate, control, money, watch):
    await control.post("/replicate/knobs", json={"prediction_seconds": 30})
    await replicate.deployment(high=1)
    first = await replicate.predict(headers={"Cancel-After": "10s"})
    second = await replicate.predict(prompt="b")
    third = await replicate.predict(prompt="c", headers={"Cancel-After": "20s"})
    made = [first, second, third]

    async def look():
        await replicate.prediction(made[1])

    await watch(sb, 300, look)
    seen = [await replicate.prediction(p) for p in made]
    assert [p["status"] for p in seen] == ["canceled", "succeeded", "aborted"]
    run = seen[1]["metrics"]
    assert (run["total_time"], run["predict_time"]) == pytest.approx((40, 30))
    bill = await money.of("acme/bot")
    assert bill["state"] == "ASLEEP"
    assert bill["usd_total"] == pytest.approx(0.000975 * (40 + 120), abs=1e-4)


async def test_the_same_seed_tells_the_same_story(together, replicate, control):
    async def story():
        await control.post("/reset")
        ep = await together.post(f"{P}/endpoints", {"name": "x"})
        await replicate.deployment()
        made = await replicate.predict()
        together.sb.clock.advance(5)
        done = await replicate.prediction(made)
        return ep["id"], made["id"], done["output"]

    assert await story() == await story()
