"""Only a name behind a colon is a parameter."""

from __future__ import annotations

import pytest

from session_platform.store.postgres.dialect import translated


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("a = :name AND b = :name_2", "a = %(name)s AND b = %(name_2)s"),
        ("(:a,:b)", "(%(a)s,%(b)s)"),
        ("x::bigint = :x::bigint", "x::bigint = %(x)s::bigint"),
        ("':no' = :yes", "':no' = %(yes)s"),
        ("'it''s :no' || :yes", "'it''s :no' || %(yes)s"),
        ('":no" = :yes', '":no" = %(yes)s'),
        ("a % 2 LIKE '10%'", "a %% 2 LIKE '10%%'"),
        ("1 -- :no\n = :yes", "1 -- :no\n = %(yes)s"),
        ("1 /* :no\n :no */ = :yes", "1 /* :no\n :no */ = %(yes)s"),
        ("a[1:2]", "a[1:2]"),
    ],
)
def test_translated(sql: str, expected: str) -> None:
    assert translated(sql) == expected
