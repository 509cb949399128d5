"""Replicate's predictions: made by a POST, streamed from another host, their counts read afterwards."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from peft_tui.domain.errors import ConnectionFailed, PeftTuiError, PlatformFailed, TimedOut
from peft_tui.domain.inference import (
    Answered,
    Finished,
    InferenceTarget,
    PromptRequest,
    Sent,
    ServedModel,
    StreamEvent,
    TextPiece,
    Usage,
    Waiting,
)
from peft_tui.drivers.dialects import parts
from peft_tui.drivers.dialects.sse import SseEvent, framed
from peft_tui.text import clean_line

if TYPE_CHECKING:
    from peft_tui.drivers.streaming import Channel

ENDED = ("succeeded", "failed", "canceled", "aborted")
POLL_SECONDS, POLL_SECONDS_MAX = 0.5, 5.0
RESUMES = 5
"""Broken connections in a row, without an event in between, until a stream is given up."""
NAMES = {
    "max_tokens": ("max_tokens", "max_new_tokens", "max_length"),
    "stop": ("stop_sequences", "stop"),
    "system": ("system_prompt", "system"),
}
"""What the inputs are called in different packagings; the version's schema decides."""


def path(target: InferenceTarget, request: PromptRequest) -> str:
    return target.url


def body(target: InferenceTarget, model: ServedModel, request: PromptRequest) -> dict[str, Any]:
    """Only inputs that the version knows: what it does not know cannot be asked of it."""
    known = target.inputs

    def name(meaning: str) -> str | None:
        spellings = NAMES.get(meaning, (meaning,))
        return spellings[0] if known is None else next((s for s in spellings if s in known), None)

    wanted: dict[str, Any] = {
        "max_tokens": request.max_tokens,
        "temperature": request.temperature,
        "top_p": request.top_p,
    }
    if request.stop:
        wanted["stop"] = ",".join(request.stop)
    if request.seed is not None:
        wanted["seed"] = request.seed
    given: dict[str, Any] = {"prompt": request.prompt}
    if request.system:
        if (system := name("system")) is not None:
            given[system] = request.system
        else:
            given["prompt"] = f"{request.system}\n\n{request.prompt}"
    given |= {spelled: value for key, value in wanted.items() if (spelled := name(key)) is not None}
    return {"input": {**given, **target.extra}}


async def speak(
    channel: Channel, target: InferenceTarget, model: ServedModel, request: PromptRequest
) -> AsyncGenerator[StreamEvent, None]:
    exchange = _Exchange(channel, request.stream)
    # Without a stream the connection is held for a moment, then the prediction is asked for again by GET.
    headers = {"Cancel-After": f"{max(int(channel.limits.total_seconds), 5)}s"}
    if not request.stream:
        headers["Prefer"] = "wait=5"
    yield Sent(channel.now())
    making = asyncio.create_task(_make(channel, path(target, request), body(target, model, request), headers))
    try:
        answered, prediction = await asyncio.shield(making)
        exchange.take(prediction)
        yield answered
        async with aclosing(exchange.follow(answered.status)) as events:
            async for event in events:
                yield event
    finally:
        # Whoever stops listening does not want to pay for the rest, nor for what is only being asked for.
        if not exchange.ended and not (making.done() and (making.cancelled() or making.exception())):
            await channel.afterwards(exchange.give_up(making))


async def _make(
    channel: Channel, url: str, body: dict[str, Any], headers: dict[str, str]
) -> tuple[Answered, Any]:
    async with channel.ask(url, body, headers) as asked:
        answer = asked.answer
        return Answered(answer.at, answer.status, answer.connect_seconds), await answer.json()


class _Exchange:
    """One prediction."""

    def __init__(self, channel: Channel, streaming: bool) -> None:
        self.channel = channel
        self.streaming = streaming
        self.id = ""
        self.data: dict[str, Any] = {}
        self.record = parts.Record()
        self.pieces = 0

    @property
    def ended(self) -> bool:
        return self.data.get("status") in ENDED

    def take(self, data: Any) -> None:
        if not isinstance(data, dict) or not isinstance(data.get("id"), str):
            raise self.channel.not_understood()
        self.data, self.id = data, data["id"]

    def url(self, key: str) -> str:
        urls = self.data.get("urls")
        value = urls.get(key) if isinstance(urls, dict) else None
        return value if isinstance(value, str) else ""

    async def look(self) -> None:
        self.take(await self.channel.get(self.url("get")))

    async def give_up(self, making: asyncio.Task[tuple[Answered, Any]]) -> None:
        """Cancel the prediction, also one whose answer is still on its way."""
        if not self.id:
            self.take((await making)[1])
        await self.channel.post(self.url("cancel"))

    async def follow(self, status: int) -> AsyncGenerator[StreamEvent, None]:
        streamed = self.streaming and bool(self.url("stream")) and not self.ended
        if streamed:
            async with aclosing(self._stream()) as events:
                async for event in events:
                    yield event
            await self.look()
        wait = POLL_SECONDS
        told = ""
        while not self.ended:
            word = clean_line(self.data.get("status") or "", 40)
            if word != told and not streamed:
                told = word
                yield Waiting(_words(word), self.channel.now())
            await self.channel.sleep(wait)
            wait = min(wait * 1.5, POLL_SECONDS_MAX)
            await self.look()
        at = self.channel.now()
        word = str(self.data["status"])
        if word != "succeeded":
            raise self._failed(word, status)
        if not self.pieces and (text := _text(self.data.get("output"))):
            yield TextPiece(text, at)
        metrics = self.data.get("metrics")
        metrics = metrics if isinstance(metrics, dict) else {}
        counts = Usage(
            parts.count(metrics.get("input_token_count")), parts.count(metrics.get("output_token_count"))
        )
        if counts != Usage(None, None):
            yield counts
        yield Finished(
            "stop",
            at,
            status,
            clean_line(self.data.get("model") or "", 200),
            self.id,
            raw="\n".join(filter(None, (self.record.text, self.channel.pretty(self.data)))),
            reported=_reported(metrics),
            streamed=bool(self.pieces),
        )

    async def _stream(self) -> AsyncGenerator[StreamEvent, None]:
        """The events of the stream, taken up again where a connection ends before them."""
        last, broken, told = "", 0, False
        headers = {"Accept": "text/event-stream"}
        while True:
            got = False
            resume = {"Last-Event-ID": last} if last else {}
            try:
                async with (
                    self.channel.read(self.url("stream"), {**headers, **resume}) as answer,
                    aclosing(framed(answer.chunks())) as arriving,
                ):
                    async for event, at in arriving:
                        if not event.event:
                            continue
                        last, got = event.id, True
                        if event.event == "output" and event.data:
                            self.pieces += 1
                            yield TextPiece(event.data, at)
                        if self._ends(event):
                            return
            except (ConnectionFailed, TimedOut) as error:
                if not error.transient:
                    raise
                broken += 1
                if broken > RESUMES:
                    raise
                await self.channel.sleep(POLL_SECONDS)
            if got:
                broken = 0
            # A silent stream ends after half a minute, with a comment; the prediction goes on.
            await self.look()
            if self.ended and not got:
                return
            if not self.pieces and not told:
                told = True
                yield Waiting(_words(clean_line(self.data.get("status") or "", 40)), self.channel.now())

    def _ends(self, event: SseEvent) -> bool:
        self.record.add(f"{event.event} {event.id} {json.dumps(event.data, ensure_ascii=False)}")
        return event.event in ("done", "error")

    def _failed(self, word: str, status: int) -> PeftTuiError:
        said = clean_line(self.data.get("error") or "")
        if word == "aborted":
            return TimedOut(
                "Replicate gave up before an instance took the request.",
                hint="It was not run. Ask again when an instance is up.",
                detail=said,
                status=status,
            )
        return PlatformFailed(
            f"Replicate: the prediction {word}{f': {said}' if said else ''}.",
            hint="Its run time until then was billed.",
            detail=said,
            status=status,
        )


def _words(status: str) -> str:
    return "an instance is booting or busy" if status == "starting" else status or "waiting"


def _text(output: Any) -> str:
    if isinstance(output, list):
        return "".join(part if isinstance(part, str) else json.dumps(part) for part in output)
    if output is None:
        return ""
    return output if isinstance(output, str) else json.dumps(output, ensure_ascii=False)


def _reported(metrics: dict[str, Any]) -> dict[str, float]:
    named = {"run": "predict_time", "total": "total_time", "first_text": "time_to_first_token"}
    found = {
        key: float(value)
        for key, name in named.items()
        if isinstance(value := metrics.get(name), (int, float)) and not isinstance(value, bool)
    }
    if "run" in found and "total" in found:
        found["queue"] = max(found["total"] - found["run"], 0.0)
    return found
