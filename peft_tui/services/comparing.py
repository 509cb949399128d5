"""Is the adapter really applied? The same prompts to base and adapter, and what their answers tell."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from peft_tui.domain.deployment import Deployment
from peft_tui.domain.errors import ConfigurationInvalid
from peft_tui.domain.inference import InferenceTarget, PromptRequest, Role, ServedModel, StreamEvent
from peft_tui.domain.measure import Outcome, Source
from peft_tui.domain.request import Exchange
from peft_tui.services.prompts import Prompts, Question


@dataclass(frozen=True, slots=True)
class Pair:
    """One prompt, answered by both."""

    prompt: str
    base: Exchange
    adapter: Exchange

    @property
    def same(self) -> bool | None:
        """None when one of them failed."""
        if Outcome.OK is not self.base.outcome or Outcome.OK is not self.adapter.outcome:
            return None
        return _said(self.base) == _said(self.adapter)


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether the adapter is applied, as far as its answers tell."""

    pairs: tuple[Pair, ...]

    @property
    def applied(self) -> bool | None:
        known = [pair.same for pair in self.pairs if pair.same is not None]
        return None if not known else not all(known)

    @property
    def words(self) -> str:
        known = [pair.same for pair in self.pairs if pair.same is not None]
        if not known:
            return "Neither answered: nothing can be said."
        different = known.count(False)
        if not different:
            return (
                f"Identical on all {len(known)} at temperature 0: the adapter is probably not applied."
                if len(known) > 1
                else "Identical at temperature 0: the adapter is probably not applied. Try more prompts."
            )
        return f"Different on {different} of {len(known)} at temperature 0: the adapter is applied."


def _said(exchange: Exchange) -> str:
    return " ".join(exchange.texts.response.split()) if exchange.texts else ""


def can_be_compared(target: InferenceTarget) -> bool:
    """Whether one request may ask for the adapter and another one for its base."""
    return target.role(Role.BASE) is not None and target.role(Role.ADAPTER) is not None


async def compare(
    prompts: Prompts,
    deployment: Deployment,
    target: InferenceTarget,
    asked: Sequence[PromptRequest],
    run_id: str,
    listen: Callable[[ServedModel, StreamEvent], None] | None = None,
) -> Verdict:
    """The same prompts to base and adapter, greedily, in the order ABBA so that neither is always first.

    Raises:
        ConfigurationInvalid: the platform cannot serve both here; nothing was sent.
    """
    base, adapter = target.role(Role.BASE), target.role(Role.ADAPTER)
    if base is None or adapter is None:
        raise ConfigurationInvalid(
            "Here the platform serves only one of adapter and base, so they cannot be compared.",
            hint="It can where adapters are attached to a running base.",
        )
    pairs: list[Pair] = []
    for turn, request in enumerate(asked):
        greedy = replace(request, temperature=0.0, top_p=1.0, seed=request.seed or 0)
        order = (base, adapter) if turn % 2 == 0 else (adapter, base)
        found: dict[Role, Exchange] = {}
        for model in order:
            question = Question(deployment, target, model, greedy, Source.COMPARE, run_id)

            def tell(event: StreamEvent, model: ServedModel = model) -> None:
                if listen is not None:
                    listen(model, event)

            found[model.role] = await prompts.ask(question, tell)
        pairs.append(Pair(request.prompt, found[Role.BASE], found[Role.ADAPTER]))
    return Verdict(tuple(pairs))
