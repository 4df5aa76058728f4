"""What an application wants called, and how: plain functions or coroutines that take the event, the event and its envelope, or
nothing."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from digital_session._generated import CATALOGUE
from digital_session.events import Envelope, matches

Handler = Callable[..., Any]
Where = Callable[[Envelope], bool]
Remove = Callable[[], None]
_NAME_OF_STRUCT: dict[type, str] = {spec.struct: name for name, spec in CATALOGUE.items()}


class Registration:
    """One handler for one pattern; ``active`` until it was taken back."""

    def __init__(self, event: str | type, handler: Handler, where: Where | None = None) -> None:
        self.struct = None if isinstance(event, str) else event
        self.pattern = event if isinstance(event, str) else name_of(event)
        self.active = True
        self._handler = handler
        self._where = where
        self._arity = _arity(handler)

    def wants(self, envelope: Envelope) -> bool:
        """Whether this handler is to be called."""
        return self.active and matches(self.pattern, envelope.name) and (self._where is None or self._where(envelope))

    async def call(self, *arguments: Any) -> None:
        """Call it with as many of ``arguments`` as it takes and wait until it has finished."""
        first, *others = arguments
        given = first if self.struct is None else msgspec.convert(first, self.struct)
        answer = self._handler(*[given, *others][: self._arity])
        if inspect.isawaitable(answer):
            await answer


class Handlers:
    """Registrations in the order in which they were made."""

    def __init__(self) -> None:
        self._registrations: list[Registration] = []

    def __iter__(self) -> Iterator[Registration]:
        return iter(list(self._registrations))

    def add(self, registration: Registration) -> Remove:
        """Take up a handler; what is returned takes it back."""
        self._registrations.append(registration)

        def remove() -> None:
            if registration.active:
                registration.active = False
                self._registrations.remove(registration)

        return remove


def name_of(struct: type) -> str:
    """The short name of the event that a generated type describes. Raises ValueError for another type."""
    name = _NAME_OF_STRUCT.get(struct)
    if name is None:
        raise ValueError(f"{struct.__name__} describes no event.")
    return name


def _arity(handler: Handler) -> int:
    """How many arguments a handler insists on, at most two; those with a default are its own business."""
    try:
        parameters = inspect.signature(handler).parameters.values()
    except ValueError:
        return 1
    if any(parameter.kind is parameter.VAR_POSITIONAL for parameter in parameters):
        return 2
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return min(2, sum(parameter.kind in positional and parameter.default is parameter.empty for parameter in parameters))
