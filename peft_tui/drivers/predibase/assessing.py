"""How an adapter fits Predibase, and what it could run on there."""

from __future__ import annotations

import asyncio
import re

from peft_tui.domain.adapter import Adapter, AdapterSource, SourceKind
from peft_tui.domain.errors import ConfigurationInvalid, NotFound, PeftTuiError
from peft_tui.domain.offers import Assessment, Finding, Level
from peft_tui.drivers.predibase import accelerators, states
from peft_tui.drivers.predibase.api import PredibaseApi
from peft_tui.drivers.predibase.upload import too_large
from peft_tui.drivers.predibase.wire import Deployment


async def assess(api: PredibaseApi, source: AdapterSource, adapter: Adapter | None) -> Assessment:
    base = adapter.base_model if adapter else ""
    finding = _fit(source, adapter)
    if source.kind is SourceKind.PLATFORM:
        reference, version = await api.adapter(source.reference)
        base = version.base_model
        finding = Finding(Level.OK, f"{reference}, trained on {base}")
    if finding.level is Level.BLOCKED:
        return Assessment((finding,), base)
    if not base:
        return Assessment(
            (
                Finding(
                    Level.BLOCKED,
                    "The adapter does not say which base it was trained on.",
                    "Say it: --base-model owner/name.",
                ),
            )
        )
    listed, (recommended, doubt) = await asyncio.gather(api.listed(), recommended_machine(api, base))
    able = [d for d in listed if can_serve(d, base)]
    own = [d for d in able if not d.is_shared]
    machines = (
        *(accelerators.carrier(d) for d in own),
        *accelerators.machines(api.prices, recommended=recommended),
        *(accelerators.carrier(d) for d in able if d.is_shared),
    )
    findings = [finding]
    if own:
        names = ", ".join(d.name for d in own)
        findings.append(Finding(Level.OK, f"{names} serves this base already: attached, nothing new runs"))
    if doubt:
        findings.append(Finding(Level.WARNING, doubt, "An unknown base is refused before anything bills."))
    findings.append(
        Finding(
            Level.WARNING,
            "Predibase publishes no prices",
            "Put yours into prices.toml in the configuration directory.",
        )
    )
    return Assessment(tuple(findings), base, machines)


def _fit(source: AdapterSource, adapter: Adapter | None) -> Finding:
    if adapter is None:
        return Finding(Level.OK, "")
    if adapter.merged:
        return Finding(
            Level.BLOCKED,
            "This is a merged checkpoint: Predibase serves adapters on bases of its own.",
            "Deploy the adapter itself.",
        )
    if source.kind is SourceKind.DIRECTORY:
        if problem := too_large(adapter):
            return Finding(Level.BLOCKED, f"{problem}.", "Train with a smaller rank, or on fewer modules.")
        return Finding(Level.OK, f"an adapter of {adapter.base_model}, chosen per request (LoRAX)")
    if "@" in source.reference:
        return Finding(
            Level.BLOCKED,
            "A request can name a repository of the hub, not a revision of it.",
            "Download the revision and deploy the directory.",
        )
    if adapter.gated:
        return Finding(
            Level.BLOCKED,
            "The repository is private or gated: every request would have to hand your token over.",
            "Download it and deploy the directory.",
        )
    return Finding(
        Level.OK, f"an adapter of {adapter.base_model}; the engine fetches it at the first request"
    )


async def recommended_machine(api: PredibaseApi, base: str) -> tuple[str, str]:
    """The accelerator that the platform recommends, and a doubt where it knows the base not.

    The shape of the answer is not documented [INF]: whatever else comes, nothing is recommended.
    """
    try:
        body = await api.http.get("/v2/deployments/recommended-config", {"baseModel": base})
    except (NotFound, ConfigurationInvalid) as error:
        return "", f"Predibase has no configuration of its own for {base}: {error.detail}"
    except PeftTuiError:
        return "", ""
    config = body.get("data", body) if isinstance(body, dict) else None
    accelerator = config.get("accelerator") if isinstance(config, dict) else None
    return (accelerator, "") if isinstance(accelerator, str) else ("", "")


def can_serve(deployment: Deployment, base: str) -> bool:
    """It is up, or sleeps, and its base is this one."""
    word = deployment.status.lower()
    if word not in (*states.SERVING, "updating") or deployment.config.get("disableAdapters") is True:
        return False
    return _short(base) in (_short(deployment.base), _short(deployment.model.name))


def _short(base: str) -> str:
    """`meta-llama/Llama-3.1-8B-Instruct` → `llama-3-1-8b-instruct`: as the documented short names [INF]."""
    return re.sub(r"[._]", "-", base.rpartition("/")[2].lower())
