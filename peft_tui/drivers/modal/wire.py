"""What the control plane's messages say, as far as it is used here."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from peft_tui.drivers.wire import Text, Wire
from peft_tui.text import clean

STATES = {
    0: "UNSPECIFIED",
    1: "EPHEMERAL",
    2: "DETACHED",
    3: "DEPLOYED",
    4: "STOPPING",
    5: "STOPPED",
    6: "INITIALIZING",
    7: "DISABLED",
    8: "DETACHED_DISCONNECTED",
    9: "DERIVED",
}
"""`AppState` of the protocol."""
SUCCESS = 1
"""`GenericResult.status` of what went well; 0 is not ended."""


class App(Wire):
    """One line of `AppList`."""

    app_id: Text
    name: Text = ""
    """Empty for what was never deployed under a name."""
    description: Text = ""
    state: str = "UNSPECIFIED"
    created_at: float = 0.0
    stopped_at: float = 0.0
    running: int = 0
    """How many containers it has, says the list."""

    @staticmethod
    def of(message: Any) -> App:
        number = int(message.state)
        return App(
            app_id=message.app_id,
            name=message.name,
            description=message.description,
            state=STATES.get(number, f"STATE_{number}"),
            created_at=message.created_at,
            stopped_at=message.stopped_at,
            running=message.n_running_tasks,
        )


class Container(Wire):
    """One line of `TaskList`: what Modal calls a task."""

    task_id: Text
    app_id: Text
    enqueued_at: float = 0.0
    started_at: float = 0.0
    """0: still waiting for a machine, or being started."""

    @staticmethod
    def of(message: Any) -> Container:
        return Container(
            task_id=message.task_id,
            app_id=message.app_id,
            enqueued_at=message.enqueued_at,
            started_at=message.started_at,
        )


class ContainerInfo(Wire):
    """`TaskGetInfo`."""

    gpu: Text = ""
    """As it is asked for: `H100:2`. What it really got, where others were allowed too."""
    finished_at: float = 0.0
    status: int = 0
    exception: Text = ""

    @property
    def failed(self) -> bool:
        return bool(self.finished_at) and self.status not in (0, SUCCESS)

    @staticmethod
    def of(message: Any) -> ContainerInfo:
        info = message.info
        return ContainerInfo(
            gpu=gpu_name(info.gpu_config) or info.gpu_type,
            finished_at=info.finished_at,
            status=int(info.result.status),
            exception=info.result.exception,
        )


class Server(Wire):
    """`FunctionGet` of the server in an app of ours, with what its autoscaler says."""

    function_id: Text
    url: str = ""
    gpu: Text = ""
    min_containers: int = 0
    max_containers: int | None = None
    """None: no limit."""
    buffer_containers: int = 0
    scaledown_window: int = 0
    """Seconds; 0: not told."""

    @staticmethod
    def of(message: Any) -> Server:
        handle, data = message.handle_metadata, message.function
        urls = [*handle._experimental_flash_urls, *data.flash_service_urls, handle.web_url, data.web_url]
        ranked = [entry.function for entry in data.ranked_functions]
        gpus = [gpu_name(function.resources.gpu_config) for function in ranked]
        return Server(
            function_id=message.function_id,
            url=next((url for url in urls if url), ""),
            gpu=gpus[0] if gpus else "",
            min_containers=data.autoscaler_settings.min_containers,
            max_containers=data.autoscaler_settings.max_containers or None,
            buffer_containers=data.autoscaler_settings.buffer_containers,
            scaledown_window=data.autoscaler_settings.scaledown_window,
        )


class Version(Wire):
    """One line of `AppDeploymentHistory`."""

    version: int
    tag: Text = ""
    deployed_at: float = 0.0
    deployed_by: Text = ""
    rollback_version: int = 0
    rollback_allowed: bool = False

    @staticmethod
    def of(message: Any) -> Version:
        return Version(
            version=message.version,
            tag=message.tag,
            deployed_at=message.deployed_at,
            deployed_by=message.deployed_by,
            rollback_version=message.rollback_version,
            rollback_allowed=message.rollback_allowed,
        )


class Environment(Wire):
    """One line of `EnvironmentList`."""

    name: Text
    environment_id: Text = ""
    default: bool = False
    suffix: Text = ""

    @staticmethod
    def of(message: Any) -> Environment:
        return Environment(
            name=message.name,
            environment_id=message.environment_id,
            default=message.default,
            suffix=message.webhook_suffix,
        )


class Budget(Wire):
    """`EnvironmentGetBudget`, in USD; a limit of 0 is none."""

    limit: float = 0.0
    used: float = 0.0
    reached: bool = False

    @property
    def words(self) -> str:
        """`$3.20 of $30.00 used`; a limit that is reached may be the workspace's, and is not told here."""
        return f"${self.used:.2f} of ${self.limit:.2f} used" if self.limit else f"${self.used:.2f} used"

    @staticmethod
    def of(message: Any) -> Budget:
        return Budget(
            limit=message.effective_cycle_spend_limit or message.cycle_budget_dollars,
            used=message.current_cycle_usage,
            reached=message.spend_limit_reached,
        )


def gpu_name(config: Any) -> str:
    """`H100:2` from the protocol's two fields; empty for none."""
    name = str(config.gpu_type)
    return f"{name}:{config.count}" if name and config.count > 1 else name


def at(seconds: float) -> datetime | None:
    """A time of the protocol: seconds since 1970, 0 for never."""
    if not 0 < seconds < 1e11:
        return None
    return datetime.fromtimestamp(seconds, UTC)


def cleaned_lines(chunks: Iterable[str]) -> list[str]:
    """Output comes in pieces of one or more lines."""
    return [clean(line, 500) for chunk in chunks for line in chunk.splitlines()]
