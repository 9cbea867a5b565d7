"""`tongbao serve`: one flag per setting of server.settings."""

from dataclasses import field, fields, make_dataclass
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

from cyclopts import Group, Parameter

from server.cli.common import CommandError
from server.settings import Settings, SettingsError, variable_of

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
    "channels",
    "tls_cert",
    "tls_key",
    "log_format",
    "log_level",
}


def _flags() -> type[Any]:
    """Make a dataclass with one optional field per setting, so that flag, help and setting cannot drift apart."""
    kinds = get_type_hints(Settings)
    members = []
    for item in fields(Settings):
        kind = kinds[item.name]
        default = "off" if item.default is False else "none" if item.default in {None, ""} else item.default
        sentence = f"{item.metadata['sentence']} [default: {default}; {variable_of(item)}]"
        options: dict[str, Any] = {"help": sentence}
        if item.name not in _COMMON:
            options["group"] = _LIMITS
        if kind is bool:
            options["negative"] = ""
        members.append((item.name, Annotated[kind | None, Parameter(**options)], field(default=None)))
    made = make_dataclass("ServeFlags", members, frozen=True)
    made.__module__ = __name__  # else it counts as one of the library's own types, which are never opened up
    return Parameter(name="*")(made)


if TYPE_CHECKING:

    class ServeFlags:
        """What `_flags` makes."""

else:
    ServeFlags = _flags()


def serve(*, flags: ServeFlags = ServeFlags()) -> int:  # noqa: B008
    """Run the server until SIGTERM or Ctrl-C.

    With --dev it listens on loopback only and needs no channels. Without DATABASE_URL it runs its own private
    PostgreSQL in the data directory. A flag wins over its environment variable, and that over the profile.

    Exit codes: 0 stopped in order, 2 a setting is wrong, 3 data directory or port in use, 4 no database, 5 log damaged,
    6 another leader took over, 7 acknowledged rows are gone, 8 books do not balance, 9 capacity, 10 stop cut short,
    1 a fault of ours.
    """
    from server import lifecycle  # noqa: PLC0415 - uvloop and asyncpg are not needed to print help

    given = {item.name: getattr(flags, item.name) for item in fields(Settings)}
    try:
        settings = Settings.from_environment(given)
    except SettingsError as error:
        raise CommandError(_as_flag(str(error))) from None
    return lifecycle.run(settings)


def _as_flag(message: str) -> str:
    name, colon, rest = message.partition(":")
    known = {item.name for item in fields(Settings)}
    return f"--{name.replace('_', '-')}:{rest}" if colon and name in known else message
