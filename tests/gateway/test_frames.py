"""How the server's words are written, and that every code of the contract has its close."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from session_platform.errors import RateLimited, TooManySubscriptions
from session_platform.gateway import frames

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)


@given(
    body=st.dictionaries(st.text(), json_values, max_size=4),
    ids=st.lists(st.from_regex(r"sub_[0-9a-z]{26}", fullmatch=True), min_size=1),
)
def test_an_event_frame_is_its_header_around_the_very_bytes_of_the_event(body: dict[str, object], ids: list[str]) -> None:
    raw = json.dumps(body, ensure_ascii=False).encode()
    frame = frames.event(ids, "c" * 52, raw)
    assert raw in frame
    assert json.loads(frame) == {"type": "event", "subscription_ids": ids, "cursor": "c" * 52, "event": body}


def test_superseded_numbers_are_written_as_the_events_wrote_them() -> None:
    frame = json.loads(frames.event(("sub_1",), "c", b"{}", (3, 12)))
    assert frame["superseded"] == ["00000000000000000003", "00000000000000000012"]


def test_an_error_says_when_to_try_again_only_if_it_knows() -> None:
    assert json.loads(frames.error(RateLimited(retry_after_s=2.5), fatal=True))["retry_after_ms"] == 2500
    assert "retry_after_ms" not in json.loads(frames.error(TooManySubscriptions(), fatal=False))
    assert "id" not in json.loads(frames.error(TooManySubscriptions(), fatal=False))
    assert json.loads(frames.error(TooManySubscriptions(), fatal=False, frame_id=""))["id"] == ""


def test_the_close_codes_are_those_of_the_contract() -> None:
    assert set(frames.CLOSE_CODES.values()) == {4400, 4401, 4403, 4408, 4409, 4410, 4429}
