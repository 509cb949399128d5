"""For a real terminal: the application in a world where every word from outside is an attack.

`python -m tests.ui.hostile DIRECTORY`. What the store holds here was never cleaned, as if the boundary had a
hole: the screens and the last line before the terminal have to hold by themselves.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from peft_tui.app import run
from peft_tui.backend import Backend
from peft_tui.config import Problem, Settings
from peft_tui.domain.adapter import Adapter
from peft_tui.domain.deployment import Origin
from peft_tui.domain.errors import PlatformFailed
from peft_tui.domain.event import Event
from peft_tui.domain.inference import Dialect, InferenceTarget, Role, ServedModel
from peft_tui.domain.measure import Outcome
from peft_tui.domain.money import Price
from peft_tui.domain.offers import Account, Assessment, Finding, InstanceType, Level, PlatformModel
from peft_tui.domain.request import Texts
from peft_tui.domain.status import Status
from peft_tui.logs import log_to
from peft_tui.paths import data_dir
from peft_tui.services.lookups import Question, Topic
from peft_tui.store import Store
from tests.endpoints import Say, ScriptedEndpoints
from tests.figures.loads import exchange, record
from tests.seeds import NOON, create, fail, listed, made, observed, put, still_opener

MARK = "Zq"
"""What a person may see of it, and a test looks for."""
PAYLOAD = (
    f"{MARK}\x1b[66;66H\x1b[5i\x1b[?1049l\x9b66;66H[/x][b][@click=app.quit]\u202e"
    "\x1b]52;c;cHduZWQ=\x1b\\\x1b]0;pwned\x07\x9d0;pwned\x9c\x1bPq#0\x1b\\\x1b]8;;http://evil\x1b\\\x00\t\x7f"
)
"""Controls of all kinds, markup that is not closed, markup that is live."""
NAME = f"{MARK}n{PAYLOAD}"
ERROR = {"kind": "platform", "message": f"E{PAYLOAD}", "hint": f"H{PAYLOAD}", "detail": f"D{PAYLOAD}"}
ANSWERS: dict[Topic, Any] = {
    Topic.ACCOUNT: Account("acme", f"A{PAYLOAD}", f"a{PAYLOAD}"),
    Topic.CHECK: Account("acme", f"A{PAYLOAD}", f"a{PAYLOAD}"),
    Topic.INSTANCE_TYPES: (InstanceType("t", f"I{PAYLOAD}", None, PAYLOAD),),
    Topic.MODELS: (PlatformModel(f"acme/{PAYLOAD}", f"M{PAYLOAD}", PAYLOAD, PAYLOAD),),
    Topic.ASSESSMENT: Assessment(
        (Finding(Level.OK, f"F{PAYLOAD}", PAYLOAD), Finding(Level.WARNING, PAYLOAD, f"h{PAYLOAD}")),
        f"B{PAYLOAD}",
        (
            InstanceType(
                f"t{PAYLOAD}", f"I{PAYLOAD}", Price(Decimal(1), PAYLOAD, PAYLOAD), f"v{PAYLOAD}", True
            ),
        ),
    ),
    Topic.EVENTS: (Event(NOON, f"V{PAYLOAD}", "error", f"k{PAYLOAD}"),),
    Topic.LOGS: (f"L{PAYLOAD}", PAYLOAD * 5),
}


async def seed(store: Store) -> None:
    """One that is active, one that failed, one that is nobody's; their names are the same attack."""
    active = made(
        NAME, "modal", adapter=f"a/{PAYLOAD}", base=f"b/{PAYLOAD}", minutes_ago=60, description=PAYLOAD
    )
    seen = observed(
        Status.ACTIVE, 2, reason=f"R{PAYLOAD}", platform_status=f"P{PAYLOAD}", model=f"m{PAYLOAD}",
        instance_type=f"i{PAYLOAD}", endpoint_url=f"https://{PAYLOAD}",
    )  # fmt: skip
    await put(store, active, observed(Status.DEPLOYING, 3000), seen)
    broken = await put(store, made(f"broken{NAME}", adapter=f"./{PAYLOAD}", minutes_ago=70))
    await fail(
        store, await create(store, broken, begun="upload", done=1, total=2, note=PAYLOAD), "upload", ERROR
    )
    orphan = made(f"orphan{NAME}", origin=Origin.ORPHAN, base="", minutes_ago=80)
    await put(store, orphan, observed(Status.FAILED, 2, reason=PAYLOAD, platform_status=PAYLOAD))
    await listed(store, "together")
    await listed(store, "modal")
    await store.platforms.failed("replicate", ERROR, NOON)
    texts = Texts(f"Q{PAYLOAD}", PAYLOAD, (PAYLOAD,), f"T{PAYLOAD}", f"W{PAYLOAD}", f'{{"r": "{PAYLOAD}"}}')
    asked = exchange(active.id, NOON - timedelta(minutes=3), usd="0.1")
    failed = replace(asked, outcome=Outcome.FAILED, error=ERROR, reason=PAYLOAD, model=PAYLOAD)
    await record(
        store, [replace(e, texts=texts, reason=PAYLOAD, model=f"l{PAYLOAD}") for e in (asked, failed)]
    )


async def open_backend() -> Backend:
    directory = Path(sys.argv[1])
    backend = await still_opener(directory, seed)()
    endpoints = ScriptedEndpoints(backend.clock)
    endpoints.found = InferenceTarget(
        Dialect.OPENAI_CHAT,
        f"http://127.0.0.1:9/{PAYLOAD}",
        (ServedModel("bot", f"S{PAYLOAD}"), ServedModel("base", f"s{PAYLOAD}", Role.BASE)),
        wake_words=f"K{PAYLOAD}",
    )
    # A character a piece: every border that there is.
    endpoints.answer = lambda request, model: Say(list(PAYLOAD), first_s=0.0, gap_s=0.0, thoughts=[PAYLOAD])
    endpoints.clock = Hurried()
    backend.prompts.endpoints = endpoints
    backend.lookups.carry_out = lambda question: answer(backend, question)
    return backend


class Hurried:
    """Never waits."""

    def now(self) -> Any:
        return NOON

    def monotonic(self) -> float:
        return 0.0

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(0)


PENDING: set[asyncio.Task[None]] = set()


def answer(backend: Backend, question: Question) -> None:
    """What a platform may say, at once; Replicate fails in words of its own."""

    async def write() -> None:
        error = (
            PlatformFailed(ERROR["message"], hint=ERROR["hint"]) if question.platform == "replicate" else None
        )
        if question.topic is Topic.ADAPTER:
            assert question.source is not None
            value: Any = Adapter(
                question.source, f"b{PAYLOAD}", 16, 32.0, (PAYLOAD,), dtype=PAYLOAD, size_bytes=9
            )
        else:
            value = ANSWERS[question.topic]
        await backend.lookups.write(question, NOON, None if error else value, error)

    task = asyncio.ensure_future(write())
    PENDING.add(task)
    task.add_done_callback(PENDING.discard)


if __name__ == "__main__":
    log_to(data_dir())
    logging.getLogger("peft_tui.hostile").warning("G%s", PAYLOAD)
    sys.exit(run(open_backend, settings=Settings(problems=(Problem(PAYLOAD, PAYLOAD),))))
