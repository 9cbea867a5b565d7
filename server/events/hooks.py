"""Which webhooks there are: the file of `webhooks`, read and checked.

[[webhook]]
name = "payments"
url = "https://hooks.example.com/tongbao"
secret_variable = "PAYMENTS_WEBHOOK_SECRET"
kinds = ["transfers", "alerts"]
accounts = [1001, 1002]
"""

import base64
import binascii
import ipaddress
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, get_type_hints
from urllib.parse import urlsplit

from server.events.maker import KINDS
from server.settings import SettingsError

SECRET_BYTES_MIN, SECRET_BYTES_MAX = 24, 64


@dataclass(frozen=True, slots=True)
class Hook:
    """One endpoint, and what it is told."""

    name: str
    url: str
    secret_variable: str
    kinds: tuple[str, ...] = KINDS
    accounts: tuple[int, ...] = ()
    trading_accounts: tuple[int, ...] = ()
    desks: tuple[str, ...] = ()
    ca: str = ""
    timeout_seconds: float = 10.0
    retry_seconds_min: float = 1.0
    retry_seconds_max: float = 3_600.0
    give_up_seconds: float = 259_200.0
    disable_after: int = 10
    requests_max: int = 16
    waiting_max: int = 4_096
    secret: bytes = b""
    """From the variable; not in the file."""


def read_hooks(path: Path, environment: Mapping[str, str]) -> list[Hook]:
    """Read the file. Raises SettingsError that names what is wrong, and where."""
    try:
        document = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise SettingsError(f"webhooks: {path}: {error.strerror}") from None
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(f"webhooks: {path}: {error}") from None
    for key in document:
        if key != "webhook":
            raise SettingsError(f"webhooks: {key}: is not known; the tables are called webhook")
    tables = document.get("webhook")
    if not isinstance(tables, list) or not tables:
        raise SettingsError("webhooks: there is no [[webhook]]")
    found: list[Hook] = []
    for place, table in enumerate(tables):
        hook = _hook(f"webhooks: webhook[{place}]", table, environment)
        if any(hook.name == other.name for other in found):
            raise SettingsError(f"webhooks: webhook[{place}].name: {hook.name} is taken")
        found.append(hook)
    return found


def _hook(where: str, table: Any, environment: Mapping[str, str]) -> Hook:
    if not isinstance(table, dict):
        raise SettingsError(f"{where}: is not a table")
    kinds = get_type_hints(Hook)
    known = {item.name for item in fields(Hook)} - {"secret"}
    values: dict[str, Any] = {}
    for name, value in table.items():
        if name not in known:
            raise SettingsError(f"{where}.{name}: is not known")
        values[name] = _value(f"{where}.{name}", kinds[name], value)
    for name in ("name", "url", "secret_variable"):
        if name not in values:
            raise SettingsError(f"{where}.{name}: is missing")
    hook = Hook(**values, secret=_secret(where, values["secret_variable"], environment))
    _check(where, hook)
    return hook


def _value(where: str, kind: Any, value: Any) -> Any:
    if kind is str and isinstance(value, str):
        return value
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if kind is float and number and value > 0:
        return float(value)
    if kind is int and number and isinstance(value, int) and value > 0:
        return value
    if kind == tuple[str, ...] and isinstance(value, list) and all(isinstance(item, str) for item in value):
        return tuple(value)
    if kind == tuple[int, ...] and isinstance(value, list) and all(type(item) is int for item in value):
        return tuple(value)
    wanted = {str: "a text", float: "a positive number", int: "a positive integer", tuple[str, ...]: "a list of texts"}
    raise SettingsError(f"{where}: is not {wanted.get(kind, 'a list of integers')}")


def _secret(where: str, variable: str, environment: Mapping[str, str]) -> bytes:
    text = environment.get(variable, "")
    if not text:
        raise SettingsError(f"{where}.secret_variable: the variable {variable} is not set")
    try:
        secret = base64.b64decode(text.removeprefix("whsec_"), validate=True)
    except binascii.Error:
        raise SettingsError(f"{where}.secret_variable: {variable} is not whsec_ and base64") from None
    if not SECRET_BYTES_MIN <= len(secret) <= SECRET_BYTES_MAX:
        raise SettingsError(
            f"{where}.secret_variable: {variable} holds {len(secret)} bytes, not {SECRET_BYTES_MIN} to "
            f"{SECRET_BYTES_MAX}"
        )
    return secret


def _check(where: str, hook: Hook) -> None:
    if not re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,39}", hook.name):
        raise SettingsError(f"{where}.name: is not made of a-z, 0-9, _ and -, 40 at most")
    try:
        parts = urlsplit(hook.url)
        host = parts.hostname or ""
    except ValueError as error:
        raise SettingsError(f"{where}.url: {error}") from None
    if parts.scheme not in {"https", "http"} or not host or parts.username is not None:
        raise SettingsError(f"{where}.url: is not https://HOST/… without a user")
    if parts.scheme == "http" and not _is_loopback(host):
        raise SettingsError(f"{where}.url: http is for this machine only; use https")
    for kind in hook.kinds:
        if kind not in KINDS:
            raise SettingsError(f"{where}.kinds: {kind!r} is none of {', '.join(KINDS)}")
    if hook.ca and not Path(hook.ca).is_file():
        raise SettingsError(f"{where}.ca: {hook.ca} is not there")
    if hook.retry_seconds_max < hook.retry_seconds_min:
        raise SettingsError(f"{where}.retry_seconds_max: is less than retry_seconds_min")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
