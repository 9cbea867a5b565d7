"""One flag per setting, so that flag, help and setting cannot drift apart."""

from collections.abc import Collection
from dataclasses import field, fields, make_dataclass
from typing import Annotated, Any, TypeVar, get_type_hints

from cyclopts import Group, Parameter

from server.cli.common import CommandError
from server.settings import Settings, SettingsError, variable_of

AnySettings = TypeVar("AnySettings", bound=Settings)
_LIMITS = Group("Limits", sort_key=50)
_COMMON = {
    "data_dir",
    "profile",
    "dev",
    "host",
    "port",
    "http_host",
    "http_port",
    "database_url",
    "standby",
    "name",
    "leader_dir",
    "replica",
    "projection_url",
    "redis_url",
    "channels",
    "tls_cert",
    "tls_key",
    "log_format",
    "log_level",
}


def flags_of(settings: type[Settings], module: str, *, without: Collection[str] = ()) -> type[Any]:
    """Make a dataclass with one optional field per setting, for a command of `module`."""
    kinds = get_type_hints(settings)
    members = []
    for item in fields(settings):
        if item.name in without:
            continue
        kind = kinds[item.name]
        default = "off" if item.default is False else "none" if item.default in {None, ""} else item.default
        sentence = f"{item.metadata['sentence']} [default: {default}; {variable_of(item)}]"
        options: dict[str, Any] = {"help": sentence}
        if item.name not in _COMMON:
            options["group"] = _LIMITS
        if kind is bool:
            options["negative"] = ""
        members.append((item.name, Annotated[kind | None, Parameter(**options)], field(default=None)))
    made = make_dataclass("Flags", members, frozen=True)
    made.__module__ = module  # else it counts as one of the library's own types, which are never opened up
    return Parameter(name="*")(made)


def settings_of(settings: type[AnySettings], flags: Any) -> AnySettings:
    """Return the settings that flags, environment and defaults make; CommandError names the flag."""
    names = [item.name for item in fields(settings)]
    try:
        return settings.from_environment({name: getattr(flags, name, None) for name in names})
    except SettingsError as error:
        name, colon, rest = str(error).partition(":")
        said = f"--{name.replace('_', '-')}:{rest}" if colon and name in names else str(error)
        raise CommandError(said) from None
