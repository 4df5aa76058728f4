"""The three standard streams, whole whatever the parent closed.

A program that starts with one of them closed would get its number for the next file it opens: a database, into which a stray
message is then written.
"""

from __future__ import annotations

import os
import sys


def complete() -> None:
    """Open the null device for every standard stream that is closed; call it before anything else is opened."""
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            # The lowest free number is given: this one, since those below it are open by now.
            os.open(os.devnull, os.O_RDWR)
    if sys.stdin is None:
        sys.stdin = os.fdopen(0, "r", closefd=False)
    if sys.stdout is None:
        sys.stdout = os.fdopen(1, "w", closefd=False)
    if sys.stderr is None:
        sys.stderr = os.fdopen(2, "w", closefd=False)
