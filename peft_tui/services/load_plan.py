"""What a load run is to send, and what that would cost: known before anything is sent."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from peft_tui.domain.deployment import Deployment
from peft_tui.domain.inference import InferenceTarget, PromptRequest, TokenPrice
from peft_tui.domain.measure import Measured, cost, tokens_of
from peft_tui.domain.money import Price, usd
from peft_tui.services.parameters import problems

MAX_REQUESTS = 100_000
MAX_CONCURRENCY = 256
MIN_RATE, MAX_RATE = 0.001, 1000.0
TYPICAL_SECONDS = 3.0
"""What a request is taken to take where nothing is known yet."""


@dataclass(frozen=True, slots=True)
class LoadPlan:
    """What is to be sent."""

    prompts: tuple[PromptRequest, ...]
    """In turn, from the beginning again when there are fewer than requests."""
    requests: int = 50
    concurrency: int = 4
    rate: float | None = None
    """Requests per second, open loop; `concurrency` is then the most that are under way."""
    cap_usd: Decimal | None = None
    """Nothing is sent that could go beyond it; what is under way is cancelled when time reaches it."""

    def problem(self) -> str:
        """Why it cannot be, or nothing."""
        if not self.prompts:
            return "a prompt is needed"
        for request in self.prompts:
            if found := problems(request):
                key, words = next(iter(found.items()))
                return f"{key}: {words}"
        if not 1 <= self.requests <= MAX_REQUESTS:
            return f"requests: 1 to {MAX_REQUESTS:,}"
        if not 1 <= self.concurrency <= MAX_CONCURRENCY:
            return f"concurrency: 1 to {MAX_CONCURRENCY}"
        if self.rate is not None and not MIN_RATE <= self.rate <= MAX_RATE:
            return f"rate: {MIN_RATE:g} to {MAX_RATE:g} a second"
        if self.cap_usd is not None and not (self.cap_usd.is_finite() and self.cap_usd > 0):
            return "the cap must be an amount of more than nothing"
        return ""


@dataclass(frozen=True, slots=True)
class Preview:
    """What a run would cost, before anything is sent."""

    words: str
    likely_usd: Decimal | None
    most_usd: Decimal | None
    """None: there is no such bound, or no price is known."""
    can_be_capped: bool


def preview(
    plan: LoadPlan, target: InferenceTarget, deployment: Deployment, seconds: float | None = None
) -> Preview:
    """The price of `plan`. `seconds` is how long a request took lately, where that is known."""
    count = plan.requests
    if isinstance(target.price, TokenPrice):
        one = [most_of(target, request) for request in plan.prompts]
        most = sum((one[i % len(one)] for i in range(count)), Decimal(0))
        words = (
            f"{count} requests by tokens: at most {usd(most)} ({target.price.source}, {target.price.as_of})."
        )
        return Preview(words, most, most, True)
    if not isinstance(target.price, Price):
        return Preview(
            f"{count} requests; what an instance costs here is not known, so a cap in $ cannot hold.",
            None,
            None,
            False,
        )
    each = seconds if seconds is not None else TYPICAL_SECONDS
    wall = max(count / plan.rate if plan.rate else 0.0, count * each / plan.concurrency)
    hourly = hourly_of(target, deployment)
    likely = hourly * Decimal(str(wall)) / 3600
    guess = "as lately" if seconds is not None else "a guess"
    words = (
        f"{count} requests, about {wall:.0f} s ({each:.1f} s each, {guess}) of {usd(hourly)}/h:"
        f" about {usd(likely)}. It bills by time, whether or not requests come."
    )
    return Preview(words, likely, None, True)


def hourly_of(target: InferenceTarget, deployment: Deployment) -> Decimal:
    """What is billed per hour while it runs: all instances that are up, one at least."""
    assert isinstance(target.price, Price)
    seen = deployment.observation
    return target.price.usd_per_hour * max((seen.billed_instances or 1) if seen else 1, 1)


def most_of(target: InferenceTarget, request: PromptRequest) -> Decimal:
    """The most that one request can cost by tokens."""
    most = Measured(
        tokens_in=tokens_of(request.system) + tokens_of(request.prompt) + 16, tokens_out=request.max_tokens
    )
    return cost(target, most).usd or Decimal(0)
