"""What a request to the serving plane goes through before an engine answers it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from peft_tui.sandbox import hubrepos, text
from peft_tui.sandbox.predibase import life
from peft_tui.sandbox.predibase.access import Call
from peft_tui.sandbox.predibase.catalog import Base, base_of
from peft_tui.sandbox.predibase.errors import engine, invalid, refuse
from peft_tui.sandbox.predibase.state import Deployment
from peft_tui.sandbox.web import Refusal

LONGEST_HOLD = 600.0
"""Real seconds: what the vendor's client waits for an answer."""
LOADING = 3.0
"""World seconds to fetch and load an adapter that no replica holds yet."""
DEFAULT_SOURCE = "pbase"
SOURCES = ("hub", "local", "s3", "pbase")
KEPT = 5000
WINDOW = 1.0


@dataclass(frozen=True)
class Engine:
    """A replica that is up, with the adapter that was asked for."""

    deployment: Deployment
    base: Base
    adapter: str | None
    source: str | None


async def engine_for(call: Call, adapter: str | None, source: str | None, token: str | None) -> Engine:
    """The engine that answers; a deployment that sleeps is woken and the request held.

    Raises:
        Refusal: what the engine, or the gateway before it, says instead.
    """
    deployment = serving_deployment(call)
    await hold(call, deployment)
    base = base_of(deployment.base)
    assert base is not None
    if call.state.knobs.overloaded:
        deployment.failures["overloaded"] = deployment.failures.get("overloaded", 0) + 1
        raise engine(429, "overloaded", "Model is overloaded")
    if not adapter or adapter == base.hub_id:
        return Engine(deployment, base, None, None)
    source = source or DEFAULT_SOURCE
    await _load(call, deployment, base, adapter, source, token)
    return Engine(deployment, base, adapter, source)


def serving_deployment(call: Call) -> Deployment:
    """The deployment of the path."""
    if call.arg("tenant") != call.user.tenant:
        raise refuse(403, "forbidden")
    return call.deployment(call.arg("name"))


async def hold(call: Call, deployment: Deployment) -> None:
    """Wait until a replica is up."""
    world = call.world
    while True:
        life.settle(world, deployment)
        if deployment.deleted_at is not None:
            raise refuse(404, f"deployment {deployment.name} not found")
        if deployment.status == "failed":
            raise engine(503, "healthcheck", "unhealthy")
        if deployment.replicas and deployment.status in life.SERVING:
            return
        life.wake(world, deployment)
        due = deployment.steps[0].at if deployment.steps else world.now()
        # One that waits for capacity has no next step in sight.
        if not await world.clock.sleep_until(max(due, world.now() + 1.0), real_timeout=LONGEST_HOLD):
            raise engine(504, "generation", "upstream request timeout")


async def _load(
    call: Call, deployment: Deployment, base: Base, adapter: str, source: str, token: str | None
) -> None:
    key = f"{source}:{adapter}"
    if deployment.config.get("disableAdapters"):
        raise invalid("adapters are disabled for this deployment")
    problem = _problem(call, base, adapter, source, token)
    knobs = call.state.knobs
    if problem is None and key not in deployment.loaded and knobs.fail_adapters > 0:
        knobs.fail_adapters -= 1
        problem = "CUDA out of memory while loading adapter weights"
    if problem is not None:
        deployment.failures["generation"] = deployment.failures.get("generation", 0) + 1
        raise engine(
            424,
            "generation",
            f"Request failed during generation: Failed to load adapter {adapter}: {problem}",
        )
    if key not in deployment.loaded:
        await call.world.clock.pace(call.now + LOADING)
        deployment.loaded.append(key)


def _problem(call: Call, base: Base, adapter: str, source: str, token: str | None) -> str | None:
    """Why an adapter cannot be loaded; None if it can."""
    if source == "hub":
        repo = hubrepos.repos().get(adapter.partition("@")[0])
        if repo is None or ((repo.private or repo.gated) and token != hubrepos.HF_TOKEN):
            return f"{adapter} is not a repository on the hub, or it is private or gated"
        if repo.kind != hubrepos.ADAPTER:
            return f"{adapter} holds no adapter_config.json"
        return _fit(base, repo.base or "")
    if source != "pbase":
        return f"source {source} cannot be reached from here"
    name, _, tag = adapter.partition("/")
    try:
        versions = call.repo(name).living
    except Refusal:
        return f"repo {name} not found"
    version = next((v for v in versions if str(v.tag) == tag.partition("@")[0]), None)
    if version is None:
        return f"repo {name} has no version {tag}"
    return version.problem or _fit(base, version.base_model)


def _fit(base: Base, trained_on: str) -> str | None:
    found = base_of(trained_on)
    if found is None or found.name != base.name:
        return f"adapter was trained on {trained_on}, the base model is {base.hub_id}"
    return None


@dataclass(frozen=True)
class Answer:
    """What was generated, and how it ended in the words of LoRAX."""

    completion: text.Completion
    finish: str
    began: float

    @property
    def tokens(self) -> int:
        """Generated tokens."""
        return len(self.completion.pieces)


def generate(
    call: Call,
    engine_: Engine,
    prompt: str,
    *,
    most: int | None,
    stop: tuple[str, ...],
    sampling: tuple[Any, ...],
) -> Answer:
    """Generate and write the figures down. Nothing is waited for.

    Raises:
        Refusal: 422 when prompt and answer are longer than the context.
    """
    base, deployment = engine_.base, engine_.deployment
    words = len(text.tokenize(prompt))
    limit = int(deployment.config.get("maxTotalTokens") or base.context + 1)
    if words + (most or 1) > limit:
        raise invalid(
            f"`inputs` tokens + `max_new_tokens` must be <= {limit}. "
            f"Given: {words} `inputs` tokens and {most} `max_new_tokens`"
        )

    def complete(stops: tuple[str, ...]) -> text.Completion:
        return text.complete(
            prompt,
            model=base.name,
            adapter=engine_.adapter,
            seed=call.world.rng("predibase", *sampling).getrandbits(32),
            max_tokens=most or 512,
            stop=stops,
            billions=base.billions,
        )

    answer = complete(stop)
    finish = {"length": "length", "stop": "eos_token"}[answer.finish_reason]
    if finish == "eos_token" and answer.text != complete(()).text:
        finish = "stop_sequence"
    life.work(call.world, deployment, answer.seconds)
    deployment.requests += 1
    deployment.seconds.append(answer.seconds)
    deployment.generated.append(len(answer.pieces))
    del deployment.seconds[:-KEPT], deployment.generated[:-KEPT]
    return Answer(answer, finish, call.now)


def token_json(piece: str) -> dict[str, Any]:
    """A token as LoRAX shows it; its id depends on its text alone."""
    return {
        "id": 1000 + sum(map(ord, piece)) % 30000,
        "text": piece,
        "logprob": -round(0.05 + sum(map(ord, piece)) % 97 / 100, 4),
        "special": False,
    }


def compute_headers(engine_: Engine, prompt: str) -> dict[str, str]:
    """What streams carry too."""
    headers = {
        "x-compute-type": "1-nvidia-" + engine_.deployment.accelerator.partition("_")[0],
        "x-compute-characters": str(len(prompt)),
        "x-model-id": engine_.base.hub_id,
    }
    if engine_.adapter is not None:
        headers |= {"x-adapter-id": engine_.adapter, "x-adapter-source": str(engine_.source)}
    return headers


def time_headers(engine_: Engine, prompt: str, answer: Answer) -> dict[str, str]:
    """What whole answers carry; times in milliseconds."""
    said = answer.completion
    total = round(said.seconds * 1000)
    per_token = round(total / max(1, answer.tokens))
    return compute_headers(engine_, prompt) | {
        "x-compute-time": str(round(said.seconds)),
        "x-total-time": str(total),
        "x-validation-time": "0",
        "x-queue-time": "0",
        "x-inference-time": str(total),
        "x-time-per-token": str(per_token),
        "x-time-to-first-token": str(round(said.first_token * 1000)),
        "x-time-per-output-token": str(round(said.per_token * 1000)),
        "x-prompt-tokens": str(said.prompt_tokens),
        "x-generated-tokens": str(answer.tokens),
        "x-skipped-tokens": "0",
        "x-total-tokens": str(said.prompt_tokens + answer.tokens),
    }


def rate_headers(call: Call, deployment: Deployment) -> dict[str, str]:
    """Count a call to a shared endpoint; private ones have no limit.

    Raises:
        Refusal: 429 above it. A frozen clock would never open the window again, so it has none.
    """
    if deployment.type != "shared":
        return {}
    most = 1 if call.tenant.tier == "free" else 100
    start, count = call.state.buckets.get(call.user.tenant, [call.now, 0.0])
    if call.now - start >= WINDOW or call.world.clock.frozen:
        start, count = call.now, 0.0
    call.state.buckets[call.user.tenant] = [start, count + 1]
    left = most - count - 1
    headers = {
        "x-ratelimit-limit": f"{most}, {most};w=1",
        "x-ratelimit-remaining": str(int(max(0, left))),
        "x-ratelimit-reset": "1",
    }
    if left < 0:
        raise refuse(429, "rate limit exceeded", {**headers, "x-envoy-ratelimited": "true"})
    return headers
