"""The command `tongbao-office`."""

import asyncio
import getpass
import json
import sys
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, TypeVar

import asyncpg
import uvicorn
from cyclopts import App, Parameter
from sqlalchemy.exc import SQLAlchemyError

from backoffice import REVISION, audit, demo, parameters
from backoffice.access import users
from backoffice.api.app import create_app
from backoffice.cli import keys, up
from backoffice.context import SYSTEM, Context
from backoffice.database import Database
from backoffice.migration import migrate as bring_up
from backoffice.migration import revision_of
from backoffice.problems import Problem
from backoffice.settings import SettingError, Settings

T = TypeVar("T")
Url = Annotated[str | None, Parameter(show_default=False)]
Json = Annotated[bool, Parameter(name="--json", negative=())]

app = App(
    name="tongbao-office",
    help="The back office: customers, products, payments, and who may do what.",
    version=lambda: version("tongbao"),
    result_action="return_value",
)
demo_app = App(name="demo", help="The demo institution.")
user_app = App(name="user", help="Users of the office.")
audit_app = App(name="audit", help="The audit log.")
app.command(user_app)
app.command(audit_app)
app.command(demo_app)
app.command(keys.app)
app.command("backoffice.cli.rail:app", name="rail", help="Payment rails: simulated ones, keys, reconciliation.")
app.command("backoffice.cli.payments:reconcile", name="reconcile")
app.command("backoffice.cli.payments:app", name="payments", help="Payments.")


class OfficeError(Exception):
    """Ends a command with a line of words; `code` is the exit code."""

    def __init__(self, words: str, code: int = 2) -> None:
        super().__init__(words)
        self.code = code


@app.command
def migrate(*, database_url: Url = None) -> int:
    """Bring the tables to what this build works with, and write the rules that a new office begins with.

    Exit codes: 0 done, 1 the database does not answer, 2 wrong usage.

    Parameters
    ----------
    database_url
        PostgreSQL of the office [default: OFFICE_DATABASE_URL].
    """
    settings = _settings(database_url=database_url)

    async def work() -> tuple[str | None, str | None, int]:
        before, after = await bring_up(settings.database_url)
        return before, after, await _with(settings, parameters.seed)

    before, after, written = _run(work())
    print(f"tables: {before or 'none'} -> {after}; rules written: {written}")
    return 0


@app.command
def serve(*, database_url: Url = None, host: str | None = None, port: int | None = None) -> int:
    """Serve the HTTP API until it is told to stop. The tables must be of this build: `migrate` first.

    Exit codes: 0 stopped, 1 the database does not answer, 2 wrong usage or tables.

    Parameters
    ----------
    database_url
        PostgreSQL of the office [default: OFFICE_DATABASE_URL].
    host
        Address of the HTTP port [default: 127.0.0.1].
    port
        HTTP port [default: 7480].
    """
    settings = _settings(database_url=database_url, host=host, port=port)
    found = _run(_revision(settings))
    if found != REVISION:
        raise OfficeError(
            f"the tables are at {found or 'nothing'}, this build works with {REVISION}: tongbao-office migrate"
        )
    if not settings.master_key_file:
        raise OfficeError("OFFICE_MASTER_KEY_FILE is not set: `tongbao-office keys new FILE` makes one")
    database = Database.open(settings.database_url, pool_size=settings.pool_size)
    uvicorn.run(create_app(database, settings), host=settings.host, port=settings.port, server_header=False)
    return 0


@app.command(name="up")
def up_command(
    *,
    data_dir: Path = Path("data"),
    host: str | None = None,
    port: int | None = None,
    demo: Annotated[bool, Parameter(name="--demo", negative="--no-demo")] = True,
) -> int:
    """Run a server and an office on this machine, with their own PostgreSQL; what `make run` does.

    Until SIGTERM or Ctrl-C. The first start makes everything that is missing and, unless --no-demo, a demo institution.

    Exit codes: 0 stopped, 1 something does not start, 2 wrong usage, else that of the server.

    Parameters
    ----------
    data_dir
        Directory for everything: PostgreSQL, the log, snapshots, keys.
    host
        Address of the HTTP port [default: 127.0.0.1].
    port
        HTTP port [default: 7480].
    demo
        Make a demo institution, unless somebody works here already.
    """
    return up.up(data_dir, host=host, port=port, demo=demo)


@demo_app.command
def reset(*, data_dir: Path = Path("data")) -> int:
    """Delete the demo institution with its ledger; `make run` makes a new one. Stop it first.

    Exit codes: 0 deleted, 2 no demo is there, or it runs.

    Parameters
    ----------
    data_dir
        Directory of the demo.
    """
    if up.running(data_dir):
        raise OfficeError(f"{data_dir} is in use: stop it first")
    if not demo.remove(data_dir):
        raise OfficeError(f"{data_dir} is no demo's; nothing was touched")
    print(f"{data_dir} is gone")
    return 0


@user_app.command(name="add")
def add_user(
    name: str,
    /,
    *,
    full_name: str,
    role: Annotated[list[str], Parameter(negative="")],
    branch: str = "",
    password_stdin: Annotated[bool, Parameter(negative=())] = False,
    database_url: Url = None,
    json: Json = False,
) -> int:
    """Make a user; the password is asked for. The first administrator comes to be so.

    Exit codes: 0 made, 1 the database does not answer, 2 wrong usage, 3 refused.

    Parameters
    ----------
    name
        Name to log on with.
    full_name
        Name of the person.
    role
        teller, relationship_manager, product_manager, operations, risk_officer, compliance, auditor, administrator or
        channel; may be repeated.
    branch
        Where the user works.
    password_stdin
        Read the password from standard input.
    database_url
        PostgreSQL of the office [default: OFFICE_DATABASE_URL].
    json
        Print the user as JSON.
    """
    settings = _settings(database_url=database_url)
    password = sys.stdin.readline().rstrip("\n") if password_stdin else getpass.getpass("Password: ")

    async def work(context: Context) -> dict[str, Any]:
        return await users.create(context, name=name, full_name=full_name, roles=role, password=password, branch=branch)

    made = _run(_with(settings, work))
    print(_json(made) if json else f"user {made['user_id']}: {made['name']}, {', '.join(made['roles'])}")
    return 0


@audit_app.command
def verify(*, database_url: Url = None, json: Json = False) -> int:
    """Read the whole audit log and check that nothing has been changed, taken out or added.

    Exit codes: 0 whole, 1 the database does not answer, 2 wrong usage, 4 not whole.

    Parameters
    ----------
    database_url
        PostgreSQL of the office [default: OFFICE_DATABASE_URL].
    json
        Print one JSON document.
    """
    settings = _settings(database_url=database_url)
    verdict = _run(_with(settings, lambda context: audit.verify(context.connection)))
    if json:
        print(_json({"entries": verdict.entries, "fault": verdict.fault, "whole": not verdict.fault}))
    else:
        print(verdict.fault or f"{verdict.entries:,} entries, whole")
    return 4 if verdict.fault else 0


# --- what the commands share ----------------------------------------------------------------------


def _settings(**flags: Any) -> Settings:
    settings = Settings.read(flags)
    if not settings.database_url:
        raise OfficeError("--database-url: not given, and OFFICE_DATABASE_URL is not set")
    return settings


async def _revision(settings: Settings) -> str | None:
    connection = await asyncpg.connect(settings.database_url, timeout=10.0)
    try:
        return await revision_of(connection)
    finally:
        await connection.close()


async def _with(settings: Settings, work: Callable[[Context], Awaitable[T]]) -> T:
    """Run in a transaction, as the system."""
    database = Database.open(settings.database_url, pool_size=1)
    try:
        async with database.transaction() as connection:
            return await work(Context(connection, SYSTEM))
    finally:
        await database.close()


def _run(work: Any) -> Any:
    try:
        return asyncio.run(work)
    except (OSError, asyncpg.PostgresConnectionError, asyncpg.InvalidCatalogNameError) as error:
        raise OfficeError(f"the database does not answer: {error}", 1) from None
    except SQLAlchemyError as error:
        raise OfficeError(f"the database refuses: {error.args[0].splitlines()[0]}", 1) from None


def _json(document: Any) -> str:
    def told(value: Any) -> str:
        return value.astimezone(UTC).isoformat() if isinstance(value, datetime) else str(value)

    return json.dumps(document, ensure_ascii=False, indent=1, default=told)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; what the user can cause ends in one line."""
    try:
        return int(app(arguments) or 0)
    except (OfficeError, up.UpError) as error:
        words, code = str(error), error.code
    except SettingError as error:
        words, code = str(error), 2
    except Problem as error:
        words, code = str(error), 3
    except ValueError as error:
        words, code = str(error), 2
    except KeyboardInterrupt:
        words, code = "interrupted", 130
    print(f"tongbao-office: {words}", file=sys.stderr)
    return code
