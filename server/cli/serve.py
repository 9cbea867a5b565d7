"""`tongbao serve`: one flag per setting of server.settings."""

from typing import TYPE_CHECKING

from server.cli.flags import flags_of, settings_of
from server.settings import Settings

if TYPE_CHECKING:

    class ServeFlags:
        """What `flags_of` makes."""

else:
    ServeFlags = flags_of(Settings, __name__)


def serve(*, flags: ServeFlags = ServeFlags()) -> int:  # noqa: B008
    """Run the server until SIGTERM or Ctrl-C.

    With --dev it listens on loopback only and needs no channels. Without DATABASE_URL it runs its own private
    PostgreSQL in the data directory. A flag wins over its environment variable, and that over the profile.

    Exit codes: 0 stopped in order, 2 a setting is wrong, 3 data directory or port in use, 4 no database, 5 log damaged,
    6 another leader took over, 7 acknowledged rows are gone, 8 books do not balance, 9 capacity, 10 stop cut short,
    1 a fault of ours.
    """
    from server import lifecycle  # noqa: PLC0415 - uvloop and asyncpg are not needed to print help

    return lifecycle.run(settings_of(Settings, flags))
