"""`tongbao accept-loss`: go on behind a known loss, by an operator's decision.

A server, standby or follower that knows rows which the log does not hold any more stops with exit code 7, and stops
again however often it is started. This is the one way on; in the log it changes nothing, and leaves a remark beside it.
"""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from server.cli.common import CommandError, Exit, Json, print_json, run
from server.cli.failover import Url

DataDir = Annotated[Path, Parameter(env_var="TONGBAO_DATA_DIR", show_default=True)]


def accept_loss(
    *,
    data_dir: DataDir = Path("tongbao-data"),
    database_url: Url = "",
    after: int | None = None,
    json: Json = False,
) -> int:
    """Decide that rows which were acknowledged and are gone stay gone, so that a server may start again.

    Without --after it only says what is lost, and changes nothing. With it, snapshots and the note of the newest
    acknowledged row that stand for lost rows are renamed (`lost-…`), and the decision is written into the log's
    metadata. Run it for every data directory that stopped with exit code 7: the server's that is to lead first, then
    those of standbys and followers. Clients must be told before: what was acknowledged behind row --after never
    happened; sent again with the same ids it is executed as new.

    Exit codes: 0 nothing is lost, or it has been accepted; 1 no database; 2 wrong usage; 3 something is lost, and
    --after was not given or names another row than the last that is left.

    Parameters
    ----------
    data_dir
        Data directory of the server, standby or follower that stopped; it must not be running.
    database_url
        PostgreSQL that holds the log.
    after
        The last row that is left of those before the loss, as this command says without it.
    json
        Print one JSON document.
    """
    if not database_url:
        raise CommandError("--database-url: is needed (or DATABASE_URL)", Exit.USAGE)
    from server.cli.loss import look  # noqa: PLC0415 - the command line is quick to start without asyncpg

    found = run(look(database_url, data_dir, after))
    if json:
        print_json(asdict(found))
    elif not found.lost:
        print(
            f"nothing is lost: the log (newest row {found.log_seq}) holds row {found.known_seq}, the newest known here"
        )
    else:
        gone = f"rows {found.common_seq + 1} to {found.known_seq} were acknowledged and are gone"
        print(f"{gone}; {'accepted' if found.accepted else f'to go on without them: --after {found.common_seq}'}")
    return Exit.OK if found.accepted or not found.lost else Exit.NOT_READY
