"""`python -m tests.server.serving.older_server [follow]`: a server, or a follower, that knows format 1 of the log only.

The seam is one number: what a build can read is decided by `log_record.FORMAT` alone, in the decoder, in recovery and
in the manifests of snapshots. A build of format 1 had no orders either, so no test sends it any.
"""

import sys

from engine import log_record
from server.__main__ import main
from server.follower import process
from server.follower.settings import FollowSettings


def forget_format_2() -> None:
    """In this process only."""
    log_record.FORMAT = log_record.FORMAT_FIRST


if __name__ == "__main__":
    if sys.argv[2:] != ["newer"]:
        forget_format_2()
    sys.exit(process.run(FollowSettings.from_environment()) if sys.argv[1:2] == ["follow"] else main())
