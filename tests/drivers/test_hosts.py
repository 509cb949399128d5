"""What the callers of one host share: places, a budget for retries, a breaker."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from email.utils import format_datetime

import pytest

from peft_tui.domain.errors import ConnectionFailed
from peft_tui.drivers.hosts import (
    OPEN_SECONDS,
    OPEN_SECONDS_MAX,
    PLACES,
    RETRY_COST,
    RETRY_TOKENS,
    TRIP_AFTER,
    Host,
    Urgency,
)
from tests.doubles import VirtualClock, until


@pytest.fixture
def host(clock: VirtualClock) -> Host:
    return Host("https://api.example:443", clock)


def fail(host: Host, times: int) -> None:
    for _ in range(times):
        host.failed()


def is_open(host: Host) -> bool:
    try:
        host.check(Urgency.BACKGROUND)
    except ConnectionFailed:
        return True
    return False


class TestClock:
    def test_the_time_there_is_what_its_answers_say(self, host: Host, clock: VirtualClock) -> None:
        assert host.ahead is None and host.now() == clock.now()
        for hours in (1, 1, 7, 1):
            host.dated({"date": format_datetime(clock.now() + timedelta(hours=hours), usegmt=True)})
        # One answer that was long on its way does not decide it; what is waited for goes by the last.
        assert host.ahead is not None and abs(host.ahead - timedelta(hours=1)) < timedelta(seconds=1)
        assert abs(host.now() - clock.now() - timedelta(hours=1)) < timedelta(seconds=1)

    @pytest.mark.parametrize(
        "headers",
        [
            {},
            {"date": "yesterday"},
            {"date": "Sat, 14 Mar 2026 12:00:00"},
            {"date": "Sat, 14 Mar 99999 12:00:00 GMT"},
            {"date": "Sat, 14 Mar 2020 12:00:00 GMT", "age": "60"},
        ],
    )
    def test_what_tells_no_time_changes_nothing(self, host: Host, headers: dict[str, str]) -> None:
        host.dated(headers)
        assert host.ahead is None


class TestBreaker:
    def test_it_opens_after_five_failures_in_a_row_and_not_before(self, host: Host) -> None:
        fail(host, TRIP_AFTER - 1)
        assert TRIP_AFTER == 5 and not is_open(host)
        fail(host, 1)
        assert is_open(host)

    def test_a_success_in_between_begins_the_count_anew(self, host: Host) -> None:
        fail(host, 4)
        host.succeeded()
        fail(host, 4)
        assert not is_open(host)

    @pytest.mark.parametrize("urgency", [Urgency.NORMAL, Urgency.STOP])
    def test_it_holds_back_loops_only(self, host: Host, urgency: Urgency) -> None:
        fail(host, 50)
        host.check(urgency)

    def test_it_says_when_it_asks_again(self, host: Host) -> None:
        fail(host, 5)
        with pytest.raises(ConnectionFailed, match="failed 5 times in a row") as caught:
            host.check(Urgency.BACKGROUND)
        assert caught.value.retry_after == OPEN_SECONDS and caught.value.transient

    async def test_it_closes_after_its_time(self, host: Host, clock: VirtualClock) -> None:
        fail(host, 5)
        await clock.advance(OPEN_SECONDS - 0.1)
        assert is_open(host)
        await clock.advance(0.2)
        assert not is_open(host)

    async def test_a_probe_that_fails_opens_it_for_longer_up_to_a_limit(
        self, host: Host, clock: VirtualClock
    ) -> None:
        fail(host, 5)
        waits = []
        for _ in range(20):
            with pytest.raises(ConnectionFailed) as caught:
                host.check(Urgency.BACKGROUND)
            assert caught.value.retry_after is not None
            waits.append(caught.value.retry_after)
            await clock.advance(caught.value.retry_after + 0.01)
            assert not is_open(host)
            host.failed()
        assert waits == pytest.approx([5, 10, 20] + [OPEN_SECONDS_MAX] * 17)

    def test_any_answer_closes_it(self, host: Host) -> None:
        fail(host, 9)
        host.succeeded()
        assert not is_open(host)


class TestBudget:
    def test_loops_may_spend_half_of_it(self, host: Host) -> None:
        spent = sum(host.may_retry(Urgency.BACKGROUND) for _ in range(1000))
        assert spent == RETRY_TOKENS // 2 // RETRY_COST
        assert host.may_retry(Urgency.NORMAL)

    def test_a_person_may_spend_all_of_it_and_no_more(self, host: Host) -> None:
        assert sum(host.may_retry(Urgency.NORMAL) for _ in range(1000)) == RETRY_TOKENS // RETRY_COST

    def test_stopping_is_never_held_back(self, host: Host) -> None:
        while host.may_retry(Urgency.NORMAL):
            pass
        assert all(host.may_retry(Urgency.STOP) for _ in range(1000))
        assert not host.may_retry(Urgency.NORMAL)

    def test_success_earns_it_back_slowly(self, host: Host) -> None:
        while host.may_retry(Urgency.NORMAL):
            pass
        for _ in range(RETRY_COST - 1):
            host.succeeded()
        assert not host.may_retry(Urgency.NORMAL)
        host.succeeded()
        assert host.may_retry(Urgency.NORMAL)

    def test_it_never_grows_beyond_its_size(self, host: Host) -> None:
        for _ in range(10_000):
            host.succeeded()
        assert sum(host.may_retry(Urgency.NORMAL) for _ in range(1000)) == RETRY_TOKENS // RETRY_COST


class Crowd:
    """Requests that take a place until they are let go."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.inside = 0
        self.end = asyncio.Event()
        self.tasks: list[asyncio.Task[None]] = []

    def come(self, urgency: Urgency, count: int) -> None:
        self.tasks += [asyncio.create_task(self._stay(urgency)) for _ in range(count)]

    async def _stay(self, urgency: Urgency) -> None:
        async with self.host.place(urgency):
            self.inside += 1
            await self.end.wait()
            self.inside -= 1

    async def settle(self) -> int:
        for _ in range(50):
            await asyncio.sleep(0)
        return self.inside

    async def go(self) -> None:
        self.end.set()
        await asyncio.gather(*self.tasks)


class TestPlaces:
    async def test_loops_leave_places_for_people(self, host: Host) -> None:
        crowd = Crowd(host)
        crowd.come(Urgency.BACKGROUND, 50)
        assert await crowd.settle() == PLACES[Urgency.BACKGROUND]
        crowd.come(Urgency.NORMAL, 50)
        assert await crowd.settle() == PLACES[Urgency.NORMAL]
        await crowd.go()
        assert crowd.inside == 0

    async def test_stopping_needs_no_place(self, host: Host) -> None:
        crowd = Crowd(host)
        crowd.come(Urgency.BACKGROUND, 50)
        crowd.come(Urgency.NORMAL, 50)
        before = await crowd.settle()
        crowd.come(Urgency.STOP, 10)
        assert await crowd.settle() == before + 10
        await crowd.go()

    async def test_a_place_is_given_back_by_who_was_cancelled_waiting_or_inside(self, host: Host) -> None:
        crowd = Crowd(host)
        crowd.come(Urgency.BACKGROUND, 50)
        await crowd.settle()
        for task in crowd.tasks:
            task.cancel()
        await asyncio.gather(*crowd.tasks, return_exceptions=True)
        late = Crowd(host)
        late.come(Urgency.NORMAL, PLACES[Urgency.NORMAL])
        await until(lambda: late.inside == PLACES[Urgency.NORMAL])
        await late.go()
