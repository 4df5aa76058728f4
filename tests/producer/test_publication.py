"""What publishing does about each answer, without a socket or a clock."""

from __future__ import annotations

import json
from typing import Any

import httpx2
import pytest

from digital_session_producer import (
    AuthenticationError,
    Event,
    ForbiddenError,
    ProducerError,
    ProtocolError,
    RateLimitedError,
    Refusal,
    RefusedError,
    Retry,
    TooLargeError,
    UnavailableError,
)
from digital_session_producer._publication import Answer, Pause, Renew, Send, Step, publication
from tests.producer.platform import problem

ONE = [Event("x", {"member_id": "M1"}, id="e0").sealed("/a")]
TWO = [*ONE, Event("x", {"member_id": "M2"}, id="e1").sealed("/a")]
TAKEN = Answer(202, b"")


def heard(answer: httpx2.Response, after_s: float | None = None) -> Answer:
    return Answer(answer.status_code, answer.content, after_s)


def steps(replies: list[Any], envelopes: Any = ONE, retry: Retry | None = None) -> list[Step]:
    """Every step until it ends, each `Send` and `Renew` answered by the next of ``replies``."""
    run = publication(envelopes, retry or Retry(), lambda: 1.0)
    done: list[Step] = [next(run)]
    waiting = iter(replies)
    while True:
        try:
            done.append(run.send(None if isinstance(done[-1], Pause) else next(waiting)))
        except StopIteration:
            return done


def raised(answer: Answer | None, envelopes: Any = ONE) -> ProducerError:
    with pytest.raises(ProducerError) as error:
        steps([answer], envelopes, Retry(tries=1))
    return error.value


def test_one_event_goes_structured_and_several_as_a_batch() -> None:
    (one,) = steps([TAKEN])
    (two,) = steps([TAKEN], TWO)
    assert isinstance(one, Send)
    assert isinstance(two, Send)
    assert (one.content_type, json.loads(one.body)["id"]) == ("application/cloudevents+json", "e0")
    assert (two.content_type, [each["id"] for each in json.loads(two.body)]) == (
        "application/cloudevents-batch+json",
        ["e0", "e1"],
    )


@pytest.mark.parametrize("passing", [None, Answer(500, b""), Answer(503, b"not json"), Answer(429, b"[]")], ids=repr)
def test_what_may_pass_is_tried_again_with_the_same_bytes(passing: Answer | None) -> None:
    send, pause, again = steps([passing, TAKEN])
    assert send == again
    assert pause == Pause(0.25)


def test_pauses_double_up_to_a_bound_and_the_last_try_raises() -> None:
    pauses: list[float] = []

    def go_on() -> None:
        run = publication(ONE, Retry(tries=9), lambda: 1.0)
        step = next(run)
        while True:
            if isinstance(step, Pause):
                pauses.append(step.seconds)
            step = run.send(None)

    with pytest.raises(UnavailableError):
        go_on()
    assert pauses == [0.25, 0.5, 1, 2, 4, 8, 8, 8]


def test_it_is_not_tried_sooner_than_the_platform_asks_for() -> None:
    assert steps([Answer(429, b"", 5.0), TAKEN])[1] == Pause(5.0)


def test_a_retry_after_that_is_too_long_is_the_callers_to_wait_for() -> None:
    with pytest.raises(RateLimitedError) as error:
        steps([Answer(429, b"", 3600.0)])
    assert error.value.retry_after_s == 3600.0
    assert error.value.retryable


def test_a_refused_token_is_renewed_once() -> None:
    send, renew, again = steps([Answer(401, b""), True, TAKEN])
    assert (send, renew) == (again, Renew())
    with pytest.raises(AuthenticationError):
        steps([Answer(401, b""), True, heard(problem(401, "unauthenticated"))])


def test_a_refused_token_without_another_ends_it() -> None:
    with pytest.raises(AuthenticationError):
        steps([Answer(401, b""), False])


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (403, "forbidden", ForbiddenError),
        (413, "too_large", TooLargeError),
        (429, "rate_limited", RateLimitedError),
        (503, "unavailable", UnavailableError),
        (400, "bad_request", ProtocolError),
        (404, "forbidden_or_missing", ProtocolError),
        (415, "unsupported_media_type", ProtocolError),
    ],
)
def test_an_answer_is_a_typed_error_with_the_platforms_code(status: int, code: str, kind: type[ProducerError]) -> None:
    error = raised(heard(problem(status, code)))
    assert type(error) is kind
    assert (error.code, error.message) == (code, f"It is {code}.")


def test_an_answer_that_is_no_problem_is_named_by_its_status() -> None:
    error = raised(Answer(302, b"<html>"))
    assert isinstance(error, ProtocolError)
    assert "302" in error.message


def test_a_refused_event_is_named_with_its_field() -> None:
    answer = heard(problem(422, "invalid", [{"pointer": "/data/task_id", "detail": "is unknown"}]))
    error = raised(answer)
    assert isinstance(error, RefusedError)
    assert error.refusals == (Refusal(0, "e0", "/data/task_id", "is unknown"),)


def test_the_refused_event_of_a_batch_is_named_with_its_field() -> None:
    answer = heard(problem(422, "invalid", [{"pointer": "/1/data/task_id", "detail": "is unknown"}]))
    error = raised(answer, TWO)
    assert isinstance(error, RefusedError)
    assert error.refusals == (Refusal(1, "e1", "/data/task_id", "is unknown"),)
    assert "e1 /data/task_id: is unknown" in str(error)


@pytest.mark.parametrize("pointer", ["", "/7/data", "/x/data", "/header/content-type", "/²/data"])
def test_a_refusal_of_the_whole_batch_blames_no_event(pointer: str) -> None:
    error = raised(heard(problem(422, "invalid", [{"pointer": pointer, "detail": "is wrong"}])), TWO)
    assert isinstance(error, RefusedError)
    assert error.refusals == (Refusal(None, None, pointer, "is wrong"),)
