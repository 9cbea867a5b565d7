"""`python -m examples.berka`: import the bank's data through a server and reconcile every balance.

Starts a server of its own in a temporary directory unless --connect names one.
"""

import asyncio
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter

from examples.berka import data
from examples.berka.books import Contra, account_array, transfer_array
from examples.berka.reconcile import Report, reconcile, refused
from examples.local_server import LocalServer
from server.cli.common import CommandError, Exit, Json, out, print_json, print_table, progress
from server.client import Client, ClientError

BATCH = 8190

app = App(name="python -m examples.berka", help_format="plaintext", result_action="return_value")


async def send(client: Client, directory: Path, *, quiet: bool = False) -> dict[str, Any]:
    """Import accounts and transfers, then reconcile; gives the figures of the summary."""
    began = time.monotonic()
    openings = data.read_accounts(directory)
    rows = data.booking_order(data.read_transactions(directory))
    accounts = account_array(openings, rows[0].day)
    transfers = transfer_array(rows)
    read_s = time.monotonic() - began
    with progress(quiet=quiet) as bar:
        task = bar.add_task("accounts", total=len(accounts))
        began = time.monotonic()
        refusals = refused(await client.create_accounts(accounts))
        accounts_s = time.monotonic() - began
        bar.update(task, completed=len(accounts))

        task = bar.add_task("transfers", total=len(transfers))
        began = time.monotonic()
        for first in range(0, len(transfers), BATCH):
            results = await client.create_transfers(transfers[first : first + BATCH])
            for status, count in refused(results).items():
                refusals[status] = refusals.get(status, 0) + count
            bar.update(task, completed=first + len(results))
        transfers_s = time.monotonic() - began

        task = bar.add_task("reconcile", total=len(rows))
        began = time.monotonic()
        report = await reconcile(client, rows, transfers, lambda count: bar.advance(task, count))
        reconcile_s = time.monotonic() - began
    contra = await client.lookup_accounts(list(Contra))
    return {
        "accounts": len(accounts),
        "transfers": len(transfers),
        "refused": refusals,
        "report": report,
        "contra": {c.name.lower(): view.balance for c, view in zip(Contra, contra, strict=True) if view is not None},
        "read_s": read_s,
        "accounts_s": accounts_s,
        "transfers_s": transfers_s,
        "reconcile_s": reconcile_s,
    }


def figures(result: dict[str, Any]) -> dict[str, Any]:
    """Give the figures as plain values."""
    report: Report = result["report"]
    return {
        "accounts": result["accounts"],
        "transfers": result["transfers"],
        "refused": result["refused"],
        "transfers_per_second": round(result["transfers"] / result["transfers_s"]),
        "seconds": {name: round(result[f"{name}_s"], 3) for name in ("read", "accounts", "transfers", "reconcile")},
        "accounts_with_rows": report.accounts,
        "rows": report.rows,
        "rows_exact": report.rows_exact,
        "rows_rounded": report.rows_rounded,
        "rows_overdrawn": report.overdrawn,
        "days": report.days,
        "days_exact": report.days_exact,
        "days_rounded": report.days_rounded,
        "rows_on_exact_days": report.rows_on_exact_days,
        "rows_on_rounded_days": report.rows_on_rounded_days,
        "drift_max_haler": report.drift_max,
        "wrong": report.wrong,
        "contra_haler": result["contra"],
    }


def _summary(values: dict[str, Any]) -> None:
    rows: list[tuple[str, str]] = [
        ("accounts imported", f"{values['accounts']:,}"),
        ("transfers imported", f"{values['transfers']:,}"),
        ("transfers a second", f"{values['transfers_per_second']:,}"),
        ("accounts reconciled", f"{values['accounts_with_rows']:,}"),
        ("rows reconciled", f"{values['rows']:,}"),
        ("  balance agrees to the haléř", f"{values['rows_exact']:,}"),
        ("  rounded by the bank, 0.10 at most", f"{values['rows_rounded']:,}"),
        ("account days reconciled", f"{values['days']:,}"),
        ("  every row agrees", f"{values['days_exact']:,}"),
        ("    with so many rows", f"{values['rows_on_exact_days']:,}"),
        ("  some row was rounded", f"{values['days_rounded']:,}"),
        ("    with so many rows", f"{values['rows_on_rounded_days']:,}"),
        ("largest drift by roundings, crowns", f"{values['drift_max_haler'] / 100:.2f}"),
        ("rows that leave an overdraft", f"{values['rows_overdrawn']:,}"),
        ("refused", " ".join(f"{name} {count:,}" for name, count in values["refused"].items()) or "0"),
        ("differences without an explanation", f"{len(values['wrong']):,}"),
    ]
    print_table("PKDD'99 Financial Data Set (Berka), 1993-01-01 to 1994-03-30", ("", "count"), rows, right=["count"])
    print_table(
        "The bank's own accounts, balance in haléř (credits less debits)",
        ("account", "balance"),
        [(name, f"{balance:,}") for name, balance in values["contra_haler"].items()],
        right=["balance"],
    )
    for line in values["wrong"][:20]:
        out().print(line)


@app.default
def berka(
    directory: Path | None = None,
    /,
    *,
    connect: Annotated[str, Parameter(env_var="TONGBAO_CONNECT")] = "",
    json: Json = False,
) -> int:
    """Import the Berka data through a running server and reconcile every account after every day.

    Exit codes: 0 everything reconciles, 1 it does not, or there is no server, 2 wrong usage or data.

    Parameters
    ----------
    directory
        Where the data are [default: $TONGBAO_SHARED_DATA/berka, or ../shared/data/berka beside the repository].
    connect
        HOST:PORT of a server in --dev mode; one of our own is started when left out.
    json
        Print the figures as one JSON document.
    """
    where = directory or data.find()
    if where is None:
        raise CommandError("the data are not there: give their directory, or set TONGBAO_SHARED_DATA")
    if connect:
        host, _, port = connect.rpartition(":")
        if not host or not port.isdigit():
            raise CommandError(f"--connect: {connect!r} is not HOST:PORT")
        result = asyncio.run(_with(host, int(port), where, quiet=json))
    else:
        with LocalServer() as server:
            result = asyncio.run(_with(server.host, server.port, where, quiet=json))
    values = figures(result)
    if json:
        print_json(values)
    else:
        _summary(values)
    return 1 if values["wrong"] or values["refused"] else 0


async def _with(host: str, port: int, directory: Path, *, quiet: bool) -> dict[str, Any]:
    async with Client(host, port) as client:
        return await send(client, directory, quiet=quiet)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the example; errors of the user end in one line."""
    try:
        code = app(arguments)
    except CommandError as error:
        sys.stderr.write(f"berka: {error}\n")
        return error.code
    except data.DataError as error:
        sys.stderr.write(f"berka: {error}\n")
        return Exit.USAGE
    except ClientError as error:
        sys.stderr.write(f"berka: {error}\n")
        return 1
    # --help and --version give none.
    return int(code or 0)


if __name__ == "__main__":
    sys.exit(main())
