"""What the commands share: exit codes, errors, how to reach the server, and how to print."""

import asyncio
import json
import os
import sys
from collections.abc import Coroutine, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Annotated, Any, TypeVar

from cyclopts import Group, Parameter
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from server.client import Client, Logon, tls_context

T = TypeVar("T")


class Exit(IntEnum):
    """Exit codes of the commands that talk to a server; those of all others are server.process.Exit."""

    OK = 0
    """Done."""
    UNREACHABLE = 1
    """There is no server at the address, the connection was lost, or no answer came in time."""
    USAGE = 2
    """A flag, a setting or a file is wrong; nothing was sent."""
    NOT_READY = 3
    """The server runs and does not serve yet, or not just now."""
    REQUEST_REFUSED = 4
    """The server refused a whole request: the logon, a permission, its params, its capacity."""
    ITEM_REFUSED = 5
    """The ledger refused an account or a transfer; the answer names the status."""
    NOT_FOUND = 6
    """An account or a transfer is not in the ledger."""
    INTERRUPTED = 130
    """Stopped by Ctrl-C."""


class CommandError(Exception):
    """Ends the command with a message and an exit code."""

    def __init__(self, message: str, code: int = Exit.USAGE) -> None:
        super().__init__(message)
        self.code = int(code)


_SERVER = Group("Server", sort_key=90)


@Parameter(name="*", group=_SERVER)
@dataclass(frozen=True, slots=True)
class Target:
    """Where the server is and who asks."""

    connect: Annotated[str, Parameter(env_var="TONGBAO_CONNECT")] = "127.0.0.1:7420"
    """HOST:PORT of the server."""
    channel: Annotated[str, Parameter(env_var="TONGBAO_CHANNEL")] = ""
    """Channel to log on as; none for a server in --dev mode. Its key is read from the variable TONGBAO_KEY."""
    key_file: Annotated[Path | None, Parameter(env_var="TONGBAO_KEY_FILE")] = None
    """File with the channel's key, instead of TONGBAO_KEY."""
    sign: Annotated[bool, Parameter(negative="")] = False
    """Log on with a signature made with the key instead of the key itself."""
    tls: Annotated[bool, Parameter(negative="")] = False
    """Speak TLS 1.3 and trust the system's authorities."""
    ca: Path | None = None
    """Speak TLS 1.3 and trust the authorities of this file alone."""
    timeout: float = 30.0
    """Seconds that one request may take, with its retries."""

    def address(self) -> tuple[str, int]:
        """Split `connect`."""
        host, colon, port = self.connect.rpartition(":")
        if not colon or not host or not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:
            raise CommandError(f"--connect: {self.connect!r} is not HOST:PORT")
        return host.strip("[]"), int(port)

    def logon(self) -> Logon | None:
        """Give the logon, with the key from the environment or a file."""
        if not self.channel:
            return None
        if self.key_file is not None:
            try:
                key = self.key_file.read_text("utf-8").strip()
            except (OSError, UnicodeDecodeError) as error:
                raise CommandError(f"--key-file: {_reason(error)}") from None
        else:
            key = os.environ.get("TONGBAO_KEY", "")
        if not key:
            raise CommandError("--channel: needs its key in TONGBAO_KEY or in --key-file")
        return Logon(self.channel, key, self.sign)

    def client(self, *, connect_deadline_s: float = 0.0, **options: Any) -> AbstractAsyncContextManager[Client]:
        """Make a client that gives up at once when nobody answers."""
        host, port = self.address()
        if not self.timeout > 0:
            raise CommandError(f"--timeout: {self.timeout} is not positive")
        tls = None
        if self.tls or self.ca is not None:
            try:
                tls = tls_context(str(self.ca) if self.ca is not None else None)
            except OSError as error:
                raise CommandError(f"--ca: {_reason(error)}") from None
        options = {"deadline_s": self.timeout, **options}
        return Client(host, port, logon=self.logon(), tls=tls, connect_deadline_s=connect_deadline_s, **options)


Json = Annotated[bool, Parameter(name="--json", negative="")]


def _reason(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return str(error) or type(error).__name__


def file_error(path: Path, error: BaseException) -> CommandError:
    """Say that a file cannot be read or written."""
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error) or type(error).__name__
    return CommandError(f"{path}: {reason}")


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run a command's coroutine."""
    return asyncio.run(main)


def out() -> Console:
    """Standard output; wide when it is not a terminal, so that tables are not folded in files."""
    return Console(soft_wrap=False) if sys.stdout.isatty() else Console(width=200)


def err() -> Console:
    """Standard error: progress and messages."""
    return Console(stderr=True)


def print_json(value: object) -> None:
    """Print one JSON document on a line of its own."""
    sys.stdout.write(json.dumps(value, default=str) + "\n")


def print_table(
    title: str, columns: Sequence[str], rows: Iterable[Sequence[object]], *, right: Iterable[str] = ()
) -> None:
    """Print a table; the columns in `right` are numbers."""
    aligned = set(right)
    table = Table(title=title or None, title_justify="left", header_style="bold", box=None, pad_edge=False)
    for column in columns:
        table.add_column(column, justify="right" if column in aligned else "left", no_wrap=True)
    for row in rows:
        table.add_row(*(Text("" if cell is None else str(cell)) for cell in row))
    out().print(table)


class _Rate(ProgressColumn):
    """Steps per second since the beginning."""

    def render(self, task: Task) -> Text:
        elapsed = task.elapsed or 0.0
        done = task.completed - task.fields.get("skipped", 0)
        return Text(f"{done / elapsed:,.0f}/s" if elapsed > 0 else "", style="progress.data.speed")


def progress(*, quiet: bool = False) -> Progress:
    """Make a progress bar on standard error with count, rate and times; silent when asked or not on a terminal."""
    console = err()
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        _Rate(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
        disable=quiet or not console.is_terminal,
        transient=True,
    )
