"""`tongbao-office reconcile` and `tongbao-office payments …`."""

import getpass
import hashlib
import sys
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import httpx
from cyclopts import App, Parameter

from backoffice.api.routes import routers
from backoffice.cli import Json, OfficeError, Url, _json, _run, _settings
from backoffice.context import SYSTEM, Context
from backoffice.database import Database
from backoffice.ledger import agreement
from backoffice.ledger.gateway import Gateway, client_for
from backoffice.payments.iso20022 import initiation
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


@app.command
def bulk(
    file: Path,
    /,
    *,
    check: Annotated[bool, Parameter(negative=())] = False,
    linked: Annotated[bool, Parameter(negative=())] = False,
    rail: str = "",
    url: str = "http://127.0.0.1:7480",
    user: str = "",
    password_stdin: Annotated[bool, Parameter(negative=())] = False,
    code: str = "",
    json: Json = False,
) -> int:
    """Send a file of payments (pain.001) to the office; a second person decides there. The same file counts once.

    Exit codes: 0 taken, 1 the office does not answer, 2 wrong usage, 3 refused as a whole, 4 taken with rows refused.

    Parameters
    ----------
    file
        The file.
    check
        Only read it and say what is wrong with it; nothing is sent.
    linked
        All payments or none.
    rail
        Way to other banks [default: the rule payment.bulk_rail].
    url
        Address of the office.
    user
        Who sends it; the password is asked for.
    password_stdin
        Read the password from standard input.
    code
        One-time code, for users who have switched them on.
    json
        Print the answer as JSON.
    """
    try:
        content = file.read_bytes()
    except OSError as error:
        raise OfficeError(f"{file}: {error.strerror}") from None
    if check:
        return _checked(content, json)
    if not user:
        raise OfficeError("--user: who sends it? (--check only reads the file)")
    password = sys.stdin.readline().rstrip("\n") if password_stdin else getpass.getpass("Password: ")
    query = {"linked": str(linked).lower(), "rail": rail}
    try:
        with httpx.Client(base_url=f"{url.rstrip('/')}/api/v1", timeout=120) as office:
            session = _answer(office.post("/sessions", json={"name": user, "password": password, "code": code}))
            headers = {
                "authorization": f"Bearer {session['token']}", "content-type": "application/xml",
                "idempotency-key": f"bulk-{hashlib.sha256(content).hexdigest()}-{linked}-{rail}",
            }  # fmt: skip
            batch = _answer(office.post("/bulk-payments", params=query, content=content, headers=headers))
            refused = _answer(office.get(f"/bulk-payments/{batch['batch_id']}", headers=headers))["refused"]
            office.delete("/sessions/current", headers=headers)
    except httpx.HTTPError as error:
        raise OfficeError(f"the office does not answer: {error}", 1) from None
    if json:
        print(_json(batch | {"refused": refused}))
    else:
        for reason in batch["reasons"]:
            print(f"file: {reason['code']} {reason['field']}: {reason['words']}")
        _print_rows((row["line"], row["reasons"]) for row in refused)
        sums = ", ".join(f"{each['amount']} {each['currency']}" for each in batch["totals"])
        print(
            f"batch {batch['batch_id']}: {batch['state']}, {batch['accepted']} of {batch['items']} taken, {sums or '0'}"
        )
    if batch["state"] == "refused":
        return 3
    return DIFFERENT if batch["accepted"] < batch["items"] else 0


def _checked(content: bytes, json: bool) -> int:
    found = initiation.read(content)
    rows = [(row.line, [asdict(each) for each in row.reasons]) for row in found.rows if row.reasons]
    if json:
        told = {
            "message": found.message, "message_id": found.message_id, "items": len(found.rows),
            "accepted": len(found.accepted), "reasons": [asdict(each) for each in found.reasons],
            "refused": [{"line": line, "reasons": reasons} for line, reasons in rows],
        }  # fmt: skip
        print(_json(told))
    else:
        for reason in found.reasons:
            print(f"file: {reason.code} {reason.field}: {reason.words}")
        _print_rows(rows)
        print(f"{found.message or 'no message'} {found.message_id}: {len(found.accepted)} of {len(found.rows)} good")
    return 3 if found.reasons else DIFFERENT if rows else 0


def _print_rows(rows: Iterable[tuple[int, list[dict[str, Any]]]]) -> None:
    for line, reasons in rows:
        for reason in reasons:
            print(f"line {line}: {reason['code']} {reason['field']}: {reason['words']}")


def _answer(response: httpx.Response) -> dict[str, Any]:
    body: dict[str, Any] = response.json()
    if response.is_error:
        raise OfficeError(body.get("detail") or body.get("title") or f"HTTP {response.status_code}", 3)
    return body
