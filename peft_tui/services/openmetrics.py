"""The figures as OpenMetrics text, for a Prometheus.

Names and bounds of histograms are those of OpenTelemetry's semantic conventions for generative AI.
What is not known is left out, never 0. Labels are few: a deployment, a platform, a model, and words of which
there is a handful; none holds a prompt or the id of a request.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from urllib.parse import urlsplit

from peft_tui.domain.buckets import Buckets
from peft_tui.domain.deployment import Deployment
from peft_tui.domain.metrics import Figures
from peft_tui.domain.money import Budget
from peft_tui.domain.status import Status
from peft_tui.domain.tally import Tally
from peft_tui.redaction import redact

SECONDS = (
    *(0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92),
    *(164.0, 328.0, 656.0),
)
"""The conventions', and three more for boots that take minutes."""
TOKENS = tuple(float(4**power) for power in range(14))
CONTENT_TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8"


def open_metrics(
    found: Sequence[tuple[Deployment, Figures]],
    budgets: Mapping[tuple[str, str], Budget] | None = None,
    billed: Mapping[str, Decimal] | None = None,
) -> str:
    """OpenMetrics text of everything since each deployment was made.

    Args:
        budgets: what may be spent, by platform and account.
        billed: what the platforms have billed, by deployment; what `found` was told when it is not given.
    """
    page = _Page()
    for deployment, figures in found:
        page.tell_requests(_labels(deployment), figures.tally)
        told = figures.told.cost_usd if figures.told is not None else None
        page.tell_state(_own(deployment), deployment)
        page.tell_costs(_own(deployment), figures, told if billed is None else billed.get(deployment.id))
    for (platform, account), allowed in sorted((budgets or {}).items()):
        page.budget.add("", {"platform": platform, "account": account}, round(float(allowed.ratio), 6))
    return page.text()


class _Page:
    """Every family, in the order in which they are written."""

    def __init__(self) -> None:
        self._families: list[_Family] = []
        family = self._family
        self.duration = family(
            "gen_ai_client_operation_duration_seconds",
            "histogram",
            "How long requests took, to the last text; those that failed by error_type.",
        )
        self.first = family(
            "gen_ai_client_operation_time_to_first_chunk_seconds",
            "histogram",
            "Until the first text of a stream came.",
        )
        self.chunks = family(
            "gen_ai_client_operation_time_per_output_chunk_seconds",
            "histogram",
            "Between the pieces of a streamed answer.",
        )
        self.tokens = family(
            "gen_ai_client_token_usage", "histogram", "Tokens of each request that said how many."
        )
        self.requests = family("peft_requests", "counter", "Requests sent, by outcome.")
        self.errors = family("peft_request_errors", "counter", "Requests that failed, by error_type.")
        self.state = family("peft_deployment_state", "stateset", "What was seen of the deployment last.")
        self.cost = family(
            "peft_cost_usd", "counter", "What it cost so far: estimated here, or billed there."
        )
        self.hourly = family("peft_cost_usd_per_hour", "gauge", "What it costs now, estimated.")
        self.unknown = family(
            "peft_cost_unknown_seconds", "gauge", "Time that nobody watched and the cost leaves out."
        )
        self.budget = family(
            "peft_budget_ratio", "gauge", "What is spent of an account's budget, as the platform says."
        )

    def _family(self, name: str, kind: str, help: str) -> _Family:
        made = _Family(name, kind, help)
        self._families.append(made)
        return made

    def tell_requests(self, labels: dict[str, str], tally: Tally) -> None:
        """How many, how long, how large, and how they ended."""
        for warmth, latency, first_text in (
            ("warm", tally.latency, tally.first_text),
            ("cold", tally.cold_latency, tally.cold_first_text),
        ):
            for family, buckets in ((self.duration, latency), (self.first, first_text)):
                if buckets.count:
                    family.histogram({**labels, "peft_start": warmth}, buckets)
        for kind, took in sorted(tally.failures.items()):
            self.duration.histogram({**labels, "error_type": kind}, took)
        if tally.gaps.count:
            self.chunks.histogram(labels, tally.gaps)
        if tally.counted:
            for kind, sizes in (("input", tally.asked_tokens), ("output", tally.given_tokens)):
                if sizes.count:
                    self.tokens.histogram({**labels, "gen_ai_token_type": kind}, sizes, TOKENS)
        for outcome, count in _outcomes(tally):
            self.requests.add("_total", {**labels, "outcome": outcome}, count)
        for kind, count in sorted(tally.errors.items()):
            self.errors.add("_total", {**labels, "error_type": kind}, count)

    def tell_state(self, own: dict[str, str], deployment: Deployment) -> None:
        for status in Status:
            current = int(deployment.standing is status)
            self.state.add("", {**own, "peft_deployment_state": status.value}, current)

    def tell_costs(self, own: dict[str, str], figures: Figures, billed: Decimal | None) -> None:
        """What is not known is left out: 0 would be a figure."""
        if figures.cost_usd is not None:
            self.cost.add("_total", {**own, "kind": "estimated"}, figures.cost_usd)
        if billed is not None:
            self.cost.add("_total", {**own, "kind": "billed"}, billed)
        if figures.usd_per_hour is not None:
            self.hourly.add("", own, figures.usd_per_hour)
        if figures.bill.known:
            self.unknown.add("", own, round(figures.bill.unknown_s))

    def text(self) -> str:
        return "".join(family.text() for family in self._families) + "# EOF\n"


class _Family:
    """One metric with its samples."""

    def __init__(self, name: str, kind: str, help: str) -> None:
        self._name, self._kind, self._help = name, kind, help
        self._samples: list[str] = []

    def add(self, suffix: str, labels: dict[str, str], value: float | Decimal) -> None:
        inside = ",".join(f'{name}="{_escaped(text)}"' for name, text in labels.items())
        self._samples.append(f"{self._name}{suffix}{{{inside}}} {_number(value)}\n")

    def histogram(self, labels: dict[str, str], buckets: Buckets, bounds: Sequence[float] = SECONDS) -> None:
        for bound, count in zip(bounds, buckets.cumulative(bounds), strict=True):
            self.add("_bucket", {**labels, "le": _number(bound)}, count)
        self.add("_bucket", {**labels, "le": "+Inf"}, buckets.count)
        self.add("_count", labels, buckets.count)
        self.add("_sum", labels, round(buckets.total, 6))

    def text(self) -> str:
        if not self._samples:
            return ""
        unit = f"# UNIT {self._name} seconds\n" if self._name.endswith("_seconds") else ""
        return f"# TYPE {self._name} {self._kind}\n{unit}# HELP {self._name} {self._help}\n" + "".join(
            self._samples
        )


def _outcomes(tally: Tally) -> Iterable[tuple[str, int]]:
    yield "ok", tally.succeeded
    yield "failed", tally.failed
    yield "cancelled", tally.cancelled


def _own(deployment: Deployment) -> dict[str, str]:
    """A name may be used again after a deletion: the id alone keeps two series apart."""
    return {
        "deployment": deployment.name,
        "deployment_id": deployment.id,
        "platform": deployment.platform,
    }


def _labels(deployment: Deployment) -> dict[str, str]:
    seen = deployment.observation
    labels = {
        **_own(deployment),
        "gen_ai_operation_name": "chat",
        "gen_ai_provider_name": deployment.platform,
        "gen_ai_request_model": (seen.model if seen else "") or deployment.spec.source.reference,
    }
    try:
        parts = urlsplit(seen.endpoint_url if seen else "")
        host, port = parts.hostname, parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        # The platform's text is no address: the figures are worth telling without it.
        return labels
    if host:
        labels["server_address"], labels["server_port"] = host, str(port)
    return labels


def _escaped(text: str) -> str:
    return redact(text).replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def _number(value: float | Decimal) -> str:
    if isinstance(value, Decimal):
        return f"{value:f}"
    return repr(float(value)) if isinstance(value, float) else str(value)
