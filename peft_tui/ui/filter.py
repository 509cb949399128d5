"""What the `/` line asks for, and whether a deployment is meant by it."""

from __future__ import annotations

from dataclasses import dataclass

from peft_tui.domain.deployment import Deployment, Origin
from peft_tui.domain.operation import DOING, OperationState
from peft_tui.domain.status import Status


@dataclass(frozen=True, slots=True)
class Filter:
    """What the `/` line asks for: `status:failed platform:modal llama`."""

    status: str = ""
    platform: str = ""
    words: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Filter:
        status = platform = ""
        words = []
        for token in text.lower().split():
            if token.startswith("status:"):
                status = token.removeprefix("status:")
            elif token.startswith("platform:"):
                platform = token.removeprefix("platform:")
            else:
                words.append(token)
        return cls(status, platform, tuple(words))

    def __str__(self) -> str:
        tokens = [f"status:{self.status}"] if self.status else []
        tokens += [f"platform:{self.platform}"] if self.platform else []
        return " ".join((*tokens, *self.words))

    def __bool__(self) -> bool:
        return bool(self.status or self.platform or self.words)

    def admits(self, deployment: Deployment) -> bool:
        """Whether every part of it fits."""
        if self.status and not self._fits_status(deployment):
            return False
        if self.platform and not deployment.platform.startswith(self.platform):
            return False
        name = deployment.name.lower()
        texts = (name, deployment.spec.source.reference.lower(), deployment.spec.base_model.lower())
        return all(any(word in text for text in texts) or _scattered(word, name) for word in self.words)

    def _fits_status(self, deployment: Deployment) -> bool:
        words = [deployment.status.value, deployment.condition.value.replace(" ", "-")]
        if deployment.status is Status.PENDING:
            words.append(Status.DEPLOYING.value)
        operation = deployment.operation
        if operation is not None and operation.state is OperationState.FAILED:
            words.append(Status.FAILED.value)
        if operation is not None and not operation.state.ended:
            words.append(DOING[operation.kind])
        if deployment.origin is not Origin.OURS:
            words.append(deployment.origin.value)
        return any(word.startswith(self.status) for word in words if word)


def _scattered(letters: str, text: str) -> bool:
    """Whether the letters stand in the text in this order."""
    rest = iter(text)
    return all(letter in rest for letter in letters)
