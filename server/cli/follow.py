"""`tongbao follow`: one flag per setting of server.follower.settings."""

from typing import TYPE_CHECKING

from server.cli.flags import flags_of, settings_of
from server.follower.settings import LEADERS_ONLY, FollowSettings

if TYPE_CHECKING:

    class FollowFlags:
        """What `flags_of` makes."""

else:
    FollowFlags = flags_of(FollowSettings, __name__, without=LEADERS_ONLY)


def follow(*, flags: FollowFlags = FollowFlags()) -> int:  # noqa: B008
    """Follow the log of a server: apply every entry in an engine of its own, as soon as it is committed.

    A follower reads the log and nothing else. The server does not know of it and waits for none, so a follower may be
    stopped, lag or fail without anybody noticing. It compares the digests in the log with those of its own state, and
    stops at the first difference. How far it is: /health/ready and /metrics on --http-port.

    Exit codes: 0 stopped in order, 2 a setting is wrong, 3 data directory or port in use, 4 no database, 5 log damaged
    or its state is another, 7 rows that were applied are gone from the log, 9 capacity, 10 stop cut short, 1 a fault
    of ours.
    """
    from server.follower import process  # noqa: PLC0415 - uvloop and asyncpg are not needed to print help

    return process.run(settings_of(FollowSettings, flags))
