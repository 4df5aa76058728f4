"""docs/operator.md names settings and sentences that there are."""

from __future__ import annotations

import re

from session_platform.app.settings import PREFIX, Settings
from tests.pages.page import ROOT

PAGE = (ROOT / "docs/operator.md").read_text()
SOURCE = "\n".join(path.read_text() for path in (ROOT / "src/session_platform").rglob("*.py"))


def test_it_names_settings_that_there_are() -> None:
    named = set(re.findall(rf"{PREFIX}[A-Z_]+", PAGE))
    assert len(named) > 10
    assert named <= {f"{PREFIX}{name.upper()}" for name in Settings.model_fields}


def test_it_explains_sentences_that_are_said() -> None:
    table = PAGE.partition("## When it does not start")[2]
    shown = [part for row in re.findall(r"^\| (`.*?`) \|", table, re.MULTILINE) for part in re.findall(r"`(.+?)`", row)]
    assert len(shown) > 15
    # A sentence is put together from pieces in the source; each of the page's is in one of them.
    spoken = re.sub(r'"\s*\n\s*f?"', "", SOURCE)
    assert [part for part in shown if part not in spoken] == []
