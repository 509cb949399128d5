"""The world: accounts, resources, money, faults and what was asked, for one seed."""

from __future__ import annotations

import hashlib
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from peft_tui.sandbox.clock import Clock
from peft_tui.sandbox.faults import Fault
from peft_tui.sandbox.modal.state import ModalState
from peft_tui.sandbox.modal.state import fresh as fresh_modal
from peft_tui.sandbox.predibase.catalog import fresh as fresh_predibase
from peft_tui.sandbox.predibase.state import PredibaseState
from peft_tui.sandbox.replicate.seed import fresh as fresh_replicate
from peft_tui.sandbox.replicate.state import ReplicateState
from peft_tui.sandbox.together.state import TogetherState
from peft_tui.sandbox.together.state import fresh as fresh_together

_ALPHABET = "0123456789abcdefghijklmnopqrstuvwxyz"


@dataclass
class LoggedRequest:
    """A call that was received. `status` is 0 when no answer went out."""

    platform: str
    method: str
    path: str
    status: int | None
    at: float
    bytes_in: int = 0


@dataclass
class WorldData:
    """All that survives a restart."""

    seed: int
    counter: int = 0
    now: float = 0.0
    saved_at: float = 0.0
    requests: list[LoggedRequest] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    together: TogetherState = field(default_factory=TogetherState)
    replicate: ReplicateState = field(default_factory=ReplicateState)
    modal: ModalState = field(default_factory=ModalState)
    predibase: PredibaseState = field(default_factory=PredibaseState)


def fresh_data(seed: int, now: float) -> WorldData:
    """A new world: accounts and catalogues, no resources yet."""
    return WorldData(
        seed=seed,
        now=now,
        together=fresh_together(),
        replicate=fresh_replicate(now),
        modal=fresh_modal(now),
        predibase=fresh_predibase(now),
    )


class World:
    """The data with its clock, and the few services that all clouds share."""

    def __init__(self, data: WorldData, clock: Clock) -> None:
        self.data = data
        self.clock = clock
        self.on_change: Callable[[bool], None] = lambda soon: None
        self.file_bytes: dict[str, bytes] = {}
        # Requests that a container is working on, by its id; none outlives the program.
        self.in_flight: Counter[str] = Counter()

    @property
    def together(self) -> TogetherState:
        """The Together cloud."""
        return self.data.together

    @property
    def replicate(self) -> ReplicateState:
        """The Replicate cloud."""
        return self.data.replicate

    @property
    def modal(self) -> ModalState:
        """The Modal cloud."""
        return self.data.modal

    @property
    def predibase(self) -> PredibaseState:
        """The Predibase cloud."""
        return self.data.predibase

    def now(self) -> float:
        """World time, seconds since the epoch."""
        return self.clock.now()

    def reset(self) -> None:
        """Start anew with the same seed; the clock goes on."""
        self.data = fresh_data(self.data.seed, self.now())
        self.file_bytes.clear()
        self.touch()

    def touch(self, *, soon: bool = True) -> None:
        """Something changed that must be saved."""
        self.on_change(soon)

    def rng(self, *key: object) -> random.Random:
        """Randomness that depends on the seed and the key only."""
        return random.Random(f"{self.data.seed}|" + "|".join(map(str, key)))

    def new_id(self, prefix: str = "", length: int = 24, alphabet: str = _ALPHABET) -> str:
        """The next id of this world; the same sequence for the same seed."""
        self.data.counter += 1
        digest = hashlib.sha256(f"{self.data.seed}|{prefix}|{self.data.counter}".encode()).digest()
        number = int.from_bytes(digest, "big")
        letters: list[str] = []
        for _ in range(length):
            number, rest = divmod(number, len(alphabet))
            letters.append(alphabet[rest])
        return prefix + "".join(letters)
