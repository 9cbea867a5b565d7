"""Settings of the office: flags before OFFICE_* variables before defaults, checked where they enter."""

import os
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from typing import Any, Self


class SettingError(ValueError):
    """A setting is wrong; the message names it."""


def setting(default: Any, sentence: str, *, least: int | None = None, most: int | None = None) -> Any:
    """One field of `Settings`."""
    return field(default=default, metadata={"sentence": sentence, "least": least, "most": most})


@dataclass(frozen=True, slots=True)
class Settings:
    """What `tongbao-office serve` runs with."""

    database_url: str = setting("", "PostgreSQL of the office: postgresql://…; needed.")
    engine: str = setting("127.0.0.1:7420", "HOST:PORT of the Tongbao server.")
    engine_channel: str = setting("", "Channel to log on as at the server; none for one in --dev mode.")
    engine_key_file: str = setting("", "File with the channel's key.")
    master_key_file: str = setting("", "File with the master key of personal data (`tongbao-office keys new`).")
    host: str = setting("127.0.0.1", "Address of the HTTP port.")
    port: int = setting(7480, "HTTP port; 0 takes a free one.", least=0, most=65535)
    session_minutes: int = setting(480, "Longest life of a session.", least=1, most=10_080)
    idle_minutes: int = setting(30, "Time without a request after which a session ends.", least=1, most=1_440)
    failures_max: int = setting(5, "Wrong passwords or codes in a row after which a user is locked.", least=1, most=100)
    lock_minutes: int = setting(15, "How long a user stays locked.", least=1, most=10_080)
    oidc_issuer: str = setting("", "OpenID Connect provider whose identity tokens open sessions; none without.")
    oidc_audience: str = setting("", "Client id that the provider's tokens must be made for.")
    rate_user: str = setting("1200/minute", "Requests of one user; `none` for no limit.")
    rate_address: str = setting("60/minute", "Logons from one address; `none` for no limit.")
    rail_keys: str = setting("", "Directory with a file NAME.keys for each payment rail.")
    pool_size: int = setting(10, "Connections to PostgreSQL.", least=1, most=200)

    @classmethod
    def read(cls, flags: Mapping[str, Any] | None = None, environment: Mapping[str, str] | None = None) -> Self:
        """Merge and check; SettingError names what is wrong."""
        environment = os.environ if environment is None else environment
        given: dict[str, Any] = {}
        for item in fields(cls):
            value = (flags or {}).get(item.name)
            if value is None:
                value = environment.get(f"OFFICE_{item.name.upper()}")
            if value is None:
                continue
            assert item.default is not MISSING
            given[item.name] = cls._checked(item.name, value, type(item.default), item.metadata)
        return cls(**given)

    @staticmethod
    def _checked(name: str, value: Any, kind: type, limits: Mapping[str, Any]) -> Any:
        if kind is not int:
            return str(value)
        try:
            number = int(value)
        except ValueError:
            raise SettingError(f"{name}: {value!r} is not a whole number") from None
        least, most = limits["least"], limits["most"]
        if not least <= number <= most:
            raise SettingError(f"{name}: {number} is not between {least} and {most}")
        return number
