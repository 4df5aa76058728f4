"""From a payer's answer to a coverage."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET
from msgspec.structs import replace

from session_platform.contract import CoverageBenefit, CoverageChangeType, CoverageDetails, CoverageStatus, Money
from session_platform.eligibility.coverage import BENEFITS_MAX, TEXT_MAX_CHARACTERS, change
from session_platform.eligibility.reading import NoCoverage, is_answer, read
from tests.eligibility.answers import ACTIVE, answer, entry, error, plan
from tests.eligibility.insured import Person

NOW = datetime(2026, 7, 1, 12, tzinfo=UTC)
json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


def read_coverage(body: bytes) -> CoverageDetails:
    found = read(body, Person(), NOW)
    assert isinstance(found, CoverageDetails)
    return found


def benefits_of(**benefits: Any) -> tuple[CoverageBenefit, ...]:
    return read_coverage(answer(plan("ACTIVE_COVERAGE", **benefits))).benefits


def usd(amount: str) -> Money:
    return Money(amount=amount, currency="USD")


# ----------------------------------------------------------------------------------------------------------------------- status


@pytest.mark.parametrize(
    ("statuses", "expected"),
    [
        (["ACTIVE_COVERAGE"], CoverageStatus.ACTIVE),
        (["ACTIVE_PENDING_INVESTIGATION"], CoverageStatus.ACTIVE),
        (["INACTIVE"], CoverageStatus.INACTIVE),
        (["INACTIVE_PENDING_ELIGIBILITY_UPDATE"], CoverageStatus.INACTIVE),
        (["INACTIVE", "ACTIVE_COVERAGE"], CoverageStatus.ACTIVE),
        (["SOMETHING_NEW"], CoverageStatus.UNKNOWN),
        ([], CoverageStatus.UNKNOWN),
    ],
)
def test_the_status_is_the_payers(statuses: list[str], expected: CoverageStatus) -> None:
    assert read_coverage(answer(plan(*statuses))).coverage_status is expected


def test_the_plan_as_a_whole_decides_over_single_services() -> None:
    inactive_plan = plan(entry("35", status="ACTIVE_COVERAGE"), entry("30", status="INACTIVE"))
    assert read_coverage(answer(inactive_plan)).coverage_status is CoverageStatus.INACTIVE
    only_dental = plan(entry("35", status="ACTIVE_COVERAGE"))
    assert read_coverage(answer(only_dental)).coverage_status is CoverageStatus.ACTIVE


def test_of_several_plans_the_one_that_covers_everything_is_the_coverage() -> None:
    dental = plan(entry("35", status="ACTIVE_COVERAGE"), name="Dental", coPayment=[entry("35", amount="10")])
    old = plan("INACTIVE", name="Old")
    medical = plan("ACTIVE_COVERAGE", name="Medical", coPayment=[entry("98", amount="25")])
    found = read_coverage(answer(old, dental, medical))
    assert found.plan_name == "Medical"
    assert [benefit.service_type_code for benefit in found.benefits] == ["98"]
    assert read_coverage(answer(old, dental)).plan_name == "Dental"
    assert read_coverage(answer(plan(), old)).plan_name == "Old"


@pytest.mark.parametrize(
    ("end", "status"),
    [
        ("2026-06-30", CoverageStatus.TERMINATED),
        ("2026-07-01", CoverageStatus.INACTIVE),  # the last day counts
        ("2026-02-31", CoverageStatus.INACTIVE),  # no such day
        ("20260101", CoverageStatus.INACTIVE),
    ],
)
def test_a_plan_that_is_over_is_terminated(end: str, status: CoverageStatus) -> None:
    body = answer(plan("INACTIVE"), subscriber={"dates": {"plan": {"start": "2024-01-01", "end": end}}})
    assert read_coverage(body).coverage_status is status


# -------------------------------------------------------------------------------------------------------------- names and dates


def test_what_the_payer_says_of_plan_group_and_member_is_kept_and_the_directory_fills_the_rest() -> None:
    subscriber = {
        "memberId": "W789012-01",
        "dates": {"eligibility": {"start": "2025-03-01"}, "plan": {"end": "2026-12-31"}},
        "additionalInformation": {"group": {"number": "G-1"}, "plan": {"number": "1", "name": "Silver"}},
    }
    found = read_coverage(answer(plan("ACTIVE_COVERAGE"), subscriber=subscriber))
    assert found == CoverageDetails(
        account_id="A789012",
        coverage_status=CoverageStatus.ACTIVE,
        payer_id="BCBS1",
        payer_name="BLUE CROSS",
        plan_name="Silver",
        member_id_at_payer="W789012-01",
        group_number="G-1",
        effective_date="2025-03-01",
        termination_date="2026-12-31",
        benefits=(),
        verified_at=NOW,
        verified_by="BLUE CROSS",
    )
    bare = read_coverage(answer(plan("ACTIVE_COVERAGE"), payer=None))
    assert (bare.payer_name, bare.member_id_at_payer) == ("Blue Cross Blue Shield", "W789012")
    assert {bare.plan_name, bare.group_number, bare.effective_date, bare.termination_date} == {UNSET}


def test_a_dependants_own_dates_go_before_the_subscribers() -> None:
    body = answer(
        plan("ACTIVE_COVERAGE"),
        subscriber={"dates": {"plan": {"start": "2020-01-01"}}},
        dependent={"dates": {"plan": {"start": "2025-06-01"}}},
    )
    assert read_coverage(body).effective_date == "2025-06-01"


# --------------------------------------------------------------------------------------------------------------------- benefits


def test_what_belongs_together_is_one_benefit() -> None:
    assert benefits_of(
        deductible=[entry(amount="1500", timePeriod="CALENDAR_YEAR"), entry(amount="1120.5", timePeriod="REMAINING")],
        outOfPocket=[entry(amount="5000", timePeriod="SERVICE_YEAR"), entry(amount="4000.00", timePeriod="REMAINING")],
        coPayment=[entry(amount="25")],
        coInsurance=[entry(percent="0.2")],
    ) == (
        CoverageBenefit(
            service_type_code="30",
            service_type="Service 30",
            coverage_level="INDIVIDUAL",
            in_network=True,
            copay=usd("25.00"),
            coinsurance_percent=20.0,
            deductible=usd("1500.00"),
            deductible_remaining=usd("1120.50"),
            out_of_pocket=usd("5000.00"),
            out_of_pocket_remaining=usd("4000.00"),
        ),
    )


def test_services_networks_and_levels_are_told_apart() -> None:
    family = {**entry(amount="4"), "coverageLevel": "FAMILY"}
    found = benefits_of(
        coPayment=[entry(amount="1"), entry("98", amount="2"), entry(network="OUT_OF_NETWORK", amount="3"), family,
                   entry(network="IN_AND_OUT_OF_NETWORK", amount="5")],
    )  # fmt: skip
    assert [(b.service_type_code, b.coverage_level, b.in_network, b.copay) for b in found] == [
        ("30", "INDIVIDUAL", True, usd("1.00")),
        ("98", "INDIVIDUAL", True, usd("2.00")),
        ("30", "INDIVIDUAL", False, usd("3.00")),
        ("30", "FAMILY", True, usd("4.00")),
        ("30", "INDIVIDUAL", UNSET, usd("5.00")),
    ]


def test_of_several_amounts_for_the_same_the_first_stands() -> None:
    (found,) = benefits_of(coPayment=[entry("98", amount="25"), entry("98", amount="50")])
    assert found.copay == usd("25.00")


def test_amounts_used_so_far_lifetime_limits_and_single_procedures_are_no_benefits_of_ours() -> None:
    procedure = {**entry(amount="5"), "service": {"value": "99213", "system": "CPT"}}
    assert not benefits_of(
        deductible=[entry(amount="100", timePeriod="YEAR_TO_DATE"), entry(amount="100", timePeriod="LIFETIME"), entry()],
        coPayment=[procedure],
    )


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("40", "40.00"), ("40.0", "40.00"), ("40.125", "40.125"), ("0", "0.00"), (".5", "0.50"), ("100.", "100.00"),
        (" 7 ", "7.00"),
        ("999999999999", "999999999999.00"), ("9999999999999", None), ("1e9", None), ("-5", None), ("NaN", None), ("", None),
        ("twenty", None), ("1,500", None), ("٣", None),
    ],
)  # fmt: skip
def test_money_is_decimal_text_with_a_currency(sent: str, kept: str | None) -> None:
    found = benefits_of(coPayment=[entry(amount=sent)])
    assert [b.copay for b in found] == ([usd(kept)] if kept else [])


@pytest.mark.parametrize(
    ("sent", "kept"),
    [("0.2", 20.0), (".07", 7.0), ("0", 0.0), ("1", 100.0), ("20", 20.0), ("101", None), ("x", None), ("0.125", 12.5)],
)
def test_co_insurance_is_a_percentage(sent: str, kept: float | None) -> None:
    found = benefits_of(coInsurance=[entry(percent=sent)])
    assert [b.coinsurance_percent for b in found] == ([kept] if kept is not None else [])


def test_an_entry_of_another_form_is_left_out_and_the_rest_stands() -> None:
    broken: list[Any] = [entry(amount=25), "text", None, {"amount": "1", "service": []}, entry("98", amount="2")]
    assert [b.service_type_code for b in benefits_of(coPayment=broken)] == ["98"]


def test_plans_of_another_form_leave_the_coverage_unknown() -> None:
    found = read_coverage(answer({"benefits": "none"}, {}))
    assert (found.coverage_status, found.benefits) == (CoverageStatus.UNKNOWN, ())


def test_texts_and_lists_are_bounded() -> None:
    many = [entry(str(code), amount="1") for code in range(BENEFITS_MAX + 50)]
    long = {**entry("98", amount="1"), "coverageLevel": "x" * 5000}
    found = read_coverage(answer(plan("ACTIVE_COVERAGE", name="y" * 5000, coPayment=[long, *many])))
    assert len(found.benefits) == BENEFITS_MAX
    assert found.plan_name == "y" * TEXT_MAX_CHARACTERS
    assert found.benefits[0].coverage_level == "x" * TEXT_MAX_CHARACTERS


# ----------------------------------------------------------------------------------------------------------------- never raises


@given(st.binary(max_size=200))
def test_no_bytes_make_reading_raise(body: bytes) -> None:
    assert isinstance(read(body, Person(), NOW), NoCoverage)


@given(json_values)
def test_no_json_makes_reading_raise(value: Any) -> None:
    assert isinstance(read(msgspec.json.encode(value), Person(), NOW), NoCoverage)


def test_deeply_nested_json_is_only_unreadable() -> None:
    assert not is_answer(b'{"id":"1","plans":' + b"[" * 100_000 + b"]" * 100_000 + b"}")


@given(st.data())
def test_whatever_stands_in_place_of_any_part_an_answer_is_still_read(data: st.DataObject) -> None:
    body = msgspec.json.decode(
        answer(
            plan("ACTIVE_COVERAGE", name="Gold", coPayment=[entry(amount="1")], deductible=[entry(amount="2")]),
            errors=[error("72")],
            subscriber={
                "memberId": "W1",
                "dates": {"plan": {"start": "2026-01-01"}},
                "additionalInformation": {"group": {"number": "1"}},
            },
        )
    )
    holder: Any = body
    while True:
        keys = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
        key = data.draw(st.sampled_from(keys))
        if not isinstance(holder[key], dict | list) or not holder[key] or data.draw(st.booleans()):
            holder[key] = data.draw(json_values)
            break
        holder = holder[key]
    found = read(msgspec.json.encode(body), Person(), NOW)
    if isinstance(found, CoverageDetails):
        assert msgspec.json.decode(msgspec.json.encode(found), type=CoverageDetails) == found


# ----------------------------------------------------------------------------------------------------------- errors and changes


def test_errors_beside_a_coverage_are_about_single_benefits() -> None:
    assert read_coverage(answer(plan("ACTIVE_COVERAGE"), errors=[error("33")])).coverage_status is CoverageStatus.ACTIVE


def test_a_rejection_keeps_the_payers_own_list_byte_for_byte() -> None:
    theirs = b'[ {"code":"72", "followupAction":"C","surprise":[1.10, {"a":null}]} ]'
    found = read(b'{"id":"ec_1","errors":' + theirs + b',"plans":[]}', Person(), NOW)
    assert found == NoCoverage("payer_rejected", retryable=False, payer_errors=theirs)


def test_an_acknowledgement_without_an_answer_is_unreadable() -> None:
    assert not is_answer(answer())
    assert read(answer(), Person(), NOW) == NoCoverage("answer_unreadable", retryable=True)


def test_a_change_is_one_of_substance() -> None:
    first = read_coverage(ACTIVE)
    later = replace(first, verified_at=datetime(2026, 8, 1, tzinfo=UTC), verified_by="Somebody else")
    ended = replace(later, coverage_status=CoverageStatus.TERMINATED)
    assert change(None, first) is CoverageChangeType.VERIFICATION
    assert change(None, ended) is CoverageChangeType.VERIFICATION
    assert change(first, later) is None
    assert change(first, ended) is CoverageChangeType.TERMINATION
    assert change(ended, replace(ended, plan_name="Silver")) is CoverageChangeType.UPDATE
    assert change(ended, first) is CoverageChangeType.UPDATE
