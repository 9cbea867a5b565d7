"""`tongbao export`: accounts, transfers and balances to CSV or Parquet, page by page, with members as columns.

What is exported can be imported again: headers are the protocol's member names. Transfers and balances are those up
to the moment the export begins, a fixed set; accounts are read page by page while the server goes on, so two accounts
may show balances of different moments.
"""

import csv
import sys
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any, Protocol

from cyclopts import App, Parameter

from server.cli.common import CommandError, Exit, Json, Target, err, file_error, print_json, progress, run
from server.client import Client
from server.client.errors import RequestError
from server.client.values import flag_names

app = App(help="Export accounts, transfers or balances to a CSV or Parquet file.")

PAGE = 8190
"""Records of one request."""

_ACCOUNT_COLUMNS = (
    "id", "ledger", "code", "flags", "overdraft_limit", "user_data_128", "user_data_64", "user_data_32",
    "debits_pending", "debits_posted", "credits_pending", "credits_posted", "timestamp",
)  # fmt: skip
_TRANSFER_COLUMNS = (
    "id", "debit_account_id", "credit_account_id", "amount", "ledger", "code", "flags", "pending_id", "timeout",
    "user_data_128", "user_data_64", "user_data_32", "timestamp", "status",
)  # fmt: skip
_BALANCE_COLUMNS = (
    "account_id", "timestamp", "debits_pending", "debits_posted", "credits_pending", "credits_posted",
)  # fmt: skip
_TEXT = frozenset({"id", "flags", "user_data_128", "pending_id", "status"})

Values = Sequence[Any]
Pages = AsyncIterator[list[Values]]


class Sink(Protocol):
    """Takes rows; `close` makes the file whole."""

    def write(self, rows: Iterable[Values]) -> None:
        """Append rows."""

    def close(self) -> None:
        """Finish the file."""


class _CsvSink:
    """CSV, into a file that takes its name when it is whole, or to standard output."""

    def __init__(self, path: Path | None, columns: Sequence[str]) -> None:
        self._path = path
        self._temporary = path.with_name(path.name + ".writing") if path is not None else None
        self._file = sys.stdout if self._temporary is None else self._temporary.open("w", encoding="utf-8", newline="")
        self._writer = csv.writer(self._file, lineterminator="\n")
        self._writer.writerow(columns)

    def write(self, rows: Iterable[Values]) -> None:
        self._writer.writerows(rows)

    def close(self) -> None:
        if self._path is not None and self._temporary is not None:
            self._file.close()
            self._temporary.replace(self._path)
        else:
            self._file.flush()


class _ParquetSink:
    """Parquet; 64-bit numbers stay numbers, 128-bit values are text."""

    def __init__(self, path: Path, columns: Sequence[str], kind: str) -> None:
        try:
            import pyarrow as pa  # noqa: PLC0415 - optional
            import pyarrow.parquet  # noqa: PLC0415
        except ImportError:
            raise CommandError("Parquet files need pyarrow: pip install 'tongbao[parquet]'") from None
        self._pa: Any = pa
        text = _TEXT if kind == "transfers" else _TEXT - {"id"}
        self._schema = pa.schema([(name, pa.string() if name in text else pa.uint64()) for name in columns])
        self._path = path
        self._temporary = path.with_name(path.name + ".writing")
        self._writer = pyarrow.parquet.ParquetWriter(self._temporary, self._schema)

    def write(self, rows: Iterable[Values]) -> None:
        columns = list(zip(*rows, strict=True))
        if columns:
            arrays = [
                self._pa.array([None if cell == "" else cell for cell in column], kind)
                for column, kind in zip(columns, self._schema.types, strict=True)
            ]
            self._writer.write_batch(self._pa.RecordBatch.from_arrays(arrays, schema=self._schema))

    def close(self) -> None:
        self._writer.close()
        self._temporary.replace(self._path)


def _sink(file: Path | None, columns: Sequence[str], kind: str) -> Sink:
    try:
        if file is not None and file.suffix.lower() in {".parquet", ".pq"}:
            return _ParquetSink(file, columns, kind)
        return _CsvSink(file, columns)
    except OSError as error:
        assert file is not None
        raise file_error(file, error) from None


def _uuid_or_empty(value: int) -> str:
    return str(uuid.UUID(int=value)) if value else ""


async def _pages(ask: Callable[[int], Awaitable[Sequence[Any]]], row: Callable[[Any], Values]) -> Pages:
    """Ask for page after page; `ask` gets the first timestamp wanted."""
    first = 0
    while True:
        found = await ask(first)
        if found:
            yield [row(view) for view in found]
        if len(found) < PAGE:
            return
        first = found[-1].timestamp + 1


def _account_row(view: Any) -> Values:
    return (
        view.id, view.ledger, view.code, "|".join(flag_names(view.flags)), view.overdraft_limit or "",
        _uuid_or_empty(view.user_data_128), view.user_data_64 or "", view.user_data_32 or "", view.debits_pending,
        view.debits_posted, view.credits_pending, view.credits_posted, view.timestamp,
    )  # fmt: skip


def _transfer_row(view: Any) -> Values:
    return (
        str(view.id), view.debit_account_id, view.credit_account_id, view.amount, view.ledger, view.code,
        "|".join(flag_names(view.flags)), "" if view.pending_id is None else str(view.pending_id), view.timeout or "",
        _uuid_or_empty(view.user_data_128), view.user_data_64 or "", view.user_data_32 or "", view.timestamp,
        view.status,
    )  # fmt: skip


File = Annotated[Path | None, Parameter(name=["--out", "-o"])]


@app.command
def accounts(
    *,
    target: Target = Target(),  # noqa: B008
    out: File = None,
    ledger: int | None = None,
    code: int | None = None,
    json: Json = False,
) -> int:
    """Export accounts with their balances, oldest first.

    Exit codes: 0 done, 1 not reachable, 2 wrong usage or file, 4 refused.

    Parameters
    ----------
    out
        A .csv or .parquet file; CSV to standard output when left out.
    ledger
        Of this ledger only.
    code
        With this code only.
    json
        Print one JSON document as summary (with --out).
    """

    async def pages(client: Client, _: int) -> Pages:
        async def ask(first: int) -> Sequence[Any]:
            return await client.query_accounts(ledger=ledger, code=code, timestamp_min=first or None, limit=PAGE)

        async for page in _pages(ask, _account_row):
            yield page

    return _export("accounts", _ACCOUNT_COLUMNS, pages, target, out, json=json)


@app.command
def transfers(
    *,
    target: Target = Target(),  # noqa: B008
    account: Annotated[list[int] | None, Parameter(negative="")] = None,
    out: File = None,
    ledger: int | None = None,
    code: int | None = None,
    json: Json = False,
) -> int:
    """Export transfers, oldest first: all, or those of some accounts.

    With several accounts their transfers follow one account after the other; a transfer between two of them stands
    in both places.

    Exit codes: 0 done, 1 not reachable, 2 wrong usage or file, 4 refused.

    Parameters
    ----------
    account
        Of this account only. May be repeated.
    out
        A .csv or .parquet file; CSV to standard output when left out.
    ledger
        Of this ledger only (not with --account).
    code
        With this code only.
    json
        Print one JSON document as summary (with --out).
    """
    if account and ledger is not None:
        raise CommandError("--ledger goes without --account: an account has one ledger")

    async def pages(client: Client, until: int) -> Pages:
        for id_ in account or (None,):

            async def ask(first: int, id_: int | None = id_) -> Sequence[Any]:
                bounds: Any = {"timestamp_min": first or None, "timestamp_max": until, "limit": PAGE, "code": code}
                found: Sequence[Any]
                if id_ is None:
                    found = await client.query_transfers(ledger=ledger, **bounds)
                else:
                    found = await client.get_account_transfers(id_, **bounds)
                return found

            async for page in _pages(ask, _transfer_row):
                yield page

    return _export("transfers", _TRANSFER_COLUMNS, pages, target, out, json=json)


@app.command
def balances(
    account: list[int],
    /,
    *,
    target: Target = Target(),  # noqa: B008
    out: File = None,
    json: Json = False,
) -> int:
    """Export the balances of accounts after each of their transfers; the accounts need the flag `history`.

    Exit codes: 0 done, 1 not reachable, 2 wrong usage or file, 4 refused (also when there is no history).

    Parameters
    ----------
    account
        Account ids.
    out
        A .csv or .parquet file; CSV to standard output when left out.
    json
        Print one JSON document as summary (with --out).
    """

    async def pages(client: Client, until: int) -> Pages:
        for id_ in account:

            async def ask(first: int, id_: int = id_) -> Sequence[Any]:
                bounds: Any = {"timestamp_min": first or None, "timestamp_max": until, "limit": PAGE}
                found: Sequence[Any]
                try:
                    found = await client.get_account_balances(id_, **bounds)
                except RequestError as error:
                    raise RequestError.of(error.code, f"account {id_}: {error.message}") from None
                return found

            async for page in _pages(ask, lambda view, id_=id_: (id_, *view)):  # type: ignore[misc]
                yield page

    return _export("balances", _BALANCE_COLUMNS, pages, target, out, json=json)


def _export(
    what: str,
    columns: Sequence[str],
    pages: Callable[[Client, int], Pages],
    target: Target,
    out: Path | None,
    *,
    json: bool,
) -> int:
    if json and out is None:
        raise CommandError("--json needs --out, since the export itself goes to standard output")

    async def work() -> int:
        count = 0
        async with target.client() as client:
            until = await client.ping()
            sink = _sink(out, columns, what)
            with progress(quiet=json or out is None) as bar:
                task = bar.add_task(f"export {what}", total=None)
                async for page in pages(client, until):
                    sink.write(page)
                    count += len(page)
                    bar.update(task, completed=count)
            sink.close()
        return count

    count = run(work())
    if json:
        print_json({"what": what, "rows": count, "file": str(out)})
    elif out is not None:
        err().print(f"{count:,} {what} in {out}", highlight=False, soft_wrap=True)
    return Exit.OK
