"""The stage with care relationships as the platform is wired, and revocations that are heeded."""

from __future__ import annotations

from session_platform import directory
from session_platform.access import Rights, RightsWatch, TokenVerifier
from session_platform.careflow import assigned
from session_platform.sessions import participates
from tests.api.stage import SECRET, Stage, accounts_of

DAY_S = 86_400


def cared(stage: Stage) -> Stage:
    return stage.with_parts(
        rights=Rights((participates, assigned, directory.on_panel), accounts_of),
        verifier=TokenVerifier(development_secret=SECRET, watch=RightsWatch(stage.store, stage.clock)),
    )


def dana(stage: Stage) -> str:
    """Every demo member is on her panel."""
    return stage.token("care_team", sub="C001", expires_in_s=DAY_S, staff_id="C001", name="Dana Reyes")


def ito(stage: Stage) -> str:
    """A clinician without a panel."""
    return stage.token("clinician", sub="C002", expires_in_s=DAY_S, staff_id="C002", name="Dr. Ito")


def novak(stage: Stage) -> str:
    """Another one."""
    return stage.token("clinician", sub="C003", expires_in_s=DAY_S, staff_id="C003", name="Dr. Novak")
