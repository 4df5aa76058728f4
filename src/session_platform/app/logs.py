"""Logs: one line an event on standard error, JSON unless a person looks at it. Never a token, never health data."""

from __future__ import annotations

import logging
import sys

import structlog


def configure() -> None:
    """For the whole process, the libraries' warnings included. Tracebacks show no local variables: those hold what members
    told us."""
    stamps: list[structlog.typing.Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    ending: list[structlog.typing.Processor] = (
        [structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)]
        if sys.stderr.isatty()
        else [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    )
    structlog.configure(
        processors=[*stamps, *ending], logger_factory=structlog.PrintLoggerFactory(sys.stderr), cache_logger_on_first_use=True
    )
    handler = logging.StreamHandler(sys.stderr)
    without_meta = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(foreign_pre_chain=stamps, processors=[without_meta, *ending]))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
