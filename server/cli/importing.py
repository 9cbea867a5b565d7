"""`tongbao import`: accounts and transfers from CSV or Parquet, in file order, resumable, exactly once.

One request is on its way at a time, and while it is, the next is read and built. More at a time would be faster only
where the answer "busy" could not turn two of them around, and an import must keep the order of its file: a transfer
may need the money of the one before.
"""

import asyncio
import json as jsonlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, cast

from cyclopts import App, Parameter
from rich.progress import Progress as Bar
from rich.progress import TaskID

from engine.results import Status
from server.cli.common import CommandError, Exit, Json, Target, print_json, print_table, progress, run
from server.cli.import_state import ImportState
from server.cli.rows import Columns, Row, Source
from server.client import Account, Client, ConnectionLost, DeadlineExceeded, Result, Transfer
from server.client.codec import uuid_text

app = App(help="Import accounts or transfers from a CSV or Parquet file.")

SAVE_SECONDS = 1.0
"""How often progress is made durable: what a kill costs is at most so much work done again."""

INVALID = "invalid"
"""Status of a row that was not sent, since it is not an account or a transfer at all."""


@Parameter(name="*")
@dataclass(frozen=True, slots=True)
class Options:
    """How the file is read and sent."""

    column: Annotated[list[str] | None, Parameter(negative="")] = None
    """MEMBER=HEADER for a column with a name of its own. May be repeated."""
    set: Annotated[list[str] | None, Parameter(negative="")] = None
    """MEMBER=VALUE for a member that is the same in every row. May be repeated."""
    ignore: Annotated[list[str] | None, Parameter(negative="")] = None
    """Header of a column that is no member. May be repeated."""
    decimals: int = 0
    """Digits behind the point of amounts in the file: 2 reads 12.50 as 1250 minor units."""
    delimiter: str = ","
    """What separates the cells of a CSV file; `tab` for a tab."""
    batch: int = 4000
    """Items of one request, up to 8190."""
    state: Path | None = None
    """File that keeps the progress [default: FILE.import.json]."""
    refused: Path | None = None
    """File for the refused rows [default: FILE.refused.csv]."""
    restart: Annotated[bool, Parameter(negative="")] = False
    """Forget the progress of an earlier run and begin with the first row."""

    def columns(self) -> Columns:
        """Read the mapping."""
        if not 0 <= self.decimals <= 18:
            raise CommandError(f"--decimals: {self.decimals} is not from 0 to 18")
        if not 1 <= self.batch <= 8190:
            raise CommandError(f"--batch: {self.batch} is not from 1 to 8190")
        delimiter = {"tab": "\t", "\\t": "\t"}.get(self.delimiter, self.delimiter)
        if len(delimiter) != 1:
            raise CommandError(f"--delimiter: {self.delimiter!r} is not one character")
        return Columns(
            _pairs("--column", self.column),
            _pairs("--set", self.set),
            frozenset(self.ignore or ()),
            self.decimals,
            delimiter,
        )


def _pairs(flag: str, values: Sequence[str] | None) -> dict[str, str]:
    pairs = {}
    for value in values or ():
        member, equals, text = value.partition("=")
        if not member or not equals or not text:
            raise CommandError(f"{flag}: {value!r} is not MEMBER=…")
        pairs[member] = text
    return pairs


@app.command
def accounts(
    file: Path,
    /,
    *,
    target: Target = Target(),  # noqa: B008
    options: Options = Options(),
    json: Json = False,
) -> int:
    """Import accounts.

    Columns: id, ledger, code, and if wanted flags (names with | between), overdraft_limit, user_data_128,
    user_data_64, user_data_32, timestamp (nanoseconds or ISO 8601; it makes the account an imported one).

    Interrupted in any way, the same command goes on where it was. Rows that the ledger refuses stand in
    FILE.refused.csv with their line and status.

    Exit codes: 0 every row is in the ledger, 1 not reachable (run it again), 2 wrong usage or file, 4 request refused,
    5 some rows were refused.

    Parameters
    ----------
    file
        A .csv file (UTF-8, with a header), or a .parquet file.
    json
        Print one JSON document instead of the summary.
    """
    return _import(file, "accounts", target, options, json=json)


@app.command
def transfers(
    file: Path,
    /,
    *,
    target: Target = Target(),  # noqa: B008
    options: Options = Options(),
    json: Json = False,
) -> int:
    """Import transfers.

    Columns: debit_account_id, credit_account_id, amount, ledger, code, and if wanted id (UUID), flags (names with |
    between), pending_id, timeout, user_data_128, user_data_64, user_data_32, timestamp (nanoseconds or ISO 8601; it
    makes the transfer an imported one).

    A row without an id gets one made from the content of the file and the row's number, so the same file never posts
    anything twice. Interrupted in any way, the same command goes on where it was. Rows that the ledger refuses stand
    in FILE.refused.csv with their line and status; to try them again, put them into a file of their own.

    Exit codes: 0 every row is in the ledger, 1 not reachable (run it again), 2 wrong usage or file, 4 request refused,
    5 some rows were refused.

    Parameters
    ----------
    file
        A .csv file (UTF-8, with a header), or a .parquet file.
    json
        Print one JSON document instead of the summary.
    """
    return _import(file, "transfers", target, options, json=json)


def _import(file: Path, kind: str, target: Target, options: Options, *, json: bool) -> int:
    columns = options.columns()
    source = Source(file, kind, columns)
    said = jsonlib.dumps(
        [
            kind,
            dict(columns.columns),
            dict(columns.constants),
            sorted(columns.ignored),
            columns.decimals,
            columns.delimiter,
        ]
    )
    state_path = options.state or file.with_name(file.name + ".import.json")
    refused_path = options.refused or file.with_name(file.name + ".refused.csv")
    state = ImportState(state_path, refused_path, source.sha256, said, restart=options.restart)
    began = time.monotonic()
    resumed_at = state.progress.rows
    try:
        if not state.progress.finished:
            with progress(quiet=json) as bar:
                run(_send(source, state, target, options.batch, bar))
    except (ConnectionLost, DeadlineExceeded) as error:
        message = f"{error}. {state.progress.rows:,} rows are done; the same command goes on from there"
        raise CommandError(message, Exit.UNREACHABLE) from None
    finally:
        state.close()
    _summary(source, state, resumed_at, time.monotonic() - began, json=json)
    return Exit.ITEM_REFUSED if state.progress.refused else Exit.OK


def _summary(source: Source, state: ImportState, resumed_at: int, seconds: float, *, json: bool) -> None:
    done = state.progress
    rate = round((done.rows - resumed_at) / seconds) if seconds > 0 else 0
    refused_file = str(state.refused) if done.refused else None
    if json:
        print_json({
            "file": str(source.path), "kind": source.kind, "rows": done.rows, "created": done.created,
            "repeated": done.repeated, "refused": done.refused, "refused_file": refused_file,
            "resumed_at": resumed_at, "seconds": round(seconds, 3), "rows_per_second": rate,
        })  # fmt: skip
        return
    rows: list[tuple[str, object]] = [
        (f"{source.kind} in the file", f"{done.rows:,}"),
        ("created", f"{done.created:,}"),
        ("were there already", f"{done.repeated:,}"),
        ("refused", f"{done.refused:,}"),
    ]
    if resumed_at:
        rows.insert(1, ("done by an earlier run", f"{resumed_at:,}"))
    if done.rows > resumed_at:
        rows.append(("seconds", f"{seconds:.1f}"))
        rows.append(("rows a second", f"{rate:,}"))
    if refused_file:
        rows.append(("refused rows in", refused_file))
    print_table("", (str(source.path), ""), rows, right=[""])


async def _send(source: Source, state: ImportState, target: Target, batch: int, bar: Bar) -> None:
    """Send everything behind the saved progress; raises what the client raises, with the progress saved."""
    task = bar.add_task(
        f"import {source.kind}", total=source.rows, completed=state.progress.rows, skipped=state.progress.rows
    )
    async with target.client() as client:
        saved = time.monotonic()
        groups = _groups(_after(source, state.progress.rows), batch)
        group = next(groups, None)
        try:
            while group is not None:
                answers = asyncio.create_task(_request(client, group))
                await asyncio.sleep(0)  # let it leave before the next is read
                await asyncio.sleep(0)
                try:
                    following = next(groups, None)
                finally:
                    results = await answers
                _settle(group, results, state)
                _advance(bar, task, state)
                if time.monotonic() - saved >= SAVE_SECONDS:
                    state.save()
                    saved = time.monotonic()
                group = following
            state.progress.finished = True
        finally:
            state.save()


def _advance(bar: Bar, task: TaskID, state: ImportState) -> None:
    bar.update(task, completed=state.progress.rows)


def _after(source: Source, rows: int) -> Iterator[Row]:
    return (row for row in source if row.number > rows)


def _groups(rows: Iterator[Row], batch: int) -> Iterator[list[Row]]:
    """Cut rows into requests: at most `batch`, whole chains, imported items apart from the others."""
    group: list[Row] = []
    chain: list[Row] = []
    kind: bool | None = None  # whether the group's items are imported ones
    for row in rows:
        chain.append(row)
        if row.linked:
            if len(chain) > batch:
                raise CommandError(f"line {chain[0].line}: its linked chain is longer than a request (--batch {batch})")
            continue
        imported = _imported(chain)
        mixed = None not in {imported, kind} and imported != kind
        if group and (mixed or len(group) + len(chain) > batch):
            yield group
            group, kind = [], None
        kind = imported if kind is None else kind
        group += chain
        chain = []
    if len(group) + len(chain) > batch and group:
        yield group
        group = []
    if group or chain:
        yield group + chain


def _imported(rows: list[Row]) -> bool | None:
    """Whether the items are imported ones; None when there is no item."""
    for row in rows:
        if row.item is not None:
            return row.imported
    return None


def _sendable(group: list[Row]) -> list[Row]:
    """Leave out rows that are no items, and with them the chains they belong to."""
    sendable: list[Row] = []
    chain: list[Row] = []
    for row in group:
        chain.append(row)
        if not row.linked:
            if all(member.item is not None for member in chain):
                sendable += chain
            chain = []
    if all(member.item is not None for member in chain):
        sendable += chain
    return sendable


async def _request(client: Client, group: list[Row]) -> dict[int, Result]:
    """Send the items of a group; results by row number."""
    rows = _sendable(group)
    items: list[Any] = [row.item for row in rows]
    if not items:
        return {}
    if isinstance(items[0], Account):
        results = await client.create_accounts(cast("list[Account]", items))
        results = await client.settle_accounts(items, results)
    else:
        results = await client.create_transfers(cast("list[Transfer]", items))
        results = await client.settle_transfers(items, results)
    return {row.number: result for row, result in zip(rows, results, strict=True)}


def _settle(group: list[Row], results: dict[int, Result], state: ImportState) -> None:
    """Count the rows of an answered request and note the refused ones."""
    done = state.progress
    for row in group:
        result = results.get(row.number)
        if result is None:
            if row.item is None:
                state.refuse(row.line, "", INVALID, row.problem)
            else:
                state.refuse(
                    row.line, _id(row.item), Status.LINKED_EVENT_FAILED.name.lower(), "a row of its chain is invalid"
                )
        elif result.status is Status.CREATED:
            done.created += 1
        elif result.status is Status.EXISTS:
            done.repeated += 1
        else:
            state.refuse(row.line, _id(row.item), result.status.name.lower())
    done.rows = group[-1].number


def _id(item: Account | Transfer | None) -> str:
    if isinstance(item, Transfer):
        return uuid_text(item.id)
    return "" if item is None else str(item.id)
