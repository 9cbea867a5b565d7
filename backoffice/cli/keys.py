"""Keys of personal data on the command line."""

import asyncio
import json as json_module
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeElapsedColumn

import backoffice.customers.tables  # noqa: F401 - registers what is sealed
from backoffice.database import Database
from backoffice.privacy import rotation
from backoffice.privacy.keyring import KeyFaultError, Keyring, new_master, read_master
from backoffice.settings import Settings

app = App(name="keys", help="Keys of personal data.")


@app.command
def new(file: Path, /) -> int:
    """Write a new master key to a file that only its owner may read. Keep a copy apart: without it all is unreadable.

    Exit codes: 0 written, 2 the file is there already or cannot be written.

    Parameters
    ----------
    file
        Where to write it; for OFFICE_MASTER_KEY_FILE.
    """
    try:
        new_master(file)
    except OSError as error:
        raise ValueError(f"{file}: {error.strerror}") from None
    print(f"{file}: a new master key; keep a copy apart")
    return 0


@app.command
def rotate(
    *,
    go_on: Annotated[bool, Parameter(name="--continue", negative=())] = False,
    database_url: Annotated[str | None, Parameter(show_default=False)] = None,
    json: Annotated[bool, Parameter(name="--json", negative=())] = False,
) -> int:
    """Make a new data key and seal every row again under it, beside running work. Cut off, go on with --continue.

    A running office seals under the new key within half a minute; run it with --continue after that.

    Exit codes: 0 done, 2 wrong usage or master key, or the database does not answer.

    Parameters
    ----------
    go_on
        Make no new key: finish what was cut off, or was written under the old key meanwhile.
    database_url
        PostgreSQL of the office [default: OFFICE_DATABASE_URL].
    json
        Print one JSON document instead of a bar.
    """
    settings = Settings.read({"database_url": database_url})
    if not settings.database_url:
        raise ValueError("--database-url: not given, and OFFICE_DATABASE_URL is not set")
    if not settings.master_key_file:
        raise ValueError("OFFICE_MASTER_KEY_FILE is not set: `tongbao-office keys new FILE` makes one")
    with Progress("sealing", BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), disable=json) as bar:
        task = bar.add_task("sealing", total=None)

        async def work() -> tuple[int, int]:
            database = Database.open(settings.database_url, pool_size=1)
            keyring = Keyring(read_master(Path(settings.master_key_file)))
            try:
                return await rotation.rotate(
                    database, keyring, lambda done, of: bar.update(task, completed=done, total=of), go_on=go_on
                )
            finally:
                await database.close()

        try:
            key_id, rows = asyncio.run(work())
        except (KeyFaultError, OSError) as error:
            raise ValueError(str(error)) from None
    print(json_module.dumps({"key_id": key_id, "rows": rows}) if json else f"key {key_id}: {rows:,} rows sealed again")
    return 0
