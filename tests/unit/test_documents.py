"""What scripts are told of a deployment."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from peft_tui.domain.deployment import Deployment
from peft_tui.domain.status import Status
from peft_tui.services.documents import deployment_document
from tests.seeds import made, observed


@pytest.mark.parametrize(
    ("usd", "list_of_ours", "told"),
    [
        (Decimal("5.49"), "", "platform"),
        (Decimal("5.49"), "replicate.com/pricing, 2026-09-03", "replicate.com/pricing, 2026-09-03"),
        (None, "", None),
    ],
)
def test_a_price_names_who_says_it(usd: Decimal | None, list_of_ours: str, told: str | None) -> None:
    seen = observed(Status.ACTIVE)
    bot: Deployment = replace(
        made("bot"), observation=replace(seen, usd_per_hour=usd, price_source=list_of_ours)
    )
    assert deployment_document(bot)["price_source"] == told
    assert deployment_document(made("bot"))["price_source"] is None
