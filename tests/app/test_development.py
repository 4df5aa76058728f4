"""Development tokens: for whom they are minted, and that only the platform on the same data directory accepts them."""

from __future__ import annotations

import stat
from datetime import timedelta
from pathlib import Path

import pytest

from session_platform import directory
from session_platform.access import AdminIdentity, MemberIdentity, ServiceIdentity, StaffIdentity, StaffRole, TokenVerifier
from session_platform.app.development import SECRET_FILE, Subject, development_secret, development_token
from session_platform.app.settings import Settings
from session_platform.clock import SystemClock
from session_platform.errors import StartError, Unauthenticated
from session_platform.ids import IdMint
from session_platform.store.sqlite import SqliteStore

NOW = SystemClock().now


@pytest.fixture
async def settings(tmp_path: Path) -> Settings:
    """A data directory with the demo directory in it, as `up` leaves it behind."""
    store = await SqliteStore.open(tmp_path, SystemClock(), IdMint())
    seed = directory.load_seed(directory.DEMO_SEED)
    await store.run(lambda tx: directory.apply_seed(tx, seed))
    await store.close()
    development_secret(tmp_path)
    return Settings.load(data=tmp_path)


def verifier(settings: Settings) -> TokenVerifier:
    return TokenVerifier(development_secret=development_secret(settings.data))


async def test_a_members_token_names_her_accounts_the_own_one_first(settings: Settings) -> None:
    identity = verifier(settings).verify(development_token(settings, Subject(member="M123456"), 60), NOW())
    assert isinstance(identity, MemberIdentity)
    assert (identity.subject, identity.member_id, identity.account_ids) == ("M123456", "M123456", ("A789012", "A789013"))


async def test_a_member_by_rule_has_the_account_of_the_same_digits(settings: Settings) -> None:
    identity = verifier(settings).verify(development_token(settings, Subject(member="M777"), 60), NOW())
    assert isinstance(identity, MemberIdentity)
    assert identity.account_ids == ("A777",)


async def test_a_staff_token_has_name_role_and_specialities(settings: Settings) -> None:
    identity = verifier(settings).verify(development_token(settings, Subject(staff="C002", role="clinician"), 60), NOW())
    assert isinstance(identity, StaffIdentity)
    assert (identity.staff_id, identity.name) == ("C002", "Dr. Ito")
    assert identity.roles == {StaffRole.CLINICIAN}
    assert identity.specialities == {"PSYCHIATRY"}


async def test_services_and_admins_have_tokens_of_their_kind(settings: Settings) -> None:
    service = verifier(settings).verify(development_token(settings, Subject(service="jarvis"), 60), NOW())
    admin = verifier(settings).verify(development_token(settings, Subject(admin=True), 60), NOW())
    assert isinstance(service, ServiceIdentity)
    assert service.subject == "jarvis"
    assert isinstance(admin, AdminIdentity)


async def test_a_token_ends_when_it_was_said_to(settings: Settings) -> None:
    token = development_token(settings, Subject(member="M123456"), 60)
    with pytest.raises(Unauthenticated):
        verifier(settings).verify(token, NOW() + timedelta(seconds=61))


@pytest.mark.parametrize(
    "subject",
    [
        Subject(),
        Subject(member="M123456", admin=True),
        Subject(member="M123456", role="clinician"),
        Subject(member="nobody"),
        Subject(staff="C999", role="clinician"),
        Subject(staff="C001", role="surgeon"),
        Subject(service=""),
    ],
)
async def test_a_token_for_nobody_is_refused_in_one_sentence(subject: Subject, settings: Settings) -> None:
    with pytest.raises(StartError) as refused:
        development_token(settings, subject, 60)
    assert len(str(refused.value).splitlines()) == 1


def test_without_a_platform_there_is_no_token(tmp_path: Path) -> None:
    with pytest.raises(StartError, match="session-platform up"):
        development_token(Settings.load(data=tmp_path), Subject(member="M123456"), 60)


def test_the_secret_is_its_owners_and_stays_the_same(tmp_path: Path) -> None:
    first = development_secret(tmp_path / "data")
    assert development_secret(tmp_path / "data") == first
    assert stat.S_IMODE((tmp_path / "data" / SECRET_FILE).stat().st_mode) == 0o600


def test_a_start_that_died_while_making_the_secret_leaves_nothing_in_the_way(tmp_path: Path) -> None:
    (tmp_path / SECRET_FILE).with_suffix(".draft").write_bytes(b"half")
    assert len(development_secret(tmp_path)) == 32


async def test_another_platforms_secret_does_not_verify(settings: Settings, tmp_path: Path) -> None:
    token = development_token(settings, Subject(member="M123456"), 60)
    with pytest.raises(Unauthenticated):
        TokenVerifier(development_secret=development_secret(tmp_path / "other")).verify(token, NOW())
