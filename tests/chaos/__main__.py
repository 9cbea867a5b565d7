"""`python -m tests.chaos --minutes M --seed S`: real servers, real faults, the audit after each."""

import argparse
import json
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

from tests.chaos.faults import MINUTE, SHORT, Fault
from tests.chaos.run import run
from tests.crash.run import Options


def main() -> int:
    """Return 0 when nothing was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0, help="how long faults go on (10)")
    parser.add_argument("--seed", type=int, default=None, help="decides faults, moments and workload (the time)")
    parser.add_argument("--pause", type=float, default=30.0, help="seconds for which a leader is stopped (30)")
    parser.add_argument("--short", action="store_true", help="only the few faults of the run in CI")
    names = [each.name for each in Fault]
    parser.add_argument("--only", metavar="FAULT", choices=names, help=f"one fault only: {', '.join(names)}")
    parser.add_argument("--rate", type=float, default=150.0, help="requests per second and client (150)")
    parser.add_argument("--json", action="store_true", help="print the result as one JSON document")
    parser.add_argument("--directory", type=Path, default=None, help="where to work (a temporary one)")
    given = parser.parse_args()
    seed = given.seed if given.seed is not None else time.time_ns() % 1_000_000
    directory = given.directory or Path(tempfile.mkdtemp(prefix="tongbao-chaos-"))
    say = _say_aside if given.json else _say
    say(f"seed {seed}, {given.minutes} minutes, in {directory}")
    faults = [Fault[given.only]] if given.only else SHORT if given.short else tuple(Fault)
    options = Options(directory, seed, clients=2, desks=2, rate=given.rate)
    summary, happened = run(options, given.minutes * MINUTE, faults, given.pause, say)
    if given.json:
        findings = {"findings": len(summary.findings), "report": summary.findings.report()}
        counted = {"seed": seed, "seconds": round(summary.seconds), "rounds": summary.rounds, "rows": summary.rows}
        print(json.dumps({**counted, "transfers": summary.transfers, **asdict(happened), **findings}, indent=1))
    else:
        print("\n".join(happened.lines()))
        print(summary.table())
    if len(summary.findings):
        flags = f"--minutes {given.minutes} --seed {seed} --pause {given.pause} --rate {given.rate}"
        which = f" --only {given.only}" if given.only else " --short" if given.short else ""
        say(f"\nTo do the same again: python -m tests.chaos {flags}{which}\nKept: {directory}")
    return 1 if len(summary.findings) else 0


def _say(line: str) -> None:
    print(line, flush=True)


def _say_aside(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
