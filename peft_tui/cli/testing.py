"""`peft-tui test`: one request without a screen."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from peft_tui.backend import Backend
from peft_tui.cli.output import data, piece, talk
from peft_tui.domain.deployment import Deployment
from peft_tui.domain.errors import ConfigurationInvalid, PeftTuiError
from peft_tui.domain.inference import (
    InferenceTarget,
    PromptRequest,
    Role,
    Sent,
    ServedModel,
    StreamEvent,
    TextPiece,
    Waiting,
    Wake,
)
from peft_tui.domain.measure import Source
from peft_tui.domain.request import Exchange
from peft_tui.drivers import PLATFORMS
from peft_tui.services.parameters import number, problems, seed
from peft_tui.services.prompts import Question, check_sendable
from peft_tui.services.wording import figures
from peft_tui.text import Cleaner

STATUSES = {cls.kind: cls.exit_status for cls in PeftTuiError.__subclasses__()}


def add_test_arguments(parser: argparse.ArgumentParser) -> None:
    add_request(parser)
    parser.add_argument("--prompt", required=True, metavar="TEXT", help="- reads standard input")
    parser.add_argument("--no-stream", action="store_true", help="the answer in one piece")


def add_request(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME")
    parser.add_argument("--platform", choices=PLATFORMS, help="where several have the same name")
    parser.add_argument("--system", default="", metavar="TEXT", help="system message")
    parser.add_argument("--max-tokens", default="100", metavar="N")
    parser.add_argument("--temperature", default="0.7", metavar="T", help="0.0 to 2.0 (0.7)")
    parser.add_argument("--top-p", default="0.9", metavar="P", help="0.0 to 1.0 (0.9)")
    parser.add_argument("--stop", action="append", default=[], metavar="TEXT", help="may be repeated")
    parser.add_argument("--seed", default="", metavar="N")
    parser.add_argument(
        "--model", "--adapter", default="", metavar="M", help="where several are served; “base” is the base"
    )
    parser.add_argument("--json", action="store_true")


async def test(backend: Backend, args: argparse.Namespace) -> int:
    """One request; its text on standard output as it comes, its figures on standard error."""
    prompt = sys.stdin.read() if args.prompt == "-" else args.prompt
    request = request_of(args, prompt)
    deployment, target, model = await whom(backend, args)
    shown = _Shown(args.json, target.wake_words if target.wake is Wake.WAKES else "")
    question = Question(deployment, target, model, request, Source.COMMAND)
    try:
        exchange = await backend.prompts.ask(question, shown.take)
    finally:
        shown.finish()
    if exchange.warning:
        talk(exchange.warning)
    if not exchange.id:
        talk("It could not be written down: the store does not take it.")
    if args.json:
        data(_document(exchange))
        return _status(exchange)
    if exchange.error is not None:
        talk(f"peft-tui: {exchange.error_message}")
        talk(f"  {exchange.error.get('hint', '')}")
    talk(", ".join(figures(exchange)))
    return _status(exchange)


async def whom(backend: Backend, args: argparse.Namespace) -> tuple[Deployment, InferenceTarget, ServedModel]:
    """What is asked, as the platform shows it now; nothing is sent to it."""
    await backend.refresh_once()
    deployment = await backend.deployments.find(args.name, args.platform or "")
    target = await backend.prompts.target(deployment)
    model = target.model(args.model)
    check_sendable(target)
    return deployment, target, model


def request_of(args: argparse.Namespace, prompt: str) -> PromptRequest:
    def named(flag: str, key: str) -> float:
        try:
            return number(key, getattr(args, key))
        except ConfigurationInvalid as error:
            raise ConfigurationInvalid(f"{flag}: {error.message}", hint="Nothing was sent.") from error

    try:
        chosen = seed(args.seed)
    except ConfigurationInvalid as error:
        raise ConfigurationInvalid(f"--seed: {error.message}", hint="Nothing was sent.") from error
    request = PromptRequest(
        prompt,
        args.system,
        int(named("--max-tokens", "max_tokens")),
        named("--temperature", "temperature"),
        named("--top-p", "top_p"),
        tuple(args.stop),
        chosen,
        not args.no_stream,
    )
    if found := problems(request):
        key, words = next(iter(found.items()))
        raise ConfigurationInvalid(f"--{key}: {words}", hint="Nothing was sent.")
    return request


class _Shown:
    """The text as it comes, cleaned across the borders of its pieces."""

    def __init__(self, quiet: bool, wakes: str) -> None:
        self._quiet = quiet
        self._wakes = wakes
        self._cleaner = Cleaner()
        self._thought = False
        self._any = False

    def take(self, event: StreamEvent) -> None:
        if isinstance(event, Sent) and self._wakes:
            # Only now: what was not sent boots nothing.
            talk(self._wakes)
            self._wakes = ""
        elif isinstance(event, Waiting):
            talk(f"{event.words} …")
        elif isinstance(event, TextPiece) and not event.thought and not self._quiet:
            self._write(self._cleaner.feed(event.text))

    def finish(self) -> None:
        if not self._quiet:
            self._write(self._cleaner.finish())
            if self._any:
                self._write("\n")

    def _write(self, text: str) -> None:
        if text:
            self._any = True
            piece(text)


def _document(exchange: Exchange) -> dict[str, Any]:
    """The exchange as scripts see it; unknown is null."""
    measured, texts = exchange.measured, exchange.texts
    document: dict[str, Any] = {
        "id": exchange.id,
        "deployment_id": exchange.deployment_id,
        "model": exchange.model,
        "text": texts.response if texts else None,
        "thoughts": (texts.thoughts or None) if texts else None,
        "reason": exchange.reason or None,
        "outcome": exchange.outcome,
        "status": exchange.status,
        "at": exchange.at,
        "first_text_s": measured.first_text_s,
        "total_s": measured.total_s,
        "per_token_s": measured.per_token_s,
        "tokens_per_second": measured.tokens_per_second,
        "tokens_in": measured.tokens_in,
        "tokens_out": measured.tokens_out,
        "tokens_cached": measured.tokens_cached,
        "tokens_source": measured.tokens_from,
        "cold": measured.cold,
        "connect_s": measured.connect_s,
        "queue_s": measured.queue_s,
        "run_s": measured.run_s,
        "cost_usd": exchange.cost.usd,
        "cost_basis": exchange.cost.basis or None,
        "cost_source": exchange.cost.source or None,
        "streamed": measured.first_text_s is not None,
        "base": exchange.role is Role.BASE,
        "warning": exchange.warning or None,
    }
    if exchange.error is not None:
        document["error"] = dict(exchange.error)
    return document


def _status(exchange: Exchange) -> int:
    if exchange.error is None:
        return 0
    return STATUSES.get(str(exchange.error.get("kind")), 1)
