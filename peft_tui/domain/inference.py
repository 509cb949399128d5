"""Asking a deployment: whom, what, and what comes back. Dialects speak of nothing else to the outside."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum

from peft_tui.domain.errors import ConfigurationInvalid
from peft_tui.domain.money import Price


class Dialect(StrEnum):
    """How an endpoint wants to be asked, whoever runs it."""

    OPENAI_CHAT = "openai chat"
    """`url` is the base that ends in /v1."""
    LORAX = "lorax"
    """Its native routes; `url` is the base that /generate and /generate_stream are under."""
    LORAX_CHAT = "lorax chat"
    """Its OpenAI-shaped routes, which differ; `url` is the base that ends in /v1."""
    REPLICATE = "replicate predictions"
    """`url` is the collection that a prediction is posted to."""


class Role(StrEnum):
    """What a name stands for."""

    ADAPTER = "adapter"
    BASE = "base"


@dataclass(frozen=True, slots=True)
class ServedModel:
    """One name that a request may ask for."""

    name: str
    """What is sent; may be empty, where that means the base."""
    label: str
    """For a person."""
    role: Role = Role.ADAPTER


@dataclass(frozen=True, slots=True)
class AuthHeader:
    """A header that a secret travels in. The secret itself is looked up when it is sent, by its name."""

    header: str
    env: str
    """The variable that it is known by; also what a snippet says instead of it."""
    scheme: str = ""
    """`Bearer` and the like."""
    kept_as: str = ""
    """What it is kept under where it is not in the environment, such as `modal/proxy-token/<workspace>`."""
    part: int | None = None
    """Of what is kept as several parts, joined by full stops: which of them."""


@dataclass(frozen=True, slots=True)
class TokenPrice:
    """What tokens cost."""

    usd_per_million_in: Decimal
    usd_per_million_out: Decimal
    source: str
    as_of: str
    usd_per_million_cached: Decimal | None = None
    """None: a cached token costs what any other does."""


class Wake(StrEnum):
    """What a request does where nothing is running."""

    NOTHING = "nothing"
    """It is up: the request is just served."""
    WAKES = "wakes"
    """It boots an instance, waits for it, and that costs money."""
    REFUSED = "refused"
    """The platform will refuse it."""


@dataclass(frozen=True, slots=True)
class InferenceTarget:
    """Where and how one deployment is asked. Holds no secret."""

    dialect: Dialect
    url: str
    models: tuple[ServedModel, ...]
    """What may be asked for; the first is what is meant when nothing is said."""
    auth: tuple[AuthHeader, ...] = ()
    """They go to the origin of `url` and nowhere else."""
    price: Price | TokenPrice | None = None
    """`Price` is that of one instance while it exists."""
    wake: Wake = Wake.NOTHING
    wake_words: str = ""
    """What sending does now and what it costs, in a sentence; empty when it is just served."""
    wake_url: str = ""
    """Where the platform answers 503 while an instance boots: what to GET until it answers 200."""
    result_redirects: bool = False
    """The platform answers a long request with 303, and the result is at its Location by GET."""
    stream_usage: bool = False
    """Token counts of a stream come only when they are asked for."""
    extra: Mapping[str, object] = field(default_factory=dict)
    """Further members of the body, such as `adapter_source`."""
    inputs: frozenset[str] | None = None
    """Replicate: the names that the version's schema takes; None when it is not known."""
    friends: tuple[str, ...] = ()
    """Host name endings that may see the key as well, such as those of a platform's streams."""

    def model(self, wanted: str = "") -> ServedModel:
        """The one that `wanted` names, by name, label or role; the first when nothing is wanted.

        Raises:
            ConfigurationInvalid: it serves no such thing.
        """
        if not wanted:
            return self.models[0]
        for model in self.models:
            if wanted in (model.name, model.label, model.role):
                return model
        raise ConfigurationInvalid(
            f"It does not serve “{wanted}”.",
            hint="It serves: " + ", ".join(map(_described, self.models)) + ".",
        )

    def role(self, role: Role) -> ServedModel | None:
        return next((model for model in self.models if model.role is role), None)


def _described(model: ServedModel) -> str:
    asked = f", asked for as {model.name}" if model.name not in ("", model.label) else ""
    return f"{model.label} ({model.role}{asked})"


def mistaken(target: InferenceTarget, asked: ServedModel, answered: str) -> str:
    """A sentence where the platform says that it used another one than it was asked for.

    Only where it names another one that is served here: many servers name the base, or nothing, either way.
    """
    other = next((model for model in target.models if model.name == answered), None)
    if not answered or answered == asked.name or other is None or other.role is asked.role:
        return ""
    return f"It answered as {other.label} ({other.role}), not as {asked.label}: the adapter was not applied."


@dataclass(frozen=True, slots=True)
class PromptRequest:
    """What is asked."""

    prompt: str
    system: str = ""
    max_tokens: int = 100
    temperature: float = 0.7
    top_p: float = 0.9
    stop: tuple[str, ...] = ()
    seed: int | None = None
    stream: bool = True


RANGES: dict[str, tuple[float, float]] = {
    "max_tokens": (1, 1_000_000),
    "temperature": (0.0, 2.0),
    "top_p": (0.0, 1.0),
}
MAX_STOP = 4
"""As many as LoRAX takes; the others take no fewer."""


@dataclass(frozen=True, slots=True)
class Sent:
    """The request is about to be written: t0 of everything that is measured."""

    at: float


@dataclass(frozen=True, slots=True)
class Answered:
    """The status line and headers have come."""

    at: float
    status: int
    connect_seconds: float | None = None
    """Of a fresh connection, TLS included; None when one was there already."""


@dataclass(frozen=True, slots=True)
class TextPiece:
    """Some text, as it came: one chunk may hold several tokens. Not cleaned."""

    text: str
    at: float
    thought: bool = False
    """Reasoning, which is not the answer."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Token counts as the platform says. None: it did not say."""

    tokens_in: int | None
    tokens_out: int | None
    cached: int | None = None


@dataclass(frozen=True, slots=True)
class Waiting:
    """Nothing to show yet, and why: `an instance is booting`."""

    words: str
    at: float


@dataclass(frozen=True, slots=True)
class Finished:
    """The answer is whole."""

    reason: str
    """`stop`, `length`, `stop sequence`, or the platform's own word."""
    at: float
    status: int
    model: str = ""
    """What the platform says that it used."""
    remote_id: str = ""
    raw: str = ""
    """What came, as JSON; of a long stream its beginning and its end."""
    reported: Mapping[str, float] = field(default_factory=dict)
    """The platform's own figures in seconds: `queue`, `run`, `total`, `first_text`."""
    streamed: bool = True


StreamEvent = Sent | Answered | TextPiece | Usage | Waiting | Finished
"""In this order: Sent, Answered, then pieces, counts and waits as they come, Finished last. An exchange that
fails raises a `PeftTuiError` instead of the last one."""


def not_seen_yet(name: str) -> ConfigurationInvalid:
    return ConfigurationInvalid(
        f"{name} cannot be asked yet: the platform has not shown it.",
        hint="Wait until it is active.",
    )
