"""`tongbao backup` and `tongbao restore`."""

import asyncio
import re
import sys
import time
from collections.abc import Coroutine
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from server.cli.common import CommandError, Json, print_json, print_table, progress, run

if TYPE_CHECKING:
    from server.backup.checking import Checked
    from server.backup.restoring import Restored
    from server.backup.writing import Made

DataDir = Annotated[Path, Parameter(env_var="TONGBAO_DATA_DIR")]
DatabaseUrl = Annotated[str, Parameter(env_var="DATABASE_URL", show_default=False)]


def backup(
    directory: Path,
    /,
    *,
    data_dir: DataDir = Path("tongbao-data"),
    database_url: DatabaseUrl = "",
    from_start: Annotated[bool, Parameter(negative="")] = False,
    verify_only: Annotated[bool, Parameter(negative="")] = False,
    json: Json = False,
) -> int:
    """Copy the newest snapshot and the rows of the log to a directory, and prove the copy.

    It may run beside the server, which it does not disturb: it reads, up to the newest row there is when it begins.
    Without a server it starts the private PostgreSQL for as long as it takes. Into a directory with a backup it adds
    what is new since; nothing that is there is changed. Each file is read back and verified row by row before the
    backup counts it, so one that was interrupted is whole up to its last file, and the next run goes on there.

    Exit codes, as those of serve: 0 all is well, 2 wrong usage, 4 no database, 5 a row, a snapshot or a file is
    damaged, 7 the log has lost rows that the backup has, 1 our fault.

    Parameters
    ----------
    directory
        Where the backup is or will be.
    data_dir
        Data directory of the server: its private PostgreSQL, its snapshots and its archive.
    database_url
        PostgreSQL that holds the log, when it is not the private one.
    from_start
        Every row that the database and the archive have, instead of the partitions from the oldest snapshot on. Only
        for the first run into a directory.
    verify_only
        Read a backup from its first byte to its last, and change nothing. Needs no database.
    json
        Print one JSON document.
    """
    from server.backup.checking import Checked, check_backup  # noqa: PLC0415 - quick to start without them
    from server.backup.writing import Made, writing  # noqa: PLC0415
    from server.cli.backups import make_backup  # noqa: PLC0415

    if verify_only:
        checked = Checked()

        async def check() -> None:
            with progress(quiet=json) as bar:
                task = bar.add_task("verify", total=None)
                await asyncio.to_thread(check_backup, directory, checked, lambda at: bar.update(task, completed=at))

        return _finish(check(), checked, json=json, show=_show_checked)
    made = Made()

    async def make() -> None:
        with writing(directory), progress(quiet=json) as bar:
            task = bar.add_task("backup", total=None)
            await make_backup(
                directory, data_dir, database_url, made, from_start=from_start,
                advance=lambda at, newest: bar.update(task, completed=at, total=newest),
            )  # fmt: skip

    return _finish(make(), made, json=json, show=_show_made)


def restore(
    directory: Path,
    /,
    *,
    data_dir: DataDir = Path("tongbao-data"),
    database_url: DatabaseUrl = "",
    to_seq: int | None = None,
    to_time: str = "",
    json: Json = False,
) -> int:
    """Restore a backup into a new data directory, or into an empty database; all of it, or up to a point in time.

    The rows are verified and loaded, and replayed from the newest good snapshot at or before the point; the digests
    that the server wrote into the rows are compared with the state, the books must balance, and every invariant must
    hold. Only then it counts: an interrupted or failed restore leaves nothing that a server would start on.

    Never let two servers work on two copies of one log. A log restored to an earlier point is another history from
    there on: a data directory with a newer snapshot of the old one stops with exit code 7.

    It needs memory for the whole state, like a server. Capacities are those of the environment
    (`TONGBAO_ACCOUNTS_MAX` and so on).

    Exit codes, as those of serve: 0 restored, 2 wrong usage or a place that is not empty, 3 the data directory is in
    use, 4 no database, 5 the backup is damaged, 8 the books do not balance, 9 the capacities are too small, 1 our
    fault.

    Parameters
    ----------
    directory
        Where the backup is.
    data_dir
        The new data directory: it must be empty, or not be there. With --database-url it takes the snapshot alone.
    database_url
        An empty database for the log, instead of a private PostgreSQL in the data directory.
    to_seq
        The last row to restore.
    to_time
        Restore to the newest row whose time is not after this: ISO 8601, in UTC unless it says otherwise, such as
        2026-11-23T09:30:00+08:00; or nanoseconds since 1970.
    json
        Print one JSON document.
    """
    from server.backup.placing import restore_backup  # noqa: PLC0415
    from server.backup.restoring import Restored  # noqa: PLC0415
    from server.settings import Settings  # noqa: PLC0415

    if to_seq is not None and to_time:
        raise CommandError("--to-seq and --to-time say the same thing twice; give one")
    moment = parse_time(to_time) if to_time else None
    restored = Restored()

    async def work() -> None:
        settings = Settings.from_environment({"dev": True, "data_dir": data_dir})
        with progress(quiet=json) as bar:
            task = bar.add_task("restore", total=None)
            await restore_backup(
                directory, data_dir, database_url, restored, settings.limits(), to_seq=to_seq, to_time=moment,
                wal_bytes=settings.postgres_wal_bytes,
                advance=lambda at, last: bar.update(task, completed=at, total=last),
            )  # fmt: skip

    return _finish(work(), restored, json=json, show=_show_restored)


def parse_time(text: str) -> int:
    """Give nanoseconds since 1970 of an ISO 8601 time, UTC unless it says otherwise, or of a number of them."""
    if text.isascii() and text.isdigit():
        return int(text)
    # datetime knows microseconds and would drop the rest.
    fraction = re.search(r"[.,](\d+)", text)
    whole = text.replace(fraction[0], "", 1) if fraction else text
    try:
        if fraction and len(fraction[1]) > 9:
            raise ValueError
        moment = datetime.fromisoformat(whole)
    except ValueError:
        raise CommandError(f"--to-time: {text!r} is neither ISO 8601 nor nanoseconds") from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    since = moment - datetime(1970, 1, 1, tzinfo=UTC)
    seconds = since.days * 86_400 + since.seconds
    return seconds * 10**9 + (int(fraction[1].ljust(9, "0")) if fraction else 0)


def _finish(work: Coroutine[Any, Any, None], report: Any, *, json: bool, show: Any) -> int:
    """Do the work; report what was done, and what was wrong, with the exit code that tells it."""
    import asyncpg  # noqa: PLC0415

    from engine.errors import EngineError, SnapshotError  # noqa: PLC0415
    from server import logs  # noqa: PLC0415
    from server.backup.manifest import BackupDamaged, BackupError  # noqa: PLC0415
    from server.journal import JournalError  # noqa: PLC0415
    from server.process import Exit, exit_code_of  # noqa: PLC0415
    from server.settings import SettingsError  # noqa: PLC0415

    logs.configure("json", "error", lambda _: None)
    began = time.monotonic()
    code, words = Exit.STOPPED, ""
    try:
        run(work)
    except SettingsError as error:
        raise CommandError(str(error)) from None
    except (BackupDamaged, SnapshotError) as error:
        code, words = Exit.LOG_DAMAGED, str(error)
    except BackupError as error:
        raise CommandError(str(error)) from None
    except (JournalError, EngineError) as error:
        code, words = exit_code_of(error), str(error) or type(error).__name__
    except (asyncpg.PostgresError, asyncpg.InterfaceError, ConnectionError, TimeoutError) as error:
        code, words = Exit.DATABASE, f"the database: {error or type(error).__name__}"
    except Exception as error:
        code, words = exit_code_of(error), str(error)
        if code == Exit.FAULT and not isinstance(error, OSError):
            raise
    seconds = round(time.monotonic() - began, 3)
    if json:
        print_json({**asdict(report), "seconds": seconds, "ok": not words, "error": words, "exit_code": int(code)})
    else:
        rows = [(name, value) for name, value in (*show(report), ("seconds", f"{seconds:.1f}")) if value]
        print_table("", ("", "backup"), rows)
        if words:
            sys.stderr.write(f"tongbao: {words}\n")
    return int(code)


def _show_made(made: "Made") -> list[tuple[str, str]]:
    return [
        ("log", made.log_id),
        ("rows there", f"{made.first:,} to {made.last:,}"),
        ("rows added", f"{made.rows:,}"),
        ("snapshots added", " ".join(str(seq) for seq in made.snapshots)),
        ("passed over", "; ".join(made.damaged)),
        ("files added", f"{made.files:,}"),
        ("bytes added", f"{made.bytes:,}"),
        ("hash of the newest row", made.last_hash),
        ("can be restored from row", "" if made.oldest_point is None else f"{made.oldest_point:,} on"),
    ]


def _show_checked(checked: "Checked") -> list[tuple[str, str]]:
    return [
        ("log", checked.log_id),
        ("rows", f"{checked.first:,} to {checked.last:,}"),
        ("read and chained", f"{checked.rows:,}"),
        ("snapshots", " ".join(str(seq) for seq in checked.snapshots)),
        ("files", f"{checked.files:,}"),
        ("bytes", f"{checked.bytes:,}"),
        ("hash of the newest row", checked.last_hash),
        ("can be restored from row", "none" if checked.oldest_point is None else f"{checked.oldest_point:,} on"),
        ("last run", "" if checked.complete else "under way, or interrupted: run it again"),
    ]


def _show_restored(restored: "Restored") -> list[tuple[str, str]]:
    when = datetime.fromtimestamp(restored.time // 10**9, UTC).isoformat() if restored.time else ""
    return [
        ("log", restored.log_id),
        ("rows loaded", f"{restored.rows:,}"),
        ("replayed from", restored.start),
        ("passed over", "; ".join(restored.passed_over)),
        ("batches replayed", f"{restored.batches:,}"),
        ("commands in them", f"{restored.items:,}"),
        ("digests compared", f"{restored.digests:,}"),
        ("newest row", f"{restored.seq:,} of {when}"),
        ("its hash", restored.log_hash),
        ("rows left behind", f"{restored.left:,}" if restored.left else ""),
        ("accounts", f"{restored.accounts:,}"),
        ("transfers", f"{restored.transfers:,}"),
        ("of them pending", f"{restored.pending:,}"),
        ("state hash", restored.state_hash),
    ]
