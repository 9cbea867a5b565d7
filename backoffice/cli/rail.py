"""`tongbao-office rail`: simulated rails, keys, reconciliation."""

from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import Annotated, Literal

import uvicorn
from cyclopts import App, Parameter

from backoffice import background
from backoffice.api.working import Office
from backoffice.cli import Json, OfficeError, Url, _json, _run, _settings
from backoffice.context import now
from backoffice.database import Database
from backoffice.rails import reconciliation
from backoffice.rails.planting import Plant
from backoffice.rails.process import Faults, JournalError, Rail, Setup, create_app
from backoffice.rails.signing import Keys, new_key_line
from backoffice.rails.wire import RailKind
from server.client import ClientError

app = App(name="rail", help="Payment rails: simulated ones, keys, reconciliation.")
PARTS = 1_000_000


@app.command
def simulate(
    *,
    kind: Literal["card", "wallet", "qr", "interbank"],
    keys: Path,
    data: Path,
    port: int = 0,
    host: str = "127.0.0.1",
    callback: str = "",
    delay: float = 0.05,
    duplicates: float = 0.0,
    failures: float = 0.0,
    lost: float = 0.0,
    hang: float = 5.0,
    plant: Annotated[list[Literal["missing", "unknown", "amount", "twice"]] | None, Parameter(negative=())] = None,
    seed: int = 1,
) -> int:
    """Be a payment rail until told to stop: a process of its own, for trials and tests.

    Amounts decide: the last two digits are a response code of ISO 8583 (…51: not sufficient funds); …68 is decided
    later, …17 is given up by who collects, …04 is returned by the other bank. The first line printed is the address.

    Exit codes: 0 stopped, 2 wrong usage.

    Parameters
    ----------
    kind
        card, wallet, qr or interbank.
    keys
        File with one or two lines `ID HEX`: what it shares with the office.
    data
        Directory of its journal; what it has done survives its end.
    port
        HTTP port; 0 takes a free one.
    host
        Address of the HTTP port.
    callback
        The office's address for callbacks: http://HOST:PORT/api/v1/rails/NAME/callbacks. None are sent without it.
    delay
        Mean wait before a callback, in seconds; they overtake each other.
    duplicates
        Share of callbacks that come twice, 0 to 1.
    failures
        Share of requests that fail: a third undone, a third done, a third done and never answered.
    lost
        Share of callbacks to orders that never come.
    hang
        How long a request is left without an answer, in seconds.
    plant
        What is false in the settlement file: missing, unknown, amount or twice; may be repeated.
    seed
        Decides everything that looks like chance.
    """
    for name, share in (("duplicates", duplicates), ("failures", failures), ("lost", lost)):
        if not 0 <= share <= 1:
            raise ValueError(f"--{name}: {share} is not from 0 to 1")
    faults = Faults(
        delay_s=delay,
        duplicates_ppm=round(duplicates * PARTS),
        failures_ppm=round(failures * PARTS),
        lost_ppm=round(lost * PARTS),
        hang_s=hang,
        plants=tuple(Plant(each) for each in plant or ()),
    )
    setup = Setup(RailKind(kind), callback, Keys.read(keys), data, seed, faults=faults)
    try:
        rail = Rail(setup)
    except JournalError as error:
        raise ValueError(str(error)) from None
    config = uvicorn.Config(create_app(rail), host=host, port=port, log_level="warning", server_header=False)
    socket = config.bind_socket()
    socket.listen()  # who reads the line below may connect
    print(f"http://{host}:{socket.getsockname()[1]}", flush=True)
    uvicorn.Server(config).run(sockets=[socket])
    return 0


@app.command(name="key")
def make_key(name: str, /) -> int:
    """Print a line for a file of keys, of 32 random bytes.

    To change keys: add the new line below the old one on both sides, move it up on both sides, take the old one away.

    Parameters
    ----------
    name
        Id of the key.
    """
    line = new_key_line(name)
    print(line, end="")
    return 0


@app.command(name="reconcile")
def reconcile_day(
    name: str,
    /,
    *,
    day: date,
    file: Path | None = None,
    database_url: Url = None,
    engine: str | None = None,
    json: Json = False,
) -> int:
    """Compare a rail's day with the ledger; what does not agree becomes a work list. Running it again changes nothing.

    Exit codes: 0 nothing is open, 1 database or ledger do not answer, 2 wrong usage, 3 refused (no file, not a sound
    one, or another one than was taken), 4 there are differences.

    Parameters
    ----------
    name
        card, wallet, qr or interbank.
    day
        The rail's day of settlement, like 2026-11-23.
    file
        Read the settlement file here instead of asking the rail for it.
    database_url
        PostgreSQL of the office [default: OFFICE_DATABASE_URL].
    engine
        HOST:PORT of the Tongbao server [default: 127.0.0.1:7420].
    json
        Print the report as JSON.
    """
    settings = _settings(database_url=database_url, engine=engine)
    if file is not None:
        try:
            given = file.read_bytes()
        except OSError as error:
            raise OfficeError(f"--file: {file}: {error.strerror}") from None

    async def work() -> reconciliation.Report:
        office = Office(Database.open(settings.database_url, pool_size=3), settings, now)
        try:
            content = given if file is not None else await reconciliation.fetch(office, name, day)
            async with background.system(office) as context:
                return await reconciliation.run(office, context, name, day, content)
        except ClientError as error:
            raise OfficeError(f"the ledger does not answer: {error}", 1) from None
        finally:
            await office.gateway.stop()
            await office.database.close()

    report = _run(work())
    if json:
        print(_json(asdict(report)))
    else:
        words = "taken" if report.new_file else "known already"
        print(f"{report.rail} {report.day}: {report.rows:,} rows ({words}), {report.matched:,} matched now")
        print(f"new differences: {report.found:,}, gone: {report.gone:,}, open: {report.differences:,}")
    return 4 if report.differences else 0
