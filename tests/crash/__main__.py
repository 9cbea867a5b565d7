"""`python -m tests.crash --kills N --seed S`: kill, restart and audit, with a line of progress and a summary."""

import argparse
import sys
import tempfile
import time
from pathlib import Path

from tests.crash.run import Options, run


def main() -> int:
    """Return 0 when nothing was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.crash", description=__doc__)
    parser.add_argument("--kills", type=int, default=25, help="kills with -9 (25)")
    parser.add_argument("--seed", type=int, default=None, help="decides the schedule and the workload (the time)")
    parser.add_argument("--clients", type=int, default=4, help="client processes (4)")
    parser.add_argument("--desks", type=int, default=2, help="client processes that trade, at most 4 (2)")
    parser.add_argument("--rate", type=float, default=350.0, help="requests per second and client (350)")
    parser.add_argument("--external", action="store_true", help="one external PostgreSQL instead of a private one")
    parser.add_argument("--fault", default="", help="plant a fault (see faulty_server.py): it must be found")
    parser.add_argument("--directory", type=Path, default=None, help="where to work; kept (a temporary one)")
    given = parser.parse_args()
    seed = given.seed if given.seed is not None else time.time_ns() % 1_000_000
    directory = given.directory or Path(tempfile.mkdtemp(prefix="tongbao-crash-"))
    print(f"seed {seed}, {given.kills} kills, in {directory}", flush=True)
    options = Options(
        directory,
        seed,
        kills=given.kills,
        clients=given.clients,
        desks=given.desks,
        rate=given.rate,
        external=given.external,
        fault=given.fault,
    )
    summary = run(options, _say, keep=given.directory is not None)
    if sys.stdout.isatty():
        print()
    print(summary.table())
    if len(summary.findings):
        print(f"\nTo do the same again: python -m tests.crash --kills {given.kills} --seed {seed}\nKept: {directory}")
    return 1 if len(summary.findings) else 0


def _say(line: str) -> None:
    """One line that is written over on a terminal, and one after another elsewhere."""
    if sys.stdout.isatty():
        print(f"\r{line[:150]:<150}", end="", flush=True)
    else:
        print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
