"""What failed is not typed anew: its answers come back, are changed, and it gives way."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from peft_tui.backend import Backend
from peft_tui.domain.deployment import Deployment
from peft_tui.domain.errors import ConfigurationInvalid
from peft_tui.domain.money import Price
from peft_tui.domain.offers import Assessment, InstanceType
from peft_tui.domain.operation import OperationState
from peft_tui.domain.status import Status, gone
from peft_tui.services.lookups import Question, Topic
from peft_tui.services.reasons import why_not_again
from peft_tui.store import Store
from peft_tui.ui.reopening import screen_at
from peft_tui.ui.screens.wizard import WizardScreen
from tests.seeds import H100, NOON, create, fail, listed, made, observed, put, see
from tests.ui.test_draft import together
from tests.ui.test_life import asked, at_home, backend_of
from tests.ui.test_wizard_scene import TOGETHER_FIT, wizard

REFUSED = ConfigurationInvalid("Together AI refused: no room in mars-1").as_dict()


def fit_with_regions() -> Assessment:
    first, *others = TOGETHER_FIT.instance_types
    first = replace(first, regions={"us-east": "12 free", "eu": ""})
    return replace(TOGETHER_FIT, instance_types=(first, *others))


async def half_made(store: Store, step: str = "dry_run") -> Deployment:
    """Its adapter and its endpoint were made, and then it was refused."""
    wanted = made("bot", adapter="acme/support-r16", region="mars-1", instance_type="1xh100")
    deployment = await put(store, replace(wanted, remote_id=""))
    await fail(store, await create(store, deployment, begun=step), step, REFUSED)
    await listed(store, "together")
    return deployment


async def test_a_failed_create_says_what_is_left_and_that_it_does_not_bill(tmp_path: Path) -> None:
    async with at_home(tmp_path, half_made) as at:
        await at.press("x")
        await at.sees("Nothing of it runs or bills;")
        await at.press("D")
        await at.sees("Delete bot on Together AI?", "now $0.00/h", "what its create left is taken away")


async def test_one_whose_machine_may_run_is_not_said_to_cost_nothing(tmp_path: Path) -> None:
    async def unanswered(store: Store) -> None:
        deployment = await put(store, replace(made("bot"), remote_id=""))
        asked = await create(store, deployment, begun="deployment")
        await store.operations.set_state(asked, OperationState.FAILED, asked.created_at, REFUSED)
        await listed(store, "together")

    async with at_home(tmp_path, unanswered) as at:
        await at.press("D")
        await at.sees("Delete bot on Together AI?", "what it costs is not known")


async def test_try_again_opens_the_wizard_on_its_answers_with_what_went_wrong(tmp_path: Path) -> None:
    async with at_home(tmp_path, half_made) as at:
        await at.until(lambda: "R try again" in at.footer)
        await at.press("R")
        await at.sees("3 Configuration ●", "✖ It failed: Together AI refused: no room in mars-1", "mars-1")
        await at.press("escape")
        await at.sees("2 Model ●", "acme/support-r16")


async def test_what_serves_cannot_be_tried_again(tmp_path: Path) -> None:
    async def active(store: Store) -> None:
        await put(store, made("bot"), observed(Status.ACTIVE))
        await listed(store, "together")

    async with at_home(tmp_path, active) as at:
        await at.until(lambda: "u update" in at.footer and "try again" not in at.footer)
        await at.press("R")
        await at.sees("It has not failed: update it.")


async def test_the_new_one_takes_the_name_and_the_old_one_is_deleted(tmp_path: Path) -> None:
    async def seed(backend: Backend) -> Deployment:
        deployment = await half_made(backend.store)
        (read,) = await backend.store.deployments.some([deployment.id])
        return read

    replies = {("together", Topic.ASSESSMENT): fit_with_regions()}
    async with wizard(tmp_path, failed=seed, replies=replies) as scene:
        await scene.on_page(3)
        await scene.fits()
        await scene.noted("Region", "1xh100 is not offered there, but in: us-east, eu")
        await scene.at.press("ctrl+n")
        await scene.told("Region: 1xh100 is not offered there, but in: us-east, eu")
        await scene.focus_field("Region")
        await scene.at.press("right", "right")
        await scene.at.press("ctrl+n")
        await scene.on_page(4)
        await scene.at.sees("bot-", "which failed,", "what it left there")
        await scene.at.press("ctrl+s")
        await scene.at.until(lambda: bool(scene.host.results), "it never went away")
        old, new = sorted(await scene.stored(), key=lambda one: one.created_at)
        assert (old.name, new.name, new.spec.text("region")) == ("bot", "bot", "us-east")
        assert old.operation is not None and old.operation.kind.value == "delete"
        assert new.operation is not None and new.operation.kind.value == "create"
        assert (await scene.backend.deployments.find("bot")).id == new.id


async def test_what_came_up_while_the_wizard_stood_open_is_not_deleted(tmp_path: Path) -> None:
    async def seed(backend: Backend) -> Deployment:
        return await put(
            backend.store, made("bot", adapter="acme/r16", instance_type="1xh100"), observed(Status.FAILED)
        )

    async with wizard(tmp_path, failed=seed) as scene:
        await scene.on_page(3)
        await scene.fits()
        await scene.at.press("ctrl+n")
        await scene.on_page(4)
        (old,) = await scene.stored()
        await see(scene.backend.store, old, observed(Status.ACTIVE, 0))
        await scene.at.press("ctrl+s")
        await scene.told("“bot” stays: It has not failed")
        (row,) = await scene.stored()
        assert row.under_way is None and not scene.host.results


@pytest.mark.parametrize("meanwhile", [Status.FAILED, Status.ACTIVE])
async def test_a_kept_draft_deletes_only_what_has_failed_still(tmp_path: Path, meanwhile: Status) -> None:
    async def seed(backend: Backend) -> Deployment:
        return await put(backend.store, made("bot"), observed(Status.FAILED))

    async with wizard(tmp_path, failed=seed) as scene:
        (old,) = await scene.stored()
        kept = scene.host.screen
        assert isinstance(kept, WizardScreen)
        await see(scene.backend.store, old, observed(meanwhile, 0))
        screen = await screen_at(kept.place(), scene.backend)
        assert isinstance(screen, WizardScreen)
        again = old.id if meanwhile is Status.FAILED else None
        assert screen.place() == {**kept.place(), "again": again}


async def test_one_that_failed_at_the_platform_keeps_its_name_for_its_successor(store: Store) -> None:
    failed = await put(store, made("bot"), observed(Status.FAILED))
    assert why_not_again(failed) == ""
    assert await store.deployments.name_is_taken("bot")
    assert not await store.deployments.name_is_taken("bot", but=failed.id)


@pytest.mark.parametrize("region", ["us-east", "eu", ""])
def test_a_region_is_one_that_the_instance_type_is_offered_in(region: str) -> None:
    draft = together()
    draft.type("region", "mars-1")
    assert "us-east, eu" in draft.checked(fit_with_regions()).problems["region"]
    draft.type("region", region)
    assert draft.checked(fit_with_regions()).problems == {}
    draft.type("region", "mars-1")
    assert draft.checked(TOGETHER_FIT).problems == {}, "where the platform does not say, it decides"


async def test_a_delete_can_leave_the_adapter_there(tmp_path: Path) -> None:
    async def stopped(store: Store) -> None:
        await put(store, made("bot"), observed(Status.STOPPED))
        await listed(store, "together")

    async with at_home(tmp_path, stopped) as at:
        await at.press("D")
        await at.sees("ctrl+t [ ] keep the adapter there")
        await at.press("ctrl+t")
        await at.sees("ctrl+t [x] keep the adapter there")
        await at.press("y")
        await at.sees("◐ deleting")
        (operation,) = await asked(at, "bot")
        assert operation.changes == {"keep_adapter": "yes"}
        assert "delete_model" not in [step.key for step in operation.steps]


async def test_where_there_is_nothing_to_keep_nothing_is_offered(tmp_path: Path) -> None:
    async def stopped(store: Store) -> None:
        await put(store, made("bot", "replicate"), observed(Status.STOPPED))
        await listed(store, "replicate")

    async with at_home(tmp_path, stopped) as at:
        await at.press("D")
        await at.sees("Delete bot on Replicate?")
        assert not at.shows("keep the adapter")


async def test_a_wrong_name_is_said_to_be_wrong(tmp_path: Path) -> None:
    async def active(store: Store) -> None:
        await put(store, made("bot"), observed(Status.ACTIVE))
        await listed(store, "together")

    async with at_home(tmp_path, active) as at:
        await at.press("D")
        await at.sees("Type bot to delete.")
        await at.type("bit")
        await at.press("enter")
        await at.sees("✖ Not “bit”. Type bot to delete.")
        assert await asked(at, "bot") == []


async def test_what_is_gone_is_not_said_to_be_startable_for_a_test(tmp_path: Path) -> None:
    async def vanished(store: Store) -> None:
        await put(store, made("bot"), observed(Status.ACTIVE, 1800), gone(NOON, "deleted elsewhere"))
        await listed(store, "together")

    async with at_home(tmp_path, vanished) as at:
        await at.press("t")
        await at.sees("The platform does not have it")


async def test_a_start_of_several_says_what_is_known_of_its_price(tmp_path: Path) -> None:
    async def two(store: Store) -> None:
        await put(store, made("one"), observed(Status.ACTIVE, 1800), observed(Status.STOPPED))
        await put(store, made("two", "replicate"), observed(Status.ACTIVE, 1800), observed(Status.STOPPED))
        await listed(store, "together")
        await listed(store, "replicate")

    async with at_home(tmp_path, two) as at:
        price = Price(Decimal("5.49"), "platform", NOON.isoformat())
        question = Question("together", Topic.INSTANCE_TYPES)
        await backend_of(at.app).lookups.write(question, NOON, (InstanceType(H100, "H100", price),))
        await at.press("asterisk", "o")
        await at.sees("Start 2 deployments?", "and 1 of unknown price", "instances bill.")
