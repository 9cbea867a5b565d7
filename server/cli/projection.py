"""`tongbao projection …`: make, look at, rebuild and check the tables that `tongbao follow --projection-url` writes."""

import asyncio
import sys
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from cyclopts import App, Parameter

from server.cli.common import CommandError, Exit, Json, print_json, print_table
from server.cli.flags import flags_of, settings_of
from server.follower.settings import LEADERS_ONLY, FollowSettings

if TYPE_CHECKING:

    class FollowFlags:
        """What `flags_of` makes."""

else:
    FollowFlags = flags_of(FollowSettings, __name__, without=LEADERS_ONLY)

T = TypeVar("T")
Url = Annotated[str, Parameter(env_var="TONGBAO_PROJECTION_URL", show_default=False)]

app = App(name="projection", help="The tables that a follower writes: make, look at, rebuild and check them.")


@app.command
def migrate(*, projection_url: Url, json: Json = False) -> int:
    """Make the tables, or bring them to this program's revision. Needs Alembic: pip install 'tongbao[projection]'.

    Exit codes: 0 done, 2 a setting or what is there is wrong, 4 no database, 1 a fault of ours.

    Parameters
    ----------
    projection_url
        PostgreSQL of the tables; the user must be allowed to make a schema in it.
    json
        Print one JSON document.
    """
    from server.projection.migration import migrate as work  # noqa: PLC0415 - asyncpg is not needed to print help

    before, after = _run(work(projection_url))
    if json:
        print_json({"before": before, "after": after})
    else:
        print(
            f"the tables are of revision {after}" + ("" if before == after else f"; they were {before or 'not there'}")
        )
    return Exit.OK


@app.command
def status(*, projection_url: Url, json: Json = False) -> int:
    """Say how far the tables are, and how large.

    Exit codes: 0 said, 2 a setting or what is there is wrong, 4 no database, 1 a fault of ours.

    Parameters
    ----------
    projection_url
        PostgreSQL of the tables.
    json
        Print one JSON document.
    """
    from server.projection.work import status as work  # noqa: PLC0415

    said: dict[str, Any] = _run(work(projection_url))
    if json:
        print_json(said)
        return Exit.OK
    sizes = said.pop("bytes")
    print_table(
        "", ("", "projection"), [(name, "nothing yet" if value is None else value) for name, value in said.items()]
    )
    print_table("", ("table", "bytes"), [(name, f"{size:,}") for name, size in sizes.items()], right=["bytes"])
    return Exit.OK


@app.command
def rebuild(*, json: Json = False, flags: FollowFlags = FollowFlags()) -> int:  # noqa: B008
    """Make the tables anew from the log, whatever they hold. Stop the follower that writes them first.

    The log is replayed, from the newest snapshot in --data-dir if there is one, and the whole state is copied in one
    transaction: whoever reads the tables sees the old rows until the new ones are complete.

    Exit codes: those of follow.

    Parameters
    ----------
    json
        Print one JSON document.
    """
    from server.projection.work import rebuild as work  # noqa: PLC0415

    settings = _settings(flags)
    done = _run(work(_source(settings), settings.projection_url))
    if json:
        print_json(done._asdict())
    else:
        print(f"the tables hold row {done.seq}: {done.rows:,} rows were written")
    return Exit.OK


@app.command
def check(*, json: Json = False, flags: FollowFlags = FollowFlags()) -> int:  # noqa: B008
    """Compare every row of the tables with an engine at the same entry of the log.

    The log is replayed, from the newest snapshot in --data-dir that is not newer than the tables. A follower may go on
    writing meanwhile: the tables are read as they were when the check began.

    Exit codes: 0 they are equal, 12 they are not (the first difference of each table is printed), else those of follow.

    Parameters
    ----------
    json
        Print one JSON document.
    """
    from server.process import Exit as ProcessExit  # noqa: PLC0415
    from server.projection.work import check as work  # noqa: PLC0415

    settings = _settings(flags)
    report = _run(work(_source(settings), settings.projection_url))
    if json:
        print_json({"seq": report.seq, "rows": report.rows, "differences": report.differences})
    else:
        print_table("", ("table", "rows"), [(name, f"{rows:,}") for name, rows in report.rows.items()], right=["rows"])
        for line in report.differences:
            sys.stderr.write(f"tongbao: {line}\n")
        if not report.differences:
            print(f"the tables hold exactly what the log gives at row {report.seq}")
    return int(ProcessExit.PROJECTION_DIFFERS) if report.differences else Exit.OK


def _settings(flags: Any) -> FollowSettings:
    settings = settings_of(FollowSettings, flags)
    if not settings.projection_url:
        raise CommandError("--projection-url: without it there are no tables to look at")
    return settings


def _source(settings: FollowSettings) -> Any:
    from server.follower.local import dsn_of  # noqa: PLC0415
    from server.projection.work import Source  # noqa: PLC0415
    from server.snapshots import Snapshots  # noqa: PLC0415

    assert settings.database_url or settings.leader_dir is not None  # the settings have been checked
    dsn = settings.database_url or dsn_of(settings.leader_dir)  # type: ignore[arg-type]
    return Source(dsn, Snapshots(settings.data_dir / "snapshots", settings.snapshots_kept), settings.limits())


def _run(work: Coroutine[Any, Any, T]) -> T:
    """Run it; what can be said in one line is."""
    import asyncpg  # noqa: PLC0415

    from server import logs  # noqa: PLC0415
    from server.process import Exit as ProcessExit  # noqa: PLC0415
    from server.process import exit_code_of  # noqa: PLC0415
    from server.projection.errors import ProjectionError  # noqa: PLC0415

    logs.configure("json", "error", lambda _: None)
    try:
        return asyncio.run(work)
    except ProjectionError as error:
        raise CommandError(str(error), ProcessExit.PROJECTION) from None
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise CommandError(f"--projection-url: {type(error).__name__}: {error}", ProcessExit.DATABASE) from None
    except Exception as error:
        code = exit_code_of(error)
        if code == ProcessExit.FAULT:
            raise
        raise CommandError(str(error), code) from None
