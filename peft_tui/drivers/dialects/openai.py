"""OpenAI's chat/completions, as Together, vLLM and others speak it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

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
from peft_tui.drivers.dialects.sse import Framer
from peft_tui.text import clean_line

if TYPE_CHECKING:
    from peft_tui.drivers.streaming import Channel

THOUGHTS = ("reasoning_content", "reasoning")


def path(target: InferenceTarget, request: PromptRequest) -> str:
    return f"{target.url.rstrip('/')}/chat/completions"


def body(target: InferenceTarget, model: ServedModel, request: PromptRequest) -> dict[str, Any]:
    messages = [{"role": "user", "content": request.prompt}]
    if request.system:
        messages.insert(0, {"role": "system", "content": request.system})
    made: dict[str, Any] = {
        "model": model.name,
        "messages": messages,
        "max_tokens": request.max_tokens,
        "temperature": request.temperature,
        "top_p": request.top_p,
    }
    if request.stop:
        made["stop"] = list(request.stop)
    if request.seed is not None:
        made["seed"] = request.seed
    if request.stream:
        made["stream"] = True
        if target.stream_usage:
            made["stream_options"] = {"include_usage": True}
    return {**made, **target.extra}


async def speak(
    channel: Channel,
    target: InferenceTarget,
    model: ServedModel,
    request: PromptRequest,
    reasons: Mapping[str, str] = parts.REASONS,
) -> AsyncGenerator[StreamEvent, None]:
    """Ask and yield what comes.

    Args:
        reasons: the words of a server whose `finish_reason` means something else.
    """
    yield Sent(channel.now())
    async with channel.ask(path(target, request), body(target, model, request)) as asked:
        async for words in asked.waits():
            yield Waiting(words, channel.now())
        answer = asked.answer
        yield Answered(answer.at, answer.status, answer.connect_seconds)
        if not answer.is_event_stream:
            for event in _whole(channel, answer.status, await answer.json(), reasons):
                yield event
            return
        stream = _Stream(channel.title, answer.status)
        async with aclosing(answer.chunks()) as chunks:
            async for chunk, at in chunks:
                for event in stream.take(chunk, at):
                    yield event
                if stream.done:
                    await answer.finish()
                    break
        yield stream.finished(channel.now(), reasons)


class _Stream:
    """What a stream has said so far. Bytes in, events out: no step of it waits for anything."""

    def __init__(self, title: str, status: int) -> None:
        self._title, self._status = title, status
        self._framer = Framer()
        self._record = parts.Record()
        self._ended: Any = ""
        self._used: Any = ""
        self._said: Usage | None = None
        self.done = False
        """It has said so: nothing that comes after that counts."""

    def take(self, chunk: bytes, at: float) -> Iterator[StreamEvent]:
        """What the next bytes complete; without bytes, what was left at the end.

        Raises:
            PeftTuiError: it failed, or it is not understood.
        """
        for framed in self._framer.take(chunk):
            if not framed.data:
                continue
            self._record.add(framed.data)
            if framed.data.strip() == "[DONE]":
                self.done = True
                return
            yield from self._read(parts.parse(framed.data, self._title), at)

    def _read(self, data: Any, at: float) -> Iterator[StreamEvent]:
        if (error := parts.failure(data, self._title, self._status)) is not None:
            raise error
        if not isinstance(data, dict):
            return
        self._used = data.get("model") or self._used
        # In whatever chunk it stands; the last one counts.
        if (counts := parts.usage(data.get("usage"))) is not None and counts != self._said:
            self._said = counts
            yield counts
        for choice in _choices(data):
            for text, thought in _texts(choice.get("delta"), choice):
                yield TextPiece(text, at, thought)
            self._ended = choice.get("finish_reason") or self._ended

    def finished(self, at: float, reasons: Mapping[str, str]) -> Finished:
        """The last event.

        Raises:
            ConnectionFailed: nothing had said that it was the end.
        """
        if not (self.done or self._ended):
            raise parts.broken_off(self._title)
        return Finished(
            _reason(self._ended, reasons), at, self._status, _word(self._used), raw=self._record.text
        )


def _whole(channel: Channel, status: int, data: Any, reasons: Mapping[str, str]) -> Iterator[StreamEvent]:
    """An answer in one piece, whether or not a stream was asked for."""
    at = channel.now()
    if (error := parts.failure(data, channel.title, status)) is not None:
        raise error
    choice = next(_choices(data), None) if isinstance(data, dict) else None
    if choice is None:
        raise channel.not_understood()
    for text, thought in _texts(choice.get("message"), choice):
        yield TextPiece(text, at, thought)
    if (counts := parts.usage(data.get("usage"))) is not None:
        yield counts
    yield Finished(
        _reason(choice.get("finish_reason"), reasons),
        at,
        status,
        _word(data.get("model")),
        raw=channel.pretty(data),
        streamed=False,
    )


def _choices(data: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The first alternative; empty lists, nulls and whatever else stands there are none."""
    choices = data.get("choices")
    for choice in choices if isinstance(choices, list) else ():
        if isinstance(choice, dict) and choice.get("index") in (0, None):
            yield choice


def _texts(message: Any, choice: dict[str, Any]) -> Iterator[tuple[str, bool]]:
    """Thoughts, then text. A delta that names the role only, or null, holds neither."""
    if isinstance(message, dict):
        for key in THOUGHTS:
            if isinstance(thought := message.get(key), str) and thought:
                yield thought, True
                break
        if text := _text(message.get("content")):
            yield text, False
    elif text := _text(choice.get("text")):
        yield text, False


def _text(content: Any) -> str:
    if isinstance(content, list):
        return "".join(str(part.get("text") or "") for part in content if isinstance(part, dict))
    return content if isinstance(content, str) else ""


def _reason(word: Any, reasons: Mapping[str, str]) -> str:
    said = clean_line(word or "", 60)
    return reasons.get(said, parts.reason(said))


def _word(value: Any) -> str:
    return clean_line(value, 200) if isinstance(value, str) and value != "null" else ""
