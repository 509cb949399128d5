"""How an adapter fits Modal: whether vLLM serves it, what it needs, and whether the account may."""

from __future__ import annotations

from dataclasses import replace

from peft_tui.domain.adapter import Adapter, AdapterSource, SourceKind
from peft_tui.domain.errors import PeftTuiError
from peft_tui.domain.offers import Assessment, Finding, Level
from peft_tui.domain.spec import DeploymentSpec
from peft_tui.drivers.hugging_face import Shown
from peft_tui.drivers.modal import engine
from peft_tui.drivers.modal.api import ModalApi
from peft_tui.drivers.modal.failures import TITLE
from peft_tui.drivers.modal.sources import UNSEEN, WHERE_FROM, adapter_of, not_on_the_hub


async def assess(api: ModalApi, source: AdapterSource, adapter: Adapter | None) -> Assessment:
    await api.workspace()
    if source.kind is SourceKind.PLATFORM:
        adapter = await adapter_of(api, DeploymentSpec("", "modal", source), "")
    base = adapter.base_model if adapter else ""
    shown = await api.hub.shows(base) if adapter and base and not adapter.merged else None
    gated = _gated(api, adapter, shown)
    findings = [*_fit(adapter, shown), *gated, *await _money(api), *await keeping(api)]
    served = base or (source.reference if adapter is not None and adapter.merged else "")
    # Without a token the container would end as soon as it asks the hub, again and again.
    ruled_out = {"hub_token=no": gated[0].message} if gated else {}
    return Assessment(tuple(findings), base, await api.instance_types(served), ruled_out)


def _fit(adapter: Adapter | None, shown: Shown | None) -> list[Finding]:
    """Whether vLLM serves it, and whether the container will find its base."""
    if adapter is None:
        return [Finding(Level.WARNING, "the adapter's files could not be read")]
    if reason := engine.unservable(adapter):
        hint = "Merge it into its base (merge_and_unload()), or train it otherwise."
        return [Finding(Level.BLOCKED, reason, hint)]
    if adapter.merged:
        return [Finding(Level.OK, "a whole model: served as it is")]
    if shown is None:
        return [Finding(Level.BLOCKED, "The adapter does not say which base model it belongs to.")]
    if shown.exists is False and not shown.is_id:
        return [Finding(Level.BLOCKED, not_on_the_hub(adapter.base_model), WHERE_FROM)]
    rank = next(rank for rank in engine.RANKS if rank >= (adapter.rank or 16))
    fits = Finding(Level.OK, f"served by vLLM on {adapter.base_model}, rank up to {rank}")
    if shown.exists is False:
        # Whether the container will have a token of its own, that sees it, is not known yet.
        unseen = Finding(Level.WARNING, not_on_the_hub(adapter.base_model), UNSEEN)
        return [replace(fits, level=Level.WARNING), unseen]
    if shown.exists is None:
        told = f"whether {adapter.base_model} is there cannot be checked: {shown.trouble}"
        return [replace(fits, level=Level.WARNING), Finding(Level.WARNING, told, WHERE_FROM)]
    return [fits]


def _gated(api: ModalApi, adapter: Adapter | None, shown: Shown | None) -> list[Finding]:
    """That what the container needs is handed out to token holders only, if it is."""
    if adapter is None or not (adapter.gated or (shown is not None and shown.gated)):
        return []
    what = "the adapter" if adapter.gated else adapter.base_model
    if api.credentials.optional_secret("HF_TOKEN") is None:
        told = f"{what} is gated: the container needs a token to fetch it, and there is none."
        return [Finding(Level.BLOCKED, told, "export HF_TOKEN=…, of an account that may read it.")]
    told = f"{what} is gated: the container needs a token to fetch it"
    return [Finding(Level.WARNING, told, "HF_TOKEN is handed to Modal, as a secret of this deployment.")]


async def keeping(api: ModalApi) -> list[Finding]:
    """That the token which opens what is private will be gone with this session, if so."""
    if await api.proxy_token() is not None or await api.doors.lasts():
        return []
    return [
        Finding(
            Level.WARNING,
            "this machine keeps no secrets: the proxy token that opens it ends with this session",
            "A new one is made when you ask it again; set PEFT_TUI_PASSPHRASE, or export"
            " MODAL_PROXY_TOKEN_ID and _SECRET, to keep one. It bills as before meanwhile.",
        )
    ]


async def _money(api: ModalApi) -> list[Finding]:
    try:
        budget = await api.budget()
    except PeftTuiError as error:
        return [Finding(Level.WARNING, f"the budget is not known: {error.message}")]
    name = api.connection.environment
    if budget is None or not budget.limit and not budget.reached:
        return []
    told = f"budget of {name}: {budget.words}"
    if budget.reached:
        return [
            Finding(
                Level.BLOCKED,
                f"{TITLE}: the {told}, and the spend limit is reached: nothing starts.",
                "Raise it at modal.com/settings/usage, or wait for the next cycle.",
            )
        ]
    left = budget.limit - budget.used
    return [Finding(Level.WARNING if left < 0.1 * budget.limit else Level.OK, told)]
