"""Logs: one line an event on standard error, JSON unless a person looks at it. Never a token, never health data."""

from __future__ import annotations

import contextlib
import logging
import sys
from typing import TextIO, cast

import structlog


def configure(level: str = "info") -> None:
    """For the whole process, the libraries' warnings included; ``level`` is the least that is told. A line carries what the
    work it belongs to has bound (`structlog.contextvars`), its ``trace_id`` first of all. Tracebacks show no local variables:
    those hold what members told us."""
    stamps: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    ending: list[structlog.typing.Processor] = (
        [structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)]
        if sys.stderr.isatty()
        else [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    )
    structlog.configure(
        processors=[*stamps, *ending],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(_lossy(sys.stderr)),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    without_meta = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(foreign_pre_chain=stamps, processors=[without_meta, *ending]))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)


class _Lossy:
    """What cannot be written is lost: a full disk under the log is no reason to break off what the log tells of. (The standard
    library's handlers do the same.)"""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        with contextlib.suppress(OSError):
            self._stream.write(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError):
            self._stream.flush()


def _lossy(stream: TextIO) -> TextIO:
    return cast(TextIO, _Lossy(stream))
