"""`tongbao-office reconcile` and `tongbao-office payments …`."""

import sys
from dataclasses import asdict

from cyclopts import App

from backoffice.api.routes import routers
from backoffice.cli import Json, OfficeError, Url, _json, _run, _settings
from backoffice.context import SYSTEM, Context
from backoffice.database import Database
from backoffice.ledger import agreement
from backoffice.ledger.gateway import Gateway, client_for
from backoffice.settings import Settings
from server.client import ClientError

app = App(name="payments", help="Payments.")
DIFFERENT = 4


def reconcile(*, engine: str | None = None, database_url: Url = None, json: Json = False) -> int:
    """Compare the books (engine) with the back office: postings, balances of all accounts, payments and what else.

    Exit codes: 0 they agree, 1 the database or the engine does not answer, 2 wrong usage, 4 differences (listed).

    Parameters
    ----------
    engine
        HOST:PORT of the Tongbao server [default: OFFICE_ENGINE].
    database_url
        PostgreSQL of the office [default: OFFICE_DATABASE_URL].
    json
        Print one JSON document.
    """
    settings = _settings(database_url=database_url, engine=engine)
    list(routers())  # registers what each area compares
    try:
        found, waiting = _run(_differences(settings, quiet=json or not sys.stderr.isatty()))
    except ClientError as error:
        raise OfficeError(f"the engine does not answer: {error}", 1) from None
    if json:
        print(_json({"agree": not found, "differences": [asdict(each) for each in found], "unsettled_groups": waiting}))
    else:
        for each in found:
            print(f"{each.kind} {each.subject}: {each.words}")
        late = f"; {waiting:,} groups of postings are on their way" if waiting else ""
        print(f"{len(found):,} differences{late}" if found else f"the books and the office agree{late}")
    return DIFFERENT if found else 0


async def _differences(settings: Settings, *, quiet: bool) -> tuple[list[agreement.Difference], int]:
    def progress(name: str, done: int) -> None:
        if not quiet:
            print(f"\r{name}: {done:,}\x1b[K", end="", file=sys.stderr, flush=True)

    database = Database.open(settings.database_url, pool_size=2)
    gateway = Gateway(database, client_for(settings))
    try:
        async with database.transaction() as connection:
            found = await agreement.differences(Context(connection, SYSTEM), gateway, progress=progress)
        progress("done", len(found))
        if not quiet:
            print(file=sys.stderr)
        return found, (await gateway.planned())[0]
    finally:
        await gateway.stop()
        await database.close()
