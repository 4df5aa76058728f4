"""Whatever a client sends raises nothing, changes nothing and has its named answer."""

from __future__ import annotations

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from session_platform.gateway.frames import KINDS
from tests.gateway.bench import MEMBER, REQUEST, SESSION, Bench

texts = st.one_of(
    st.text(max_size=60),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=5), inner),
    ).map(json.dumps),
    st.fixed_dictionaries(
        {"type": st.sampled_from([*sorted(KINDS), "event", "?"])},
        optional={
            "id": st.one_of(st.text(max_size=3), st.integers(), st.none()),
            "token": st.one_of(st.just("forged"), st.integers()),
            "subscription": st.one_of(
                st.integers(),
                st.fixed_dictionaries(
                    {"type": st.sampled_from(["session", "member", "service_request", "?"])},
                    optional={
                        "session_id": st.sampled_from([SESSION, "sess_9", "", 7]),
                        "member_id": st.sampled_from([MEMBER, "M2", None]),
                        "service_request_ids": st.lists(st.sampled_from([REQUEST, "sr_9", 7]), max_size=3),
                        "events": st.one_of(st.lists(st.text(max_size=6), max_size=3), st.integers()),
                    },
                ),
            ),
            "cursor": st.one_of(st.text(max_size=60), st.integers(), st.none()),
            "since": st.sampled_from(["beginning", "end", 7, None]),
            "cursors": st.one_of(st.lists(st.text(max_size=60), max_size=3), st.integers()),
            "session_id": st.one_of(st.sampled_from([SESSION, "sess_9", "", 7])),
            "active": st.one_of(st.booleans(), st.integers()),
            "subscription_id": st.one_of(st.text(max_size=6), st.none()),
        },
    ).map(json.dumps),
)


@settings(max_examples=300)
@given(sent=st.lists(texts, max_size=12), is_connected=st.booleans())
def test_whatever_is_sent_raises_nothing_and_every_refusal_is_an_error_frame(sent: list[str], is_connected: bool) -> None:
    bench = Bench()
    if is_connected:
        bench.connect()
    for text in sent:
        bench.tell_text(text)
    codes = {frame["code"] for frame in bench.frames if frame["type"] == "error"}
    assert codes <= {"bad_request", "unauthenticated", "forbidden_or_missing", "bad_cursor"}
    assert bench.closed in {None, 4400, 4401}
    if bench.closed is not None:
        assert bench.frames[-1]["fatal"] is True
    assert bench.acknowledged == []
