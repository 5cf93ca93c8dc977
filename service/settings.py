"""Every setting of the service, read from ``GRPO_*`` variables once, at an entry point."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

LOOPBACK_HOSTS = frozenset({"127.0.0.1", "::1", "localhost"})


class Settings(BaseSettings):
    """Where the records live, how they are announced, and how much a client may ask for.

    With nothing set the service runs embedded: a SQLite file and a broker made of files, both in
    ``home``, listening on loopback only.
    """

    model_config = SettingsConfigDict(env_prefix="GRPO_", extra="ignore", frozen=True)

    home: Path = Field(
        Path(".grpo"), description="Folder that holds all that the service keeps in files."
    )
    database_url: str = Field(
        "",
        pattern=r"^((sqlite|postgresql)(\+[a-z0-9]+)?://.*)?$",
        description="sqlite:// or postgresql:// URL; empty means a SQLite file in home.",
    )
    broker_url: str = Field(
        "", description="Celery broker URL; empty means a broker of files in home."
    )
    host: str = "127.0.0.1"
    port: int = Field(8000, ge=0, le=65_535, description="0 takes any free port.")
    api_key: SecretStr | None = Field(
        None, description="Bootstrap key: may do everything. Once set, every request needs a key."
    )
    require_keys: bool = Field(
        False, description="Ask for a key even on loopback and without a bootstrap key."
    )
    max_unfinished_jobs: int = Field(
        200, ge=1, description="Jobs that one key's owner may have queued and running together."
    )
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    worker_concurrency: int = Field(
        2, ge=1, le=256, description="Trainings at once in one worker process."
    )
    lease_seconds: float = Field(30.0, ge=1, le=3600)
    heartbeat_seconds: float = Field(
        1.0, ge=0.05, le=600, description="How often a training is looked after."
    )
    sweep_seconds: float = Field(
        1.0, ge=0.05, le=600, description="How often lost bells and workers are looked for."
    )
    checkpoint_seconds: float = Field(
        5.0, ge=0, le=3600, description="How often a training stores its state, at most."
    )
    max_attempts: int = Field(3, ge=1, le=100)
    max_body_bytes: int = Field(4 * 2**20, ge=1024)
    max_timesteps: int = Field(
        200_000_000, ge=1, description="Largest training budget that a client may ask for."
    )
    max_patients: int = Field(2_000, ge=1, description="Most waiting patients in one act request.")
    max_scenarios: int = Field(
        1000, ge=1, description="Versions of scenarios that one key's owner may store."
    )
    max_scenario_bytes: int = Field(
        256 * 1024, ge=1024, description="Size of one stored scenario, as compact JSON."
    )
    max_streams: int = Field(64, ge=1, le=10_000, description="Event streams open at once.")
    policy_cache_size: int = Field(32, ge=1, le=10_000)

    @model_validator(mode="after")
    def _guard_exposure(self) -> Self:
        if self.host not in LOOPBACK_HOSTS and not self.asks_for_keys:
            raise ValueError(
                f"refusing to listen on {self.host!r} without GRPO_API_KEY: "
                "set a key (or GRPO_REQUIRE_KEYS=true, and make keys with grpo keys create), "
                "or use 127.0.0.1"
            )
        if self.api_key is not None and len(self.api_key.get_secret_value()) < 16:
            raise ValueError("GRPO_API_KEY must have at least 16 characters")
        if self.api_key is not None and not self.api_key.get_secret_value().isascii():
            raise ValueError("GRPO_API_KEY must be ASCII: clients send headers as that")
        if self.heartbeat_seconds * 3 > self.lease_seconds:
            raise ValueError("heartbeat_seconds must be at most a third of lease_seconds")
        return self

    @property
    def asks_for_keys(self) -> bool:
        """Whether every request but those for health needs a key."""
        return self.require_keys or self.api_key is not None

    @property
    def sqlalchemy_url(self) -> str:
        """The database URL, with the embedded default filled in."""
        return self.database_url or f"sqlite:///{self.home.absolute() / 'grpo.sqlite'}"

    @property
    def celery_url(self) -> str:
        """The broker URL, with the embedded default filled in."""
        return self.broker_url or "filesystem://localhost/"

    def to_environment(self) -> dict[str, str]:
        """Return the variables from which another process reads these same settings."""
        found = {}
        for name in type(self).model_fields:
            value = getattr(self, name)
            if isinstance(value, SecretStr):
                value = value.get_secret_value()
            elif isinstance(value, Path):
                value = value.absolute()
            if value is not None:
                found[f"GRPO_{name.upper()}"] = str(value)
        return found
