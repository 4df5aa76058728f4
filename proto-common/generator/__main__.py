"""``python -m generator``: write everything that comes from the protobuf files; ``--check``: only say what is stale."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from generator.descriptors import ContractError, compile_contract, read_model
from generator.emitters import EMITTERS

PROTO = Path(__file__).resolve().parents[1]
ROOT = PROTO.parent


def main() -> int:
    """0: written, or nothing stale; 1: something is stale, or the contract is broken."""
    parser = argparse.ArgumentParser(prog="generator", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail when a file is stale")
    parser.add_argument("--root", type=Path, default=ROOT, help="folder that the paths of the generated files start from")
    options = parser.parse_args()
    try:
        model = read_model(compile_contract(PROTO))
    except ContractError as error:
        print(f"The contract cannot be read: {error}", file=sys.stderr)
        return 1
    stale = 0
    # One after the other: the last imports the server, which needs what the first wrote.
    for emit in EMITTERS:
        for path, text in emit(model).items():
            if not _is(options.root / path, text):
                stale += 1
                _say(path) if options.check else _write(options.root, path, text)
    return 1 if stale and options.check else 0


def _is(path: Path, text: str) -> bool:
    return path.exists() and path.read_text(encoding="utf-8") == text


def _say(path: str) -> None:
    print(f"{path} is stale: run 'make generate'.", file=sys.stderr)


def _write(root: Path, path: str, text: str) -> None:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(text, encoding="utf-8")
    print(f"wrote {path}")


if __name__ == "__main__":
    sys.exit(main())
