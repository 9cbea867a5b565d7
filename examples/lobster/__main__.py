"""`python -m examples.lobster`: a day of NASDAQ's orders through a running server, checked at every event.

Starts servers of its own in temporary directories, one for each sample, unless --connect names one.
"""

import asyncio
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter

from engine.order_results import TransferCode
from examples.lobster import data
from examples.lobster.plan import plan
from examples.lobster.replay import Checks, terms
from examples.local_server import LocalServer
from examples.market import online
from server.cli.common import CommandError, Exit, Json, out, print_json, print_table, progress
from server.client import Client, ClientError

SAMPLES = tuple(f"{symbol}-{levels}" for symbol, levels in data.SAMPLES)

app = App(name="python -m examples.lobster", help_format="plaintext", result_action="return_value")


async def send(client: Client, sample: data.Sample, *, quiet: bool = False) -> dict[str, Any]:
    """Replay a sample and settle up; gives the figures of the summary."""
    commands = plan(sample)
    checks = Checks(sample, commands)
    report = checks.report
    await online.open_market(client, terms(sample.symbol))
    with progress(quiet=quiet) as bar:
        task = bar.add_task(f"{sample.symbol}, {sample.levels} levels", total=len(sample))
        began = time.monotonic()
        async for part in online.drive(client, commands, sample.symbol, sample.levels):
            checks.feed(part)
            bar.update(task, completed=report.events)
        seconds = time.monotonic() - began
    books, wrong = await online.settle(client, terms(sample.symbol), checks.trades)
    return {
        "sample": f"{sample.symbol}-{sample.levels}",
        "events": report.events,
        "commands": report.commands,
        "seconds": round(seconds, 3),
        "commands_per_second": round(report.commands / seconds),
        "mismatches": report.mismatches,
        "executions": len(commands.makers),
        "trades": report.trades,
        "shares": report.shares,
        "transfers": {TransferCode(code).name.lower(): books.transfers[code] for code in sorted(books.transfers)},
        "accounts": len(books.balances),
        "counts": dict(sorted(commands.counts.items())),
        "wrong": [*report.wrong, *wrong],
    }


def _summary(figures: list[dict[str, Any]]) -> None:
    names: list[tuple[str, str]] = [
        ("events, each followed by a look at the book", "events"),
        ("  books that differ from the exchange's", "mismatches"),
        ("commands: submit, replace, cancel", "commands"),
        ("  a second, with a look after each event", "commands_per_second"),
        ("executions in the data", "executions"),
        ("  trades with the order, price and size of the data", "trades"),
        ("  shares", "shares"),
        ("accounts whose balance is that of the trades", "accounts"),
    ]
    rows = [[text, *(f"{values[name]:,}" for values in figures)] for text, name in names]
    for code in figures[0]["transfers"]:
        pairs = [values["transfers"].get(code, (0, 0)) for values in figures]
        rows.append([f"transfers {code}", *(f"{number:,}" for number, _ in pairs)])
        rows.append(["  their sum", *(f"{total:,}" for _, total in pairs)])
    rows.append(["differences", *(f"{len(values['wrong']):,}" for values in figures)])
    columns = [values["sample"] for values in figures]
    print_table("LOBSTER, NASDAQ 2012-06-21; money in 1/10,000 dollar", ("", *columns), rows, right=columns)
    print_table(
        "What the messages were, and what had to be assumed",
        ("", *columns),
        [
            [name, *(f"{values['counts'].get(name, 0):,}" for values in figures)]
            for name in dict.fromkeys(name for values in figures for name in values["counts"])
        ],
        right=columns,
    )
    for values in figures:
        for line in values["wrong"]:
            out().print(f"{values['sample']}: {line}")


@app.default
def lobster(
    directory: Path | None = None,
    /,
    *,
    sample: Annotated[list[str] | None, Parameter(negative="")] = None,
    events: int = 0,
    connect: Annotated[str, Parameter(env_var="TONGBAO_CONNECT")] = "",
    json: Json = False,
) -> int:
    """Replay NASDAQ's orders through a running server and compare its book with the exchange's after every event.

    Exit codes: 0 everything is equal, 1 it is not, or there is no server, 2 wrong usage or data.

    Parameters
    ----------
    directory
        Where the data are [default: $TONGBAO_SHARED_DATA/lobster, or ../shared/data/lobster beside the repository].
    sample
        AMZN-5, AMZN-1 or AAPL-1; may be repeated [default: all three, with --connect the first].
    events
        Only so many events of each [default: all].
    connect
        HOST:PORT of a fresh server in --dev mode, for one sample; one for each is started when left out.
    json
        Print the figures as one JSON document.
    """
    where = directory or data.find()
    if where is None:
        raise CommandError("the data are not there: give their directory, or set TONGBAO_SHARED_DATA")
    chosen = sample or (SAMPLES[:1] if connect else SAMPLES)
    unknown = [name for name in chosen if name not in SAMPLES]
    if unknown:
        raise CommandError(f"--sample: {unknown[0]!r} is none of {', '.join(SAMPLES)}")
    if connect and len(chosen) > 1:
        raise CommandError("--connect: a server takes one sample")
    days = [data.read(where, *data.SAMPLES[SAMPLES.index(name)]) for name in chosen]
    if events:
        days = [day.first(events) for day in days]
    if connect:
        host, _, port = connect.rpartition(":")
        if not host or not port.isdigit():
            raise CommandError(f"--connect: {connect!r} is not HOST:PORT")
        figures = [asyncio.run(_with(host, int(port), days[0], quiet=json))]
    else:
        figures = [_own(day, quiet=json) for day in days]
    if json:
        print_json(figures)
    else:
        _summary(figures)
    return 1 if any(values["wrong"] or values["mismatches"] for values in figures) else 0


def _own(sample: data.Sample, *, quiet: bool) -> dict[str, Any]:
    # A busy answer would change the order of the commands; waiting is better here.
    with LocalServer(None, "--queue-delay-ms-max", "30000") as server:
        return asyncio.run(_with(server.host, server.port, sample, quiet=quiet))


async def _with(host: str, port: int, sample: data.Sample, *, quiet: bool) -> dict[str, Any]:
    async with Client(host, port) as client:
        return await send(client, sample, quiet=quiet)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the example; errors of the user end in one line."""
    try:
        code = app(arguments)
    except CommandError as error:
        sys.stderr.write(f"lobster: {error}\n")
        return error.code
    except data.DataError as error:
        sys.stderr.write(f"lobster: {error}\n")
        return Exit.USAGE
    except (ClientError, online.NotFreshError) as error:
        sys.stderr.write(f"lobster: {error}\n")
        return 1
    # --help and --version give none.
    return int(code or 0)


if __name__ == "__main__":
    sys.exit(main())
