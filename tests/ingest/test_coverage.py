"""What backends say of coverage and care plans."""

from __future__ import annotations

import pytest

from session_platform.contract import CoverageDetails, CoverageStatus
from session_platform.eligibility import stored
from tests.ingest.published import (
    DEPENDANT,
    MEMBER,
    OTHER,
    OWN,
    care_plan,
    checked,
    coverage,
    covered,
    created,
    event,
    submitted,
)
from tests.ingest.room import Room

SHARED = "A789014"
TERMINATED = {"coverage_status": "TERMINATED", "termination_date": "2026-01-01"}


async def share(room: Room) -> None:
    """Let two members hold one account."""
    sql = "INSERT INTO holding (member_id, account_id, place) VALUES (:member_id, :account_id, 9)"
    copy = """
        INSERT INTO account SELECT :account_id, payer_id, payer_name, member_id_at_payer, first_name, last_name, date_of_birth
        FROM account WHERE account_id = :own
    """

    def command(tx: object) -> None:
        tx.execute(copy, account_id=SHARED, own=OWN)  # type: ignore[attr-defined]
        for member_id in (MEMBER, OTHER):
            tx.execute(sql, member_id=member_id, account_id=SHARED)  # type: ignore[attr-defined]

    await room.store.run(command)


async def test_an_answer_is_kept_where_its_event_refers_to_and_moves_nothing_else(room: Room) -> None:
    await room.publish(
        created(),
        submitted(session_id="s1"),
        checked(coverage=coverage(plan_name="Gold"), session_id="s1", service_request_id="r1"),
    )
    told = (await room.events())[-1]
    assert "coverage" not in told["data"]
    assert told["data"]["session_id"] == "s1"
    kept = await room.coverage_at(told["data"]["coverage_ref"])
    assert kept is not None
    assert (kept[0], kept[1].plan_name) == (OWN, "Gold")
    assert await room.coverage() == []
    assert (await room.full())[-1]["data"]["coverage"]["plan_name"] == "Gold"


async def test_an_answer_without_a_coverage_has_no_reference(room: Room) -> None:
    error = {"code": "subscriber_not_found", "message": "no Mrs. Miller here", "retryable": False}
    await room.publish(
        checked(), checked(outcome="FAILED", error=error), checked(outcome="FAILED", error={**error, "code": "odd"})
    )
    told = [each["data"] for each in await room.events()]
    assert not any("coverage_ref" in each for each in told)
    assert [each.get("error", {}).get("code") for each in told] == [None, "subscriber_not_found", "odd"]
    assert "Miller" not in str(await room.everything())


async def test_a_coverage_that_changed_is_current_and_at_its_reference(room: Room) -> None:
    assert await room.publish(covered(change_type="ENROLLMENT")) == ["accepted"]
    assert await room.coverage() == ["ACTIVE"]
    assert await room.publish(covered(coverage=coverage(**TERMINATED))) == ["accepted"]
    assert await room.coverage() == ["TERMINATED"]
    first, second = [each["data"] for each in await room.events()]
    assert "coverage" not in first
    kept = [await room.coverage_at(each["coverage_ref"]) for each in (first, second)]
    assert [each[1].coverage_status for each in kept if each] == ["ACTIVE", "TERMINATED"]


async def test_a_coverage_that_is_known_already_tells_nobody_anything(room: Room) -> None:
    verified = coverage(verified_at="2026-01-15T09:00:00Z", verified_by="somebody else")
    assert await room.publish(covered(), covered(), covered(coverage=verified)) == ["accepted", "unchanged", "unchanged"]
    assert await room.names() == ["coverage.updated"]


async def test_what_the_platform_found_itself_is_known(room: Room) -> None:
    found = CoverageDetails(account_id=OWN, coverage_status=CoverageStatus.ACTIVE)
    await room.store.run(lambda tx: stored.add(tx, found))
    assert await room.publish(covered()) == ["unchanged"]
    assert await room.publish(covered(coverage=coverage(**TERMINATED))) == ["accepted"]


async def test_every_holder_is_told_once_and_only_the_named_one_with_the_session(room: Room) -> None:
    await share(room)
    await room.publish(created("s1", OTHER))
    update = covered(OTHER, SHARED, session_id="s1")
    assert await room.publish(update) == ["accepted"]
    theirs, hers = (await room.events(OTHER))[-1], (await room.events(MEMBER))[-1]
    assert (theirs["id"], theirs["data"]["session_id"]) == (update["id"], "s1")
    assert hers["id"].startswith("evt_")
    assert "session_id" not in hers["data"]
    assert (hers["source"], hers["partitionkey"], hers["data"]["member_id"]) == (update["source"], MEMBER, MEMBER)
    assert hers["data"]["coverage_ref"] == theirs["data"]["coverage_ref"]
    assert await room.publish(update) == ["duplicate"]
    assert await room.names(MEMBER) == ["coverage.updated"]


@pytest.mark.parametrize(
    ("published", "pointer"),
    [
        (covered(OTHER, OWN), "/0/data/account_id"),
        (covered(MEMBER, "A0"), "/0/data/account_id"),
        (covered("nobody"), "/0/data/member_id"),
        (covered(session_id="s9"), "/0/data/session_id"),
        (checked(account_id="A200001"), "/0/data/account_id"),
        (checked(session_id="s9"), "/0/data/session_id"),
        (checked(completed_at="2030-01-01T00:00:00Z"), "/0/data/completed_at"),
        (care_plan("nobody"), "/0/data/member_id"),
        (care_plan(session_id="s9"), "/0/data/session_id"),
    ],
    ids=range(9),
)
async def test_what_names_nothing_of_the_member_is_refused(room: Room, published: dict[str, object], pointer: str) -> None:
    await share(room)
    assert await room.refused(published) == {pointer}


async def test_another_members_session_is_like_none(room: Room) -> None:
    await room.publish(created("s1", OTHER))
    for published in (covered(account_id=DEPENDANT, session_id="s1"), checked(session_id="s1"), care_plan(session_id="s1")):
        assert await room.refused(published) == {"/0/data/session_id"}


async def test_a_care_plan_rides_as_it_is(room: Room) -> None:
    await room.publish(care_plan(updated_goals=["g1"], new_tasks=["t7"]))
    (told,) = await room.events()
    assert told["data"] == {
        "member_id": MEMBER,
        "care_plan_id": "cp1",
        "status": "ACTIVE",
        "updated_goals": ["g1"],
        "new_tasks": ["t7"],
    }


async def test_lists_are_always_there_on_the_way_out(room: Room) -> None:
    await room.publish(event("care_plan.updated", {"member_id": MEMBER, "care_plan_id": "cp1"}))
    (told,) = await room.events()
    assert told["data"] == {"member_id": MEMBER, "care_plan_id": "cp1", "updated_goals": [], "new_tasks": []}
