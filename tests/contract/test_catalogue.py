"""The catalogue says what the wire contract's table says, and the messages have the published numbers."""

from __future__ import annotations

from pathlib import Path

import pytest

from generator.descriptors import compile_contract, read_model
from generator.model import Model
from session_platform.contract import CATALOGUE, TIMELINE_TOPIC, TOPICS, EventClass, TopicSpec, spec_of, spec_of_type

D, E, L = EventClass.DURABLE, EventClass.EPHEMERAL, EventClass.LATEST_WINS
TABLE = [
    ("session.created", "lifecycle.created", "session_id", 50, 30, D, "/jarvis/sessions"),
    ("session.active", "lifecycle.active", "session_id", 50, 7, E, "/jarvis/sessions"),
    ("session.ended", "lifecycle.ended", "session_id", 50, 90, D, "/jarvis/sessions"),
    ("service_request.submitted", "service-request.submitted", "service_request_id", 100, 30, D, "/careflow/service-requests"),
    ("service_request.processing", "service-request.processing", "service_request_id", 100, 7, L, "/careflow/service-requests"),
    ("service_request.completed", "service-request.completed", "service_request_id", 100, 30, D, "/careflow/service-requests"),
    ("task.assigned", "task.assigned", "task_id", 100, 30, D, "/careflow/tasks"),
    ("task.in_progress", "task.in-progress", "task_id", 100, 7, D, "/careflow/tasks"),
    ("task.completed", "task.completed", "task_id", 100, 30, D, "/careflow/tasks"),
    ("rte.completed", "rte.completed", "member_id", 50, 7, D, "/rte/eligibility"),
    ("coverage.updated", "coverage.updated", "account_id", 50, 90, D, "/digital-twin/coverage"),
    ("care_plan.updated", "care-plan.updated", "member_id", 50, 90, D, "/digital-twin/care-plan"),
]

# Fields in the order of their numbers, from 1: what other systems that know these messages rely on.
NUMBERS = {
    "SessionCreatedEvent": "session_id member_id account_id session_type channel created_at initiator_id intent metadata "
    "previous_session_id device_id",
    "SessionActiveEvent": "session_id member_id last_activity_at state active_service_requests active_tasks",
    "SessionEndedEvent": "session_id member_id ended_at duration_seconds reason outcome completed_service_requests "
    "completed_tasks",
    "ServiceRequestSubmittedEvent": "service_request_id session_id member_id healthcare_service subject_account_id "
    "initiator_id reason priority submitted_at target_role target_speciality current_call_id",
    "ServiceRequestProcessingEvent": "service_request_id session_id member_id stage estimated_completion_seconds task_statuses "
    "percent_complete",
    "TaskStatus": "task_id task_type status",
    "ServiceRequestCompletedEvent": "service_request_id session_id member_id outcome result_data processing_duration_ms "
    "completed_at healthcare_service error result_ref",
    "ServiceError": "code message retryable",
    "TaskAssignedEvent": "task_id session_id member_id service_request_id task_type assignee_id assignee_role assigned_at "
    "due_at assignee_name title",
    "TaskInProgressEvent": "task_id session_id member_id started_by started_at estimated_completion_seconds task_type "
    "service_request_id assignee_id assignee_role",
    "TaskCompletedEvent": "task_id session_id member_id service_request_id completed_by task_result completed_at task_type "
    "assignee_id assignee_role outcome task_ref",
    "RTECompletedEvent": "session_id workflow_id service_request_id member_id account_id outcome coverage_status payer_id "
    "response_time_ms completed_at coverage_ref error coverage",
    "CoverageUpdatedEvent": "session_id member_id account_id change_type coverage coverage_ref",
    "CoverageDetails": "account_id coverage_status payer_id payer_name plan_name member_id_at_payer group_number "
    "effective_date termination_date benefits verified_at verified_by",
    "CoverageBenefit": "service_type_code service_type coverage_level in_network copay coinsurance_percent deductible "
    "deductible_remaining out_of_pocket out_of_pocket_remaining",
    "Money": "amount currency",
    "CarePlanUpdatedEvent": "session_id member_id care_plan_id status updated_goals new_tasks",
}
VALUES = {
    "SessionType": "APP CHAT VOICE VIDEO CLINICAL BACKGROUND",
    "SessionChannel": "MX_WEB IOS ANDROID CARE_APP PHONE_INBOUND PHONE_OUTBOUND ATHENA",
    "SessionState": "ACTIVE IDLE WAITING COMPLETING",
    "SessionEndReason": "USER_CLOSED TIMEOUT COMPLETED ERROR",
    "SessionOutcome": "SUCCESS PARTIAL FAILED",
    "ServiceRequestPriority": "INTERACTIVE STANDARD BATCH URGENT",
    "ProcessingStage": "QUEUED SCHEDULED EXECUTING FINALIZING",
    "ServiceDeliveryOutcome": "SUCCESS FAILED CANCELED",
    "AssigneeRole": "MEMBER CARE_TEAM CLINICIAN SYSTEM",
    "TaskOutcome": "SUCCESS FAILED CANCELED",
    "CoverageStatus": "ACTIVE INACTIVE TERMINATED UNKNOWN",
    "CoverageChangeType": "ENROLLMENT VERIFICATION TERMINATION UPDATE",
    "CarePlanStatus": "DRAFT ACTIVE ON_HOLD COMPLETED REVOKED",
}


@pytest.fixture(scope="module")
def model() -> Model:
    return read_model(compile_contract(Path(__file__).resolve().parents[2] / "proto-common"))


def test_the_catalogue_is_the_table() -> None:
    found = [
        (spec.name, spec.suffix, spec.key, spec.partitions, spec.retention_days, spec.event_class, spec.source)
        for spec in CATALOGUE.values()
    ]
    assert found == TABLE


def test_types_and_topics_follow_from_the_suffix() -> None:
    for name, spec in CATALOGUE.items():
        assert spec.name == name
        assert spec.topic == f"sessions.{spec.suffix}"
        assert spec.type == f"com.includedhealth.{spec.topic}"


def test_there_is_a_topic_an_event_and_the_ordered_stream() -> None:
    assert TOPICS[-1] == TopicSpec("sessions.timeline.member", "member_id", 100, 7)
    assert TIMELINE_TOPIC == "sessions.timeline.member"
    assert [topic[:] for topic in TOPICS[:-1]] == [(f"sessions.{row[1]}", *row[2:5]) for row in TABLE]


def test_an_event_is_found_by_its_type_and_by_its_struct() -> None:
    for spec in CATALOGUE.values():
        assert spec_of(spec.struct) is spec
        assert spec_of_type(spec.type) is spec
    assert spec_of_type("com.includedhealth.sessions.unheard.of") is None


def test_messages_have_the_published_fields_and_numbers(model: Model) -> None:
    found = {message.name: {field.number: field.name for field in message.fields} for message in model.messages}
    assert found == {name: dict(enumerate(fields.split(), start=1)) for name, fields in NUMBERS.items()}


def test_enums_have_the_published_values_and_numbers(model: Model) -> None:
    found = {enum.name: {value.number: value.short for value in enum.values} for enum in model.enums}
    assert found == {name: dict(enumerate(values.split(), start=1)) for name, values in VALUES.items()}


def test_every_event_has_the_member_and_its_key_for_sure(model: Model) -> None:
    for message, event in model.events:
        required = {field.name for field in message.fields if field.required}
        assert {"member_id", event.topic.key} <= required
