"""A seed file is taken whole or refused in one sentence that names the file and the key."""

from __future__ import annotations

from pathlib import Path

import pytest

from session_platform.directory import DEMO_SEED, Seed, account, apply_seed, load_seed, member, on_panel, staff
from session_platform.errors import StartError
from session_platform.store import Reader, Row, Tx
from session_platform.store.sqlite import SqliteStore

ACCOUNT = """
[[accounts]]
account_id = "A1"
payer_id = "P1"
payer_name = "Payer"
member_id_at_payer = "W1"
first_name = "Ada"
last_name = "Byron"
date_of_birth = 1985-04-12
"""
MEMBER = """
[[members]]
member_id = "M1"
first_name = "Ada"
last_name = "Byron"
date_of_birth = 1985-04-12
accounts = ["A1"]
"""
STAFF = """
[[staff]]
staff_id = "C1"
name = "Dana"
role = "care_team"
specialities = ["psychiatry"]
panel = ["M1"]
"""
PATTERN = """
[[member_patterns]]
member_prefix = "M"
account_prefix = "A"
payer_member_prefix = "W"
payer_id = "P1"
payer_name = "Payer"
first_name = "Demo"
last_name = "Member"
date_of_birth = 1985-04-12
"""
WHOLE = ACCOUNT + MEMBER + STAFF


def written(folder: Path, text: str) -> Path:
    path = folder / "people.toml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("text", "key"),
    [
        (ACCOUNT.replace('payer_id = "P1"\n', ""), "payer_id"),
        (ACCOUNT.replace("1985-04-12", '"12 April"'), "date_of_birth"),
        (ACCOUNT.replace('"Payer"', "7"), "payer_name"),
        (ACCOUNT.replace('"Payer"', '""'), "payer_name"),
        (ACCOUNT + 'phone = "1"\n', "phone"),
        (WHOLE.replace("care_team", "wizard"), "role"),
        (WHOLE.replace('accounts = ["A1"]', "accounts = []"), "accounts"),
        (WHOLE.replace('accounts = ["A1"]', 'accounts = ["A1", "A2"]'), "members.accounts of M1 names A2"),
        (WHOLE.replace('accounts = ["A1"]', 'accounts = ["A1", "A1"]'), "members.accounts of M1 has A1 twice"),
        (WHOLE.replace('panel = ["M1"]', 'panel = ["M2"]'), "staff.panel of C1 names M2"),
        (ACCOUNT + ACCOUNT, "accounts.account_id has A1 twice"),
        (ACCOUNT + MEMBER + MEMBER, "members.member_id has M1 twice"),
        (WHOLE + STAFF, "staff.staff_id has C1 twice"),
        (PATTERN + PATTERN, "member_patterns.member_prefix has M twice"),
        (PATTERN + PATTERN.replace('"M"', '"N"'), "member_patterns.account_prefix has A twice"),
        ("[[account]]\n", "account"),
        ("members = 3\n", "members"),
        ("[[members\n", "line 1"),
    ],
)
def test_a_bad_seed_file_is_refused_by_file_and_key(tmp_path: Path, text: str, key: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(StartError) as refused:
        load_seed(path)
    sentence = str(refused.value)
    assert str(path) in sentence
    assert key in sentence
    assert "\n" not in sentence
    assert sentence.endswith(".")


def test_a_seed_file_that_is_not_there_or_no_text_is_refused_too(tmp_path: Path) -> None:
    with pytest.raises(StartError, match=r"nowhere\.toml cannot be read: No such file"):
        load_seed(tmp_path / "nowhere.toml")
    binary = tmp_path / "binary.toml"
    binary.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(StartError, match=r"binary\.toml is not TOML"):
        load_seed(binary)


def test_an_empty_file_is_an_empty_directory(tmp_path: Path) -> None:
    assert load_seed(written(tmp_path, "")) == Seed()


TABLES = (
    "SELECT * FROM member ORDER BY 1",
    "SELECT * FROM account ORDER BY 1",
    "SELECT * FROM holding ORDER BY 1, 3",
    "SELECT * FROM member_pattern ORDER BY 1",
    "SELECT * FROM staff ORDER BY 1",
    "SELECT * FROM panel ORDER BY 1, 2",
)


async def everything(store: SqliteStore) -> list[list[Row]]:
    return await store.read(lambda reader: [reader.all(sql) for sql in TABLES])


async def test_applying_a_seed_again_changes_nothing(store: SqliteStore) -> None:
    seed = load_seed(DEMO_SEED)
    await store.run(lambda tx: apply_seed(tx, seed))
    first = await everything(store)
    await store.run(lambda tx: apply_seed(tx, seed))
    assert await everything(store) == first


async def test_a_changed_seed_changes_what_it_lists_and_leaves_the_rest(store: SqliteStore, tmp_path: Path) -> None:
    await store.run(lambda tx: apply_seed(tx, load_seed(DEMO_SEED)))
    second = ACCOUNT.replace("A1", "A2").replace('"P1"', '"P2"')
    text = ACCOUNT + second + MEMBER.replace('["A1"]', '["A2", "A1"]') + STAFF
    await store.run(lambda tx: apply_seed(tx, load_seed(written(tmp_path, text))))
    text = text.replace('["A2", "A1"]', '["A1"]').replace('"P2"', '"P3"')
    await store.run(lambda tx: apply_seed(tx, load_seed(written(tmp_path, text))))

    def read(reader: Reader) -> tuple[object, ...]:
        ada, held, demo = member(reader, "M1"), account(reader, "A2"), member(reader, "M123456")
        assert ada is not None
        assert held is not None
        assert demo is not None
        return ada.account_ids, held.payer_id, demo.account_ids

    assert await store.read(read) == (("A1",), "P3", ("A789012", "A789013"))


async def test_specialities_are_kept_in_upper_case(store: SqliteStore, tmp_path: Path) -> None:
    await store.run(lambda tx: apply_seed(tx, load_seed(written(tmp_path, WHOLE))))
    found = await store.read(lambda reader: staff(reader, "C1"))
    assert found is not None
    assert found.specialities == ("PSYCHIATRY",)


async def test_a_panel_of_names_holds_those_members_only(store: SqliteStore, tmp_path: Path) -> None:
    await store.run(lambda tx: apply_seed(tx, load_seed(written(tmp_path, WHOLE + PATTERN))))
    assert await store.read(lambda reader: on_panel(reader, "C1", "M1")) is True
    assert await store.read(lambda reader: on_panel(reader, "C1", "M2")) is False


async def test_a_seed_that_fails_half_way_leaves_the_directory_as_it_was(store: SqliteStore, tmp_path: Path) -> None:
    seed = load_seed(written(tmp_path, WHOLE))

    class Dies(Exception):
        """The process, say."""

    def command(tx: Tx) -> None:
        apply_seed(tx, seed)
        raise Dies

    with pytest.raises(Dies):
        await store.run(command)
    assert await store.read(lambda reader: member(reader, "M1")) is None
