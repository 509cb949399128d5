"""Work that a screen starts and does not wait for."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from textual.dom import DOMNode
from textual.worker import Worker


def start_work(
    node: DOMNode, work: Callable[[], Awaitable[object]], *, group: str, exclusive: bool = False
) -> Worker[None]:
    """Do it in a worker of `node`, with which it ends; an exception does not end the application.

    Args:
        work: what makes the coroutine, not the coroutine: one that is cancelled before it begins, by the next
            one of its group or by the end of the application, would be dropped with a warning.
        group: what it belongs to.
        exclusive: whatever else goes on in the group is cancelled.
    """

    async def run() -> None:
        await work()

    return node.run_worker(run, group=group, exclusive=exclusive, exit_on_error=False)
