"""`tongbao verify`: replay the log and prove that it is whole and gives the state it gave.

Beside a running server it reads from that server's PostgreSQL, read-only; else it starts the private cluster for as
long as it takes. Nothing is ever written to the log or the snapshots.
"""

import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from server.cli.common import CommandError, Json, print_json, print_table, run

if TYPE_CHECKING:
    from server.cli.verification import Report


def verify(
    *,
    data_dir: Annotated[Path, Parameter(env_var="TONGBAO_DATA_DIR")] = Path("tongbao-data"),
    database_url: Annotated[str, Parameter(env_var="DATABASE_URL", show_default=False)] = "",
    from_snapshot: Annotated[bool, Parameter(negative="")] = False,
    json: Json = False,
) -> int:
    """Replay the log, and prove that nothing in it is missing, changed, or out of order.

    Checked: every row is in its place, its checksum and its link in the hash chain are right; the state before a row
    has the digest that the server wrote into it; each snapshot on the way has a good file and holds exactly the
    replayed state; and at the end the books balance and every invariant of the engine holds.

    It may run beside the server, which it does not disturb: it reads, up to the newest row there is when it begins.
    It needs memory for the whole state, like a server. Capacities are those of the environment (`TONGBAO_ACCOUNTS_MAX`
    and so on).

    Exit codes, as those of serve: 0 all is well, 2 wrong usage, 4 no database, 5 a row or a snapshot is damaged,
    7 rows are gone that a snapshot knows, 8 the books do not balance, 9 the capacities are too small, 1 our fault.

    Parameters
    ----------
    data_dir
        Data directory of the server: its private PostgreSQL and its snapshots.
    database_url
        PostgreSQL that holds the log, when it is not the private one.
    from_snapshot
        Begin with the newest snapshot instead of the first row: quicker, and it trusts the snapshot. When the first
        rows of the log were archived or dropped, verify begins with the oldest snapshot by itself.
    json
        Print one JSON document.
    """
    # The command line is quick to start as long as only serve and verify load the whole server.
    from engine.errors import EngineError, SnapshotError  # noqa: PLC0415
    from server import logs  # noqa: PLC0415
    from server.cli.verification import Report, replay_log  # noqa: PLC0415
    from server.journal import JournalError  # noqa: PLC0415
    from server.lifecycle import Exit, exit_code_of  # noqa: PLC0415
    from server.settings import SettingsError  # noqa: PLC0415

    logs.configure("json", "error", lambda _: None)
    report = Report()
    began = time.monotonic()
    code = Exit.STOPPED
    try:
        run(replay_log(report, data_dir, database_url, from_snapshot=from_snapshot, quiet=json))
        report.ok = True
    except SettingsError as error:
        raise CommandError(str(error)) from None
    except (JournalError, EngineError, OSError) as error:
        code = Exit.LOG_DAMAGED if isinstance(error, SnapshotError) else exit_code_of(error)
        if isinstance(error, OSError):
            code = Exit.DATABASE
        report.error = str(error) or type(error).__name__
    except Exception as error:
        code = exit_code_of(error)
        if code == Exit.FAULT:
            raise
        report.error = str(error)
    report.seconds = round(time.monotonic() - began, 3)
    if json:
        print_json({**asdict(report), "exit_code": int(code)})
    else:
        _print(report)
    return int(code)


def _print(report: "Report") -> None:
    rows: list[tuple[str, str]] = [
        ("log", report.source),
        ("from", report.start),
        ("rows read and chained", f"{report.rows:,}"),
        ("batches replayed", f"{report.batches:,}"),
        ("commands in them", f"{report.items:,}"),
        ("takeovers", f"{report.takeovers:,}"),
        ("digests compared", f"{report.digests:,}"),
        ("snapshots compared", " ".join(str(seq) for seq in report.snapshots) or "0"),
        ("newest row", f"{report.seq:,}"),
        ("its hash", report.log_hash),
        ("accounts", f"{report.accounts:,}"),
        ("transfers", f"{report.transfers:,}"),
        ("of them pending", f"{report.pending:,}"),
        ("state hash", report.state_hash),
        ("seconds", f"{report.seconds:.1f}"),
    ]
    print_table("", ("", "verified"), [row for row in rows if row[1]])
    if report.ok:
        print("the log is whole, and it gives the state it gave")
    else:
        sys.stderr.write(f"tongbao: {report.error}\n")
