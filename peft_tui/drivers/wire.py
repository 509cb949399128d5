"""What the drivers' models of the platforms' JSON have in common."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError, model_validator
from pydantic.alias_generators import to_camel

from peft_tui.domain.errors import ConnectionFailed, Effect
from peft_tui.text import clean_line


def _text(value: object) -> str:
    return "" if value is None else clean_line(value)


Text = Annotated[str, BeforeValidator(_text)]
"""Foreign text, cleaned as it comes in; null is empty."""


class Wire(BaseModel):
    """Lenient: unknown members are ignored, and what may be left out has a default."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _null_is_left_out(cls, data: Any) -> Any:
        return {k: v for k, v in data.items() if v is not None} if isinstance(data, dict) else data


class CamelWire(Wire):
    """The same for JSON in camelCase."""

    model_config = ConfigDict(extra="ignore", frozen=True, alias_generator=to_camel, populate_by_name=True)


W = TypeVar("W", bound=Wire)
INLINE = 50
"""How many models are made without leaving the event loop: about four milliseconds' worth."""


def parse(model: type[W], body: Any, platform: str, effect: Effect = Effect.NONE) -> W:
    """`body` as `model`.

    Args:
        effect: UNKNOWN for the answer to a request that makes something: it may have been made.

    Raises:
        ConnectionFailed: it is not what this platform's protocol says.
    """
    try:
        return model.model_validate(body)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ConnectionFailed(
            f"{platform} answered in a shape that peft-tui does not know ({clean_line(where, 80)}).",
            hint="Its API may have changed: look for a newer peft-tui.",
            detail=clean_line(first["msg"]),
            effect=effect,
        ) from error


async def parse_all(model: type[W], bodies: Sequence[Any], platform: str) -> list[W]:
    """Each of `bodies` as `model`; a long list in a thread, for no key should wait for it."""
    if len(bodies) <= INLINE:
        return [parse(model, body, platform) for body in bodies]
    return await asyncio.to_thread(lambda: [parse(model, body, platform) for body in bodies])


def parse_page(model: type[W], body: Any, items: str, platform: str) -> W:
    """`body` as one page of a list.

    Raises:
        ConnectionFailed: it has no `items`: something else answered, and must not be taken for an empty list.
    """
    if not isinstance(body, dict) or items not in body:
        raise ConnectionFailed(
            f"{platform} answered with something else than a list.",
            hint="What is shown stays as it was last seen.",
        )
    return parse(model, body, platform)


def moment(text: str | None) -> datetime | None:
    """RFC 3339 with any number of fraction digits, UTC when it names no zone; None when it is not one."""
    if not text:
        return None
    head, dot, rest = text.strip().replace("Z", "+00:00").partition(".")
    if dot:
        digits = rest[: len(rest) - len(rest.lstrip("0123456789"))]
        head = f"{head}.{digits[:6].ljust(6, '0')}{rest[len(digits) :]}"
    try:
        parsed = datetime.fromisoformat(head)
    except ValueError:
        return None
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)


def made(model: type[W], body: Any, platform: str) -> W:
    """The answer to a request that makes something, which was made even if the answer makes no sense."""
    return parse(model, body, platform, Effect.UNKNOWN)
