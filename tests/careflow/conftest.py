"""The clinic that most tests of this room stand in."""

from __future__ import annotations

from pathlib import Path

import pytest

from session_platform.clock import ManualClock
from session_platform.store import Store
from tests.careflow.made_up import Clinic, open_clinic


@pytest.fixture
def clinic(store: Store, clock: ManualClock, tmp_path: Path) -> Clinic:
    return open_clinic(store, clock, tmp_path / "services")
