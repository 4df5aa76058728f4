"""Where tokens come from: one that was given, or a provider that is asked again when one is used up."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Mapping
from typing import Any

import msgspec

from digital_session.errors import AuthenticationError, DigitalSessionError, UnavailableError
from digital_session.options import TokenProvider


def read_claims(token: str) -> Mapping[str, Any]:
    """What a token says of its holder, unverified (only the platform can verify it); empty for what is no JWT."""
    import base64

    try:
        payload = token.split(".")[1]
        claims = msgspec.json.decode(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    except (IndexError, ValueError):
        return {}
    return claims if isinstance(claims, dict) else {}


def subject_of(token: str) -> str:
    """Whose ``token`` is; empty where it does not say."""
    return str(read_claims(token).get("sub", ""))


class Tokens:
    """The token in use. One call of the provider at a time; whoever waits for it takes its answer."""

    def __init__(self, token: str | None, provider: TokenProvider | None) -> None:
        if (token is None) == (provider is None):
            raise ValueError("Give either token or get_token.")
        # What comes along when it is read from a file.
        self._token = token.strip() if token is not None else None
        self._provider = provider
        self._asking = asyncio.Lock()

    @property
    def renewable(self) -> bool:
        """Whether there may be another token after this one."""
        return self._provider is not None

    @property
    def claims(self) -> Mapping[str, Any]:
        """What the token in use says of its holder; empty before there is one."""
        return {} if self._token is None else read_claims(self._token)

    @property
    def subject(self) -> str:
        """Whose the token in use is; empty where it does not say."""
        return "" if self._token is None else subject_of(self._token)

    async def current(self) -> str:
        """The token in use. Raises what `other_than` raises."""
        return _usable(self._token) if self._token is not None else await self.other_than(None)

    async def other_than(self, refused: str | None) -> str:
        """A token that is not ``refused``, which was refused or is about to expire.

        Raises AuthenticationError when there is no other, UnavailableError when the provider failed.
        """
        async with self._asking:
            if self._token is not None and self._token != refused:
                return self._token
            if self._provider is None:
                raise AuthenticationError("The token was not accepted, and there is no get_token to obtain another.")
            self._token = await _ask(self._provider)
        if self._token == refused:
            raise AuthenticationError("The token was not accepted, and get_token gave the same one again.")
        return self._token


async def _ask(provider: TokenProvider) -> str:
    try:
        answer = provider()
        token = await answer if inspect.isawaitable(answer) else answer
    except DigitalSessionError:
        raise
    except Exception as error:
        raise UnavailableError("get_token failed: no token could be obtained.", cause=error) from error
    return _usable(token)


def _usable(token: object) -> str:
    """``token``, as a header can carry it."""
    text = token.strip() if isinstance(token, str) else ""
    if not text or not text.isascii() or not text.isprintable():
        raise AuthenticationError("There is no token, or what was given as one cannot be one: sign in again.")
    return text
