"""The work of `tongbao backup`; apart from the command, since it needs the journal's modules."""

from collections.abc import Callable
from pathlib import Path

from server.backup.writing import Made, Origin, back_up
from server.cli.origin import open_log, origin
from server.journal.link import connect


async def make_backup(
    directory: Path,
    data_dir: Path,
    database_url: str,
    made: Made,
    *,
    from_start: bool,
    advance: Callable[[int, int], None],
) -> None:
    """Back up the log of a data directory or a database; within `writing(directory)`."""
    async with origin(data_dir, database_url) as (dsn, _):
        journal = await open_log(dsn, standby_too=True)
        try:
            link = await connect(dsn, allow_unsafe=True, read_only=True)
            try:
                source = Origin(journal, link.connection, data_dir)
                await back_up(source, directory, made, from_start=from_start, advance=advance)
            finally:
                await link.close()
        finally:
            await journal.close()
