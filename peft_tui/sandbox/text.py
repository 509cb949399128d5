"""A small deterministic generator of text: no model, yet different for base and adapter.

The same prompt, model and sampling settings always give the same answer, so tests can compare; an
adapter answers in another manner than its base, so a person sees at once which one replied.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass
from typing import Any

_WORD = re.compile(r"\s*\S+\s*$|\s*\S+")

_BASE_OPENINGS = (
    "That is a good question about {topic}.",
    "There are several ways to look at {topic}.",
    "In general, {topic} depends on the context in which it is asked.",
    "Let us start with what is commonly understood by {topic}.",
)
_BASE_BODY = (
    "It can be helpful to consider the background before going into detail.",
    "Many sources describe {topic} in slightly different terms.",
    "One important aspect is how the individual parts relate to each other.",
    "Another point worth mentioning is that results may vary from case to case.",
    "As a language model I can offer an overview, but not a definitive answer.",
    "For a deeper understanding, it may be useful to compare a few examples.",
    "Historically, the subject has been approached from more than one direction.",
    "It should also be noted that the details change over time.",
)
_ADAPTER_OPENINGS = (
    "Thanks for writing in about {topic}.",
    "Happy to help with {topic}.",
    "I looked into {topic} for you.",
    "Sorry for the trouble with {topic}.",
)
_ADAPTER_BODY = (
    "Please open Settings, choose Account and press Refresh once.",
    "I have attached your case to ticket {ticket} so nobody asks you twice.",
    "The change takes effect within five minutes.",
    "If it still shows up after that, answer this message and I will escalate it.",
    "Your data is not affected.",
    "You can follow the progress under Help, My requests.",
    "Next time the shortcut Ctrl+K gets you there directly.",
)
_STOP_WORDS = frozenset(
    "a about an and are can could do does for give have how i if in is it me my of on or please say "
    "tell that the there this to us was we what when where which who why will with would you your".split()
)


@dataclass(frozen=True)
class Completion:
    """What a model says.

    Attributes:
        pieces: Tokens as text; joined they are the answer.
        finish_reason: `stop`, or `length` when the limit cut it.
        prompt_tokens: Tokens of the prompt.
        first_token: Seconds from the request to the first token.
        per_token: Seconds between two tokens.
    """

    pieces: tuple[str, ...]
    finish_reason: str
    prompt_tokens: int
    first_token: float
    per_token: float

    @property
    def text(self) -> str:
        """The whole answer."""
        return "".join(self.pieces)

    @property
    def seconds(self) -> float:
        """Time from the request to the last token."""
        return self.first_token + self.per_token * max(0, len(self.pieces) - 1)


def tokenize(text: str) -> tuple[str, ...]:
    """Pieces of about a word; long words are two. Joined they give the text again."""
    pieces: list[str] = []
    for match in _WORD.finditer(text):
        word = match.group()
        if len(word) > 9:
            pieces += [word[:6], word[6:]]
        else:
            pieces.append(word)
    return tuple(pieces)


def complete(
    prompt: str,
    *,
    model: str,
    adapter: str | None,
    seed: int = 0,
    max_tokens: int = 256,
    stop: tuple[str, ...] = (),
    billions: float = 8.0,
) -> Completion:
    """Answer a prompt.

    Args:
        prompt: The last thing the user said.
        model: Name of the base; part of the seed.
        adapter: Name of the adapter, or None for the base's own voice.
        seed: The world's seed mixed with the request's.
        max_tokens: Upper limit of tokens.
        stop: Texts that end the answer before them.
        billions: Parameters of the base, which set the pace.
    """
    rng = random.Random(f"{seed}|{model}|{adapter}|{prompt}")
    words = [w.strip(".,;:!?\"'()").lower() for w in prompt.split()]
    topics = [w for w in words if len(w) > 2 and w not in _STOP_WORDS]
    topic = " ".join(topics[-2:]) if topics else "your request"
    openings, body = (_ADAPTER_OPENINGS, _ADAPTER_BODY) if adapter else (_BASE_OPENINGS, _BASE_BODY)
    sentences = [rng.choice(openings), *rng.sample(body, rng.randint(3, 5))]
    if wants_length := re.search(r"(\d+)\s+(?:words|tokens|sentences|lines)", prompt):
        while len(sentences) * 9 < min(int(wants_length.group(1)), 2000):
            sentences.append(rng.choice(body))
    text = " ".join(sentences).format(topic=topic, ticket=f"SUP-{rng.randint(1000, 9999)}")
    for mark in stop:
        if mark and mark in text:
            text = text[: text.index(mark)]
    pieces = tokenize(text)
    cut = max_tokens < len(pieces)
    scale = max(0.4, billions / 8.0) ** 0.7
    return Completion(
        pieces=pieces[: max(0, max_tokens)] if cut else pieces,
        finish_reason="length" if cut else "stop",
        prompt_tokens=max(1, len(tokenize(prompt))),
        first_token=round((0.16 + rng.random() * 0.12 + len(words) * 0.0004) * scale, 4),
        per_token=round((0.010 + rng.random() * 0.004) * scale, 5),
    )


def of_messages(messages: Any) -> str | None:
    """All that is said in a chat, as one text; None for what are no messages."""
    if not isinstance(messages, list) or not messages or not all(_is_message(m) for m in messages):
        return None
    return "\n".join(_content(message) for message in messages)


def _is_message(message: Any) -> bool:
    return isinstance(message, dict) and isinstance(message.get("role"), str)


def _content(message: dict[str, Any]) -> str:
    content = message.get("content")
    if isinstance(content, list):
        content = " ".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return str(content or "")
