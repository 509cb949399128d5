"""What is measured of one request, and what the words mean.

t0 is just before the request is written, tᵢ the receipt of the i-th event with non-empty text, t_n the last.

    first text (TTFT)      t₁ − t0; not known of an answer in one piece
    total (latency, E2E)   t_n − t0
    per token (TPOT)       (t_n − t₁) / (tokens out − 1), from two tokens on
    tokens/s               tokens out / total
    cold                   nothing was known to be up at t0, or an instance had to be waited for
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum

from peft_tui.domain.inference import (
    Answered,
    Finished,
    InferenceTarget,
    Sent,
    StreamEvent,
    TextPiece,
    TokenPrice,
    Usage,
    Waiting,
    Wake,
)
from peft_tui.domain.money import Price, Provenance

CHARACTERS_PER_TOKEN = 4
"""Of ordinary English: for an estimate where a platform does not count."""


class Outcome(StrEnum):
    OK = "ok"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Source(StrEnum):
    """Which part of the program asked."""

    CONSOLE = "console"
    LOAD = "load"
    COMMAND = "command"
    COMPARE = "compare"


class Basis(StrEnum):
    """What a cost is reckoned from."""

    NONE = ""
    TOKENS = "tokens"
    TIME = "time"
    """The time that an instance worked on it: a part of what the instance costs, idle time left out."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What one request cost, as far as that can be told."""

    usd: Decimal | None = None
    basis: Basis = Basis.NONE
    source: str = ""
    provenance: Provenance = Provenance.ESTIMATED


@dataclass(frozen=True, slots=True)
class Measured:
    """The figures of one request; None is not known. Seconds from t0."""

    first_text_s: float | None = None
    first_answer_s: float | None = None
    """The same without thoughts."""
    total_s: float | None = None
    connect_s: float | None = None
    queue_s: float | None = None
    """Reported: how long it waited for an instance."""
    run_s: float | None = None
    """Reported: how long an instance worked on it."""
    tokens_in: int | None = None
    tokens_out: int | None = None
    tokens_cached: int | None = None
    tokens_from: Provenance | None = None
    cold: bool | None = None
    pieces: int = 0
    gaps_s: tuple[float, ...] = ()
    """Between pieces, which may hold several tokens each."""

    @property
    def per_token_s(self) -> float | None:
        if self.total_s is None or self.first_text_s is None or (self.tokens_out or 0) < 2:
            return None
        return (self.total_s - self.first_text_s) / ((self.tokens_out or 0) - 1)

    @property
    def tokens_per_second(self) -> float | None:
        if not self.total_s or not self.tokens_out:
            return None
        return self.tokens_out / self.total_s


@dataclass(slots=True)
class Meter:
    """Takes the events of one exchange as they come."""

    wake: Wake = Wake.NOTHING
    warm: bool | None = None
    """What was known at t0: True that it is up, False that it is not."""
    sent: float | None = None
    status: int | None = None
    connect_s: float | None = None
    usage: Usage | None = None
    finished: Finished | None = None
    waited: bool = False
    characters: int = 0
    times: list[float] = field(default_factory=list)
    first_answer: float | None = None
    _streamed: bool = True

    def take(self, event: StreamEvent) -> None:
        match event:
            case TextPiece():
                if event.text:
                    self.times.append(event.at)
                    self.characters += len(event.text)
                    if self.first_answer is None and not event.thought:
                        self.first_answer = event.at
            case Usage():
                self.usage = event
            case Sent():
                self.sent = event.at
            case Answered():
                self.status = event.status
                self.connect_s = event.connect_seconds
            case Waiting():
                self.waited = True
            case Finished():
                self.finished = event
                self._streamed = event.streamed

    def measured(self, ended_at: float, since: float | None = None) -> Measured:
        """The figures.

        Args:
            ended_at: when the exchange ended, for where no text came.
            since: another t0, such as the time at which it was meant to be sent.
        """
        if self.sent is None and since is None:
            return Measured()
        t0 = since if since is not None else self.sent or 0.0
        last = self.times[-1] if self.times else ended_at
        reported = self.finished.reported if self.finished else {}
        first = self.times[0] - t0 if self.times and self._streamed else None
        answer = self.first_answer - t0 if self.first_answer is not None and self._streamed else None
        usage, counted = self.usage or Usage(None, None), Provenance.REPORTED
        out = usage.tokens_out
        if out is None and self.times:
            # Chunks are not tokens; a rough guess from the characters is marked as one.
            out, counted = max(round(self.characters / CHARACTERS_PER_TOKEN), 1), Provenance.ESTIMATED
        known = usage.tokens_in is not None or out is not None
        return Measured(
            first,
            answer,
            last - t0,
            self.connect_s,
            reported.get("queue"),
            reported.get("run"),
            usage.tokens_in,
            out,
            usage.cached,
            counted if known else None,
            self._cold(),
            len(self.times),
            tuple(b - a for a, b in zip(self.times, self.times[1:], strict=False)),
        )

    def _cold(self) -> bool | None:
        if self.waited or self.wake is not Wake.NOTHING:
            # That it might have to boot is not that it did: only a wait tells, where nobody knew.
            return True if self.waited or self.warm is False else None
        return None if self.warm is None else not self.warm


def cost(target: InferenceTarget, measured: Measured) -> Cost:
    """What a request cost: by tokens where they are priced, else by the time of one instance."""
    price = target.price
    if isinstance(price, TokenPrice):
        if measured.tokens_in is None or measured.tokens_out is None:
            return Cost(None, Basis.TOKENS, price.source)
        cached = min(measured.tokens_cached or 0, measured.tokens_in)
        cached_price = (
            price.usd_per_million_in if price.usd_per_million_cached is None else price.usd_per_million_cached
        )
        total = (
            (measured.tokens_in - cached) * price.usd_per_million_in
            + cached * cached_price
            + measured.tokens_out * price.usd_per_million_out
        )
        return Cost(total / 1_000_000, Basis.TOKENS, f"{price.source}, {price.as_of}")
    seconds = measured.run_s if measured.run_s is not None else measured.total_s
    if isinstance(price, Price) and seconds is not None:
        amount = price.usd_per_hour * Decimal(str(round(seconds, 6))) / 3600
        return Cost(amount, Basis.TIME, f"{price.source}, {price.as_of[:10]}")
    return Cost()


def tokens_of(text: str) -> int:
    """A guess at the number of tokens, rather too many than too few."""
    return max(len(text.encode()) // 3, 1)
