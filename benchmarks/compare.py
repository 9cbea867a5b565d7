"""Two builds side by side: `python -m benchmarks.compare --base v0.1.0`, or `make bench-compare BASE=…`.

The older one is checked out and built under build/compare, once. Then both run the same suite (benchmarks/suite, as it
is here), by turns, each turn in fresh processes and the order changing from turn to turn, so that a slow moment of the
machine hits both. A case is judged by two ratios, new time over old: that of the best rounds of all turns, and the
median over turns of the ratio within each. Only what is slower by both is a regression: noise makes one of them large,
a slower program both. No absolute time is ever judged.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from loadtest.machine import machine

ROOT = Path(__file__).parents[1]
SUITE = ROOT / "benchmarks" / "suite" / "test_hot_paths.py"
BUILDS = ROOT / "build" / "compare"
SLOWER_MAX = 1.10
"""A case may take so much longer."""


class Case(NamedTuple):
    """One case of the suite in both builds; seconds of the best round in each turn."""

    name: str
    old: list[float]
    new: list[float]

    @property
    def best(self) -> float:
        """New over old, by the best rounds of all turns."""
        return min(self.new) / min(self.old)

    @property
    def middle(self) -> float:
        """New over old within a turn, the median over turns."""
        return median(new / old for new, old in zip(self.new, self.old, strict=True))

    def slower(self, most: float) -> bool:
        """Whether the new build is clearly slower."""
        return self.best > most and self.middle > most

    def faster(self, most: float) -> bool:
        """Whether it is clearly faster."""
        return self.best < 1 / most and self.middle < 1 / most


def newest_release() -> str:
    """Return the newest tag that is a version, else the commit before this one."""
    tags = _git("tag", "--list", "v*", "--sort=-v:refname", "--merged", "HEAD").split()
    return tags[0] if tags else "HEAD~1"


def build(base: str) -> Path:
    """Check a commit out and compile it, unless that was done before; return its directory."""
    commit = _git("rev-parse", "--verify", f"{base}^{{commit}}")
    directory = BUILDS / commit[:12]
    if not (directory / ".built").exists():
        directory.mkdir(parents=True, exist_ok=True)
        archive = subprocess.run(["git", "-C", ROOT, "archive", commit], capture_output=True, check=True)
        subprocess.run(["tar", "-x", "-C", directory], input=archive.stdout, check=True)
        print(f"building {base} ({commit[:12]}): minutes, once", file=sys.stderr, flush=True)
        command = [sys.executable, "setup.py", "--quiet", "build_ext", "--inplace", "--parallel", "2"]
        subprocess.run(command, cwd=directory, check=True)
        (directory / ".built").touch()
    return directory


def turn(directory: Path, results: Path, select: str) -> dict[str, float]:
    """Run the suite once in a build; return the best round's seconds of each case that this build can run."""
    # A turn started from a test must not think that it is a worker of that test run, which would time nothing.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    environment["PYTHONPATH"] = str(directory)
    command = [sys.executable, "-P", "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--rootdir={ROOT}", str(SUITE)]
    command += ["--import-mode=importlib", "--noconftest", "--benchmark-disable-gc", f"--benchmark-json={results}"]
    if select:
        command += ["-k", select]
    done = subprocess.run(command, cwd=directory, env=environment, capture_output=True, text=True, check=False)
    if done.returncode not in {0, 1} or not results.exists():
        raise RuntimeError(f"{directory}: {done.stdout[-3000:]}{done.stderr[-1000:]}")
    found: dict[str, Any] = json.loads(results.read_text("utf-8"))
    for each in found["benchmarks"]:
        if not Path(each["extra_info"]["build"]).is_relative_to(directory):
            raise RuntimeError(f"{directory} was to be measured, and {each['extra_info']['build']} was")
    return {each["name"]: each["stats"]["min"] for each in found["benchmarks"]}


def compare(old: Path, new: Path, turns: int, select: str) -> list[Case]:
    """Run both by turns."""
    times: dict[str, tuple[list[float], list[float]]] = {}
    results = BUILDS / "results.json"
    for number in range(turns):
        found: dict[Path, dict[str, float]] = {}
        for directory in (old, new) if number % 2 == 0 else (new, old):
            results.unlink(missing_ok=True)
            found[directory] = turn(directory, results, select)
            print(f"{number + 1}/{turns} {'old' if directory == old else 'new'}", file=sys.stderr, flush=True)
        for name in found[old].keys() & found[new].keys():
            before, after = times.setdefault(name, ([], []))
            before.append(found[old][name])
            after.append(found[new][name])
    return [Case(name, before, after) for name, (before, after) in sorted(times.items())]


def show(cases: Sequence[Case], most: float, base: str) -> None:
    """Print the table."""
    table = Table(title=f"this build over {base}, time by time")
    for name in ("case", "best rounds", "within turns", "verdict"):
        table.add_column(name, justify="left" if name in {"case", "verdict"} else "right")
    for case in cases:
        verdict = "slower" if case.slower(most) else "faster" if case.faster(most) else ""
        style = {"slower": "red", "faster": "green", "": ""}[verdict]
        table.add_row(escape(case.name), f"{case.best:.3f}", f"{case.middle:.3f}", verdict, style=style)
    Console(width=None if sys.stdout.isatty() else 120).print(table)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; exit code 1 says that something has become slower, 2 that nothing could be compared."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.compare", description=__doc__)
    parser.add_argument("--base", help="commit or tag of the older build (the newest release, else HEAD~1)")
    parser.add_argument("--turns", type=int, default=5, help="how often both run the suite (5)")
    parser.add_argument(
        "--most", type=float, default=SLOWER_MAX, help=f"how much longer a case may take ({SLOWER_MAX})"
    )
    parser.add_argument("-k", dest="select", default="", help="cases, as pytest's -k takes them")
    parser.add_argument("--json", type=Path, help="write times and ratios here")
    given = parser.parse_args(arguments)
    if given.turns < 1:
        parser.error("--turns: at least 1")
    if given.most <= 1:
        parser.error("--most: more than 1")
    base = given.base or newest_release()
    cases = compare(build(base), ROOT, given.turns, given.select)
    if not cases:
        print("no case runs in both builds", file=sys.stderr)
        return 2
    show(cases, given.most, base)
    slower = [case.name for case in cases if case.slower(given.most)]
    if given.json is not None:
        rows = [
            case._asdict() | {"best": case.best, "middle": case.middle, "slower": case.name in slower} for case in cases
        ]
        written = {"base": base, "most": given.most, "machine": machine(), "cases": rows}
        given.json.write_text(json.dumps(written, indent=1) + "\n", "utf-8")
    for name in slower:
        print(f"slower: {name}", file=sys.stderr)
    return 1 if slower else 0


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", "-C", ROOT, *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"git {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
