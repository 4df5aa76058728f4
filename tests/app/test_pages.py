"""The pages name files that exist, and settings and commands that there are."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "session_platform"
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), ROOT / "sdk/python/README.md"])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), target


def test_the_architecture_page_names_files_that_exist() -> None:
    prose = [line for line in (ROOT / "ARCHITECTURE.md").read_text().splitlines() if not line.startswith("|")]
    text = "\n".join(prose)
    named = set(re.findall(r"`((?:[\w-]+/)+[\w.-]*)`", text))
    assert len(named) > 10
    missing = {path for path in named if not (PACKAGE / path).exists() and not (ROOT / path).exists()}
    assert not missing


def test_the_architecture_page_names_modules_that_exist() -> None:
    rows = re.findall(r"^\| `(\w+)` \|[^|]*\| (.*) \|$", (ROOT / "ARCHITECTURE.md").read_text(), re.MULTILINE)
    assert {room for room, _ in rows} == {
        path.name for path in PACKAGE.iterdir() if (path / "__init__.py").exists() and path.name != "simulators"
    }
    for room, modules in rows:
        for name in re.findall(r"`([\w/.]+)`", modules):
            assert (PACKAGE / room / name).exists(), f"{room}/{name}"
