"""The pages are true: every command and sample on them runs as written, and shows what the page shows."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from tests.pages.page import ROOT, Block, Kind, blocks, same_text
from tests.pages.stage import Stage

PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), *(ROOT / "sdk").glob("*/README.md")])
DONE = frozenset({Kind.RUN, Kind.BACKGROUND, Kind.LIVE, Kind.SAVE, Kind.FRAGMENT, Kind.OUTPUT})
FOLLOWED = [page for page in PAGES if any(block.kind in DONE for block in blocks(page))]
RUN_BY_ANOTHER_TEST = frozenset({"outbox/outbox.go", "main.go", "outbox.rb", "usage.rb", "outbox.sql"})
"""tests/pages/test_other_languages.py"""


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", FOLLOWED, ids=name_of)
async def test_the_page_can_be_followed(page: Path, tmp_path: Path) -> None:
    found = blocks(page)
    async with Stage(tmp_path, any(block.kind is Kind.BACKGROUND for block in found)) as stage:
        for block in found:
            await stage.follow(block)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_block_is_run_or_says_why_not(page: Path) -> None:
    assert [block.place for block in blocks(page) if block.kind is Kind.UNDECLARED] == []
    assert page.read_text().count("\n```") == 2 * len(blocks(page)), "a fence is not closed, or is indented"


@pytest.mark.parametrize("page", FOLLOWED, ids=name_of)
def test_every_saved_file_is_used_and_every_shown_output_is_somebodys(page: Path) -> None:
    found = blocks(page)
    commands = "\n".join(block.text for block in found if block.kind in {Kind.RUN, Kind.BACKGROUND, Kind.SAVE})
    saved = {block.name for block in found if block.kind is Kind.SAVE}
    used = {name for name in saved if name in commands or f"from {name.removesuffix('.py')} import" in commands}
    assert saved - used <= RUN_BY_ANOTHER_TEST
    for before, block in pairwise(found):
        if block.kind is Kind.OUTPUT:
            assert before.kind in {Kind.RUN, Kind.FRAGMENT}, block.place


def test_the_pages_for_each_reader_are_there() -> None:
    assert {"frontend.md", "backend.md", "operator.md"} <= {page.name for page in FOLLOWED}


@pytest.mark.parametrize(
    ("expected", "actual", "same"),
    [
        ("a\nb\n", "a\nb\n", True),
        ("a\nb\n", "a\nb", True),
        ("a\nb\n", "a\nc\n", False),
        ("a\n", "a\nb\n", False),
        ("a …\n", "a 1\n", True),
        ("a …\n", "b 1\n", False),
        ("a\n…\nz\n", "a\nz\n", True),
        ("a\n…\nz\n", "a\nb\nc\nz\n", True),
        ("a\n…\nz\n", "a\nb\nc\n", False),
        ("a.c\n", "abc\n", False),
    ],
)
def test_a_placeholder_stands_for_what_it_says(expected: str, actual: str, same: bool) -> None:
    assert same_text(expected, actual) is same


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("```sh\nls\n```", Kind.RUN),
        ("```sh background\nls\n```", Kind.BACKGROUND),
        ("```python follow.py\npass\n```", Kind.SAVE),
        ("```sh live\nls\n```", Kind.LIVE),
        ("```python\npass\n```", Kind.FRAGMENT),
        ("```json output\n{}\n```", Kind.OUTPUT),
        ("<!-- not run: it needs\na domain -->\n```nginx\nx\n```", Kind.EXCUSED),
        ("<!-- not run: why -->\n\ntext\n\n```nginx\nx\n```", Kind.UNDECLARED),
        ("```\nls\n```", Kind.UNDECLARED),
        ("```json\n{}\n```", Kind.UNDECLARED),
        ("```json client\n{}\n```", Kind.UNDECLARED),
    ],
)
def test_what_is_done_with_a_block_stands_behind_its_language(text: str, kind: Kind, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"{text}\n")
    (block,) = blocks(page)
    assert block.kind is kind
    assert isinstance(block, Block)
