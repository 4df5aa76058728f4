"""What the README says works as written: its second command and its Python example."""

from __future__ import annotations

import asyncio
import io
import re
import textwrap
from contextlib import redirect_stdout
from pathlib import Path

from tests.running import COMMAND, Running

README = (Path(__file__).parents[2] / "README.md").read_text()


def shown(language: str, containing: str) -> str:
    blocks: list[str] = re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    (block,) = [block for block in blocks if containing in block]
    return block


async def test_the_readmes_second_command_shows_the_check_and_the_coverage(tmp_path: Path) -> None:
    async with Running(tmp_path / "data") as platform:
        line = shown("sh", "check-coverage").strip()
        line = line.replace(".venv/bin/session-platform", COMMAND)
        line = line.replace("token --member M123456", f"token --member M123456 --data {platform.data}")
        process = await asyncio.create_subprocess_shell(
            f"{line} --endpoint {platform.endpoint}", stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
        out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    assert "Blue Cross Blue Shield" in out.decode()


async def test_the_command_that_up_prints_works_as_it_is(tmp_path: Path) -> None:
    async with Running(tmp_path / "data") as platform:
        (line,) = [line for line in platform.banner if "check-coverage" in line]
        process = await asyncio.create_subprocess_shell(line, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE)
        out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    assert "ACTIVE" in out.decode()


async def test_the_readmes_python_example_prints_the_payer(tmp_path: Path) -> None:
    async with Running(tmp_path / "data") as platform:
        token = await platform.token("--member", "M123456")
        code = shown("python", "DigitalSessionClient").replace("ws://127.0.0.1:8080/v1", platform.endpoint)
        names: dict[str, object] = {}
        exec(f"async def example(token):\n{textwrap.indent(code, '    ')}", names)
        said = io.StringIO()
        with redirect_stdout(said):
            await names["example"](token)  # type: ignore[operator]
    assert "Blue Cross Blue Shield" in said.getvalue().splitlines()
