"""Every setting of the platform, in one frozen object; nobody else reads the environment.

A setting named ``clearinghouse_url`` is the environment variable ``SESSION_PLATFORM_CLEARINGHOUSE_URL``; command-line options
override it. ``session-platform settings`` prints them all with their source and meaning.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from session_platform.errors import StartError

PREFIX = "SESSION_PLATFORM_"
Listed = Annotated[tuple[str, ...], NoDecode]


class Settings(BaseSettings):
    """What an operator may set; lists are separated by commas."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="forbid")

    data: Path = Field(Path("data"), description="Folder of the embedded store; one `up` at a time holds it.")
    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8080, ge=0, le=65535, description="Port for REST and WebSocket; 0 takes a free one.")
    insecure: bool = Field(False, description="Allow plaintext and development tokens; refused off loopback.")
    simulator_speed: float = Field(1.0, gt=0, description="How many times faster the simulated systems outside answer.")
    clearinghouse_url: str = Field(
        "", description="Base address of the clearinghouse; empty starts the simulator beside the platform."
    )
    clearinghouse_api_key: SecretStr = Field(SecretStr(""), description="API key for the clearinghouse.")
    clearinghouse_provider_name: str = Field(
        "Included Health", min_length=1, max_length=60, description="The organisation that payers are told is asking."
    )
    clearinghouse_provider_npi: str = Field(
        "1999999984", pattern=r"^[0-9]{10}$", description="Its National Provider Identifier; the default is for tests."
    )
    enrollment_url: str = Field(
        "", description="Base address of the enrollment system; empty starts the simulator beside the platform."
    )
    enrollment_api_key: SecretStr = Field(SecretStr(""), description="API key for the enrollment system.")
    services: Path | None = Field(
        None, description="Directory of further services, declared as TOML (docs/services.md); default: none."
    )
    jwks: str = Field("", description="File or URL of the JWKS that verifies tokens; needed without --insecure.")
    issuers: Listed = Field((), description="Accepted `iss` claims; empty accepts any issuer whose key is in the JWKS.")
    allowed_origins: Listed = Field(
        (), description="Origins of front ends (CORS and WebSocket); with --insecure loopback is allowed too."
    )
    trusted_proxies: Listed = Field((), description="Addresses or networks whose X-Forwarded-Proto is believed.")
    public_codes: Listed = Field(
        ("check_coverage", "verify_coverage"),
        description="Intents and reasons that are no health data and may ride a timeline.",
    )
    seed: Path | None = Field(None, description="Directory of members, accounts and staff as TOML; default: the demo members.")
    worker_concurrency: int = Field(64, ge=1, le=10_000, description="System tasks run at the same time.")
    retention_days: float = Field(7.0, ge=7, description="Days that a timeline keeps its events for replay.")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="The least that is logged; debug tells of every request."
    )
    otlp_endpoint: str = Field(
        "", description="Base address of an OpenTelemetry collector (OTLP over HTTP) for traces; empty sends none."
    )
    trace_share: float = Field(1.0, ge=0, le=1, description="Share of the traces begun here that are sent, 0 to 1.")
    drain_seconds: float = Field(5.0, ge=0, description="How long a stopping gateway spreads its goodbyes.")

    @field_validator("issuers", "allowed_origins", "trusted_proxies", "public_codes", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @classmethod
    def load(cls, **overrides: Any) -> Settings:
        """Environment plus what the command line gave (None: not given). Raises `StartError` naming the bad setting."""
        try:
            return cls(**{name: value for name, value in overrides.items() if value is not None})
        except ValidationError as error:
            first = error.errors()[0]
            name = str(first["loc"][0]) if first["loc"] else "?"
            raise StartError(f"The setting {PREFIX}{name.upper()} is not acceptable: {first['msg']}.") from None

    def sources(self) -> list[tuple[str, str, str, str]]:
        """(variable, value, source, meaning) of every setting; secrets are masked."""
        return [
            (
                f"{PREFIX}{name.upper()}",
                _shown(getattr(self, name)),
                "environment" if f"{PREFIX}{name.upper()}" in os.environ else "default",
                field.description or "",
            )
            for name, field in type(self).model_fields.items()
        ]


def _shown(value: object) -> str:
    if isinstance(value, SecretStr):
        return "********" if value.get_secret_value() else ""
    return ", ".join(value) if isinstance(value, tuple) else str(value)
