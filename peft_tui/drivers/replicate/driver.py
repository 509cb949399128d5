"""Replicate: the account, its hardware and models, its deployments. A create's steps are in `steps.py`."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal

from peft_tui.clock import Clock
from peft_tui.credentials import Credentials
from peft_tui.domain.adapter import Adapter, AdapterSource, SourceKind
from peft_tui.domain.deployment import Deployment as DeploymentValue
from peft_tui.domain.errors import ConfigurationInvalid, NotFound
from peft_tui.domain.inference import InferenceTarget
from peft_tui.domain.money import Price
from peft_tui.domain.offers import (
    Account,
    Assessment,
    Finding,
    InstanceType,
    Level,
    PlatformModel,
)
from peft_tui.domain.reported import Report
from peft_tui.domain.status import Condition, Observation, Status
from peft_tui.drivers.hosts import Urgency
from peft_tui.drivers.network import Network
from peft_tui.drivers.prices import cited
from peft_tui.drivers.protocol import Event, RemoteDeployment
from peft_tui.drivers.replicate import figures, inference, states
from peft_tui.drivers.replicate.api import ReplicateApi
from peft_tui.drivers.replicate.declaration import CAPABILITIES
from peft_tui.drivers.replicate.steps import STEPS
from peft_tui.drivers.replicate.verbs import VERBS
from peft_tui.drivers.replicate.wire import (
    Deployment,
    Hardware,
    Page,
    Prediction,
    Search,
    Training,
)
from peft_tui.drivers.steps import Stepwise
from peft_tui.drivers.wire import moment, parse, parse_all, parse_page


class ReplicateDriver(Stepwise[ReplicateApi]):
    """One account at Replicate."""

    capabilities = CAPABILITIES
    steps = {**STEPS, **VERBS}
    metrics_wake = False

    def __init__(self, network: Network, credentials: Credentials, clock: Clock) -> None:
        self.api = ReplicateApi(network, credentials)
        self._clock = clock

    @property
    def ahead(self) -> timedelta | None:
        return self.api.http.ahead

    async def account(self) -> Account:
        wire = await self.api.owner()
        return Account(wire.username, f"{wire.username} ({wire.type or 'account'})")

    async def instance_types(self) -> tuple[InstanceType, ...]:
        body = await self.api.http.get("/v1/hardware")
        if not isinstance(body, list):
            raise ConfigurationInvalid(
                f"{self.api.title} answered with something else than a list of hardware."
            )
        items = [parse(Hardware, item, self.api.title) for item in body]
        offered = [InstanceType(item.sku, item.name or item.sku, self.api.price(item.sku)) for item in items]
        return tuple(sorted(offered, key=_by_price))

    async def models(self) -> tuple[PlatformModel, ...]:
        """The account's own, as far as they can be found: there is no list of private models.

        Public ones are searched for; private ones show in what was done with them lately.
        """
        owner = (await self.api.owner()).username
        found: dict[str, str] = {}
        for training in await self.api.pages(Training, "/v1/trainings", Urgency.NORMAL, limit=1):
            made = training.output.version if training.output else ""
            found[made.partition(":")[0]] = "imported or trained"
        for prediction in await self.api.pages(Prediction, "/v1/predictions", Urgency.NORMAL, limit=1):
            found.setdefault(prediction.model, "used lately")
        for deployment in await self.api.pages(Deployment, "/v1/deployments", Urgency.NORMAL):
            found[deployment.current_release.model] = "deployed"
        body = await self.api.http.get("/v1/search", {"query": owner, "limit": "50"})
        for item in parse(Search, body, self.api.title).models:
            found.setdefault(f"{item.model.owner}/{item.model.name}", item.model.description or "public")
        return tuple(
            PlatformModel(name, name, "", how)
            for name, how in sorted(found.items())
            if name.startswith(f"{owner}/")
        )

    async def assess(self, source: AdapterSource, adapter: Adapter | None) -> Assessment:
        findings = [await self._fit(source, adapter)]
        if findings[0].level is Level.BLOCKED:
            return Assessment(tuple(findings))
        if source.kind is SourceKind.HUGGING_FACE:
            findings.append(
                Finding(
                    Level.WARNING,
                    "the import is a training run: it takes minutes and is billed by the second",
                    "Context length and data type are fixed by the packaging, not here.",
                )
            )
            if adapter is not None and adapter.gated:
                hint = "Set Hugging Face token to yes."
                findings.append(Finding(Level.WARNING, "a private or gated repository", hint))
            return Assessment(tuple(findings), "", await self.instance_types())
        no_hub = {"hub_token=yes": "only for what comes from Hugging Face"}
        return Assessment(tuple(findings), "", await self.instance_types(), no_hub)

    async def deployments(self) -> tuple[RemoteDeployment, ...]:
        found = await self.api.pages(Deployment, "/v1/deployments")
        awake = any(d.current_release.configuration.max_instances != 0 for d in found)
        # No answer has a state: the newest predictions, one page for all deployments, stand in for it.
        page = Page()
        if awake:
            body = await self.api.http.get("/v1/predictions", urgency=Urgency.BACKGROUND)
            page = parse_page(Page, body, "results", self.api.title)
        predictions = await parse_all(Prediction, page.results, self.api.title)
        by_deployment: dict[str, list[Prediction]] = {}
        for prediction in predictions:
            by_deployment.setdefault(prediction.deployment, []).append(prediction)
        now = self.api.http.now()
        oldest = min((moment(p.created_at) or now for p in predictions), default=now)
        return tuple(
            self._remote(
                deployment,
                by_deployment.get(deployment.name, []) + by_deployment.get(_full_name(deployment), []),
                complete=page.next is None or _released(deployment, now) >= oldest,
            )
            for deployment in found
        )

    async def explain(self, remote: RemoteDeployment) -> Observation:
        return remote.observation

    async def exists(self, remote_id: str) -> bool:
        try:
            await self.api.http.get(f"/v1/deployments/{remote_id}", urgency=Urgency.BACKGROUND)
        except NotFound:
            return False
        return True

    async def inference(self, deployment: DeploymentValue) -> InferenceTarget:
        return await inference.target(self.api, deployment)

    async def events(self, remote_id: str) -> tuple[Event, ...]:
        return ()

    async def metrics(self, wanted: Mapping[str, datetime]) -> tuple[Report, ...]:
        return await figures.reports(self.api, wanted)

    async def logs(self, remote_id: str, limit: int) -> tuple[str, ...]:
        return ()

    def _remote(
        self, deployment: Deployment, predictions: list[Prediction], complete: bool
    ) -> RemoteDeployment:
        now = self._clock.now()
        # Its own times are compared with its own clock.
        told = states.derive(deployment, predictions, complete, self.api.http.now())
        status, condition, word, reason = told
        release = deployment.current_release
        configuration = release.configuration
        low = configuration.min_instances or 0
        billed: int | None = 0 if status is Status.STOPPED else low
        if billed == 0 and condition is Condition.ASSUMED:
            # Nothing says whether an instance is still warm; just after a request it is rather taken to bill.
            billed = 1 if word == states.SERVED else None
        elif billed == 0 and status in (Status.ACTIVE, Status.DEPLOYING) and condition is Condition.NONE:
            # At work or warm: at least one instance, and the platform does not say how many more.
            billed = 1
        price = self.api.price(configuration.hardware)
        observation = Observation(
            status,
            now,
            platform_status=word,
            reason=reason,
            condition=condition,
            billed_instances=billed,
            min_instances=configuration.min_instances,
            max_instances=configuration.max_instances,
            instance_type=configuration.hardware,
            usd_per_hour=_cost(price, billed),
            endpoint_url=f"{self.api.url}/v1/deployments/{deployment.owner}/{deployment.name}/predictions",
            model=f"{deployment.owner}/{deployment.name}",
            price_source=cited(price) if billed else "",
        )
        return RemoteDeployment(
            f"{deployment.owner}/{deployment.name}",
            deployment.name,
            observation,
            adapter=f"{release.model}:{release.version[:8]}" if release.model else "",
        )

    async def _fit(self, source: AdapterSource, adapter: Adapter | None) -> Finding:
        if source.kind is SourceKind.DIRECTORY:
            return Finding(Level.BLOCKED, CAPABILITIES.no_sources[SourceKind.DIRECTORY])
        if source.kind is SourceKind.PLATFORM:
            name, version = await self.api.version(source.reference)
            what = f"{name}, version {version.id[:12]}"
            if name.partition("/")[0] != (await self.api.owner()).username:
                return Finding(Level.WARNING, f"{what}: it belongs to somebody else")
            return Finding(Level.OK, what)
        if adapter is not None and not adapter.merged:
            return Finding(
                Level.BLOCKED,
                "This is a bare LoRA: Replicate's importer (cog-vllm) has no place for one.",
                "Merge it (merge_and_unload()), push the merged model, and deploy that repository.",
            )
        if adapter is not None and adapter.gated and self.api.hub_token is None:
            return Finding(
                Level.BLOCKED, "The repository is gated and there is no token.", "export HF_TOKEN=…"
            )
        return Finding(Level.OK, "a merged checkpoint: it can be imported with cog-vllm")


def _full_name(deployment: Deployment) -> str:
    return f"{deployment.owner}/{deployment.name}"


def _released(deployment: Deployment, now: datetime) -> datetime:
    return moment(deployment.current_release.created_at) or now


def _cost(price: Price | None, instances: int | None) -> Decimal | None:
    if instances == 0:
        return Decimal(0)
    return None if price is None or instances is None else price.usd_per_hour * instances


def _by_price(item: InstanceType) -> tuple[bool, Decimal]:
    """The cheapest first, processors without a GPU last: no language model is meant for one."""
    return item.id == "cpu", item.price.usd_per_hour if item.price else Decimal("Infinity")
