"""Instructions of the compiled path, counted by callgrind, beside those that are written down.

Times differ from run to run; instructions do not. So a stored count tells a change of a few per cent on any machine
that has the same compiler, busy or not. What it does not tell is time: a cache miss is one instruction. The modules are
those that wheels hold (no -march), which valgrind can run everywhere.
"""

import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

import engine
import server.wire

STAGES: tuple[tuple[str, Path, str], ...] = (
    # Name, the module's directory and the end of the symbol that Python calls.
    ("parse", Path(server.wire.__file__).parent, r"__pyx_pw_6server_4wire_6parser_6Parser_\d+parse"),
    ("survey", Path(server.wire.__file__).parents[1], r"__pyx_pw_6server_7batches_\d+survey"),
    ("apply", Path(engine.__file__).parent, r"__pyx_pw_6engine_7machine_6Engine_\d+apply"),
    ("log encode", Path(engine.__file__).parent, r"__pyx_pw_6engine_10log_record_\d+encode"),
    ("reply encode", Path(server.wire.__file__).parent, r"__pyx_pw_6server_4wire_6encode_\d+encode"),
    ("clear", Path(engine.__file__).parent, r"__pyx_pw_6engine_8requests_\d+clear"),
)
PARTS: tuple[tuple[str, str, str], ...] = (("risk", "apply", "__pyx_f_6engine_4risk_7verdict_"),)
"""Inside a stage: name, the stage, and how the functions' names begin that others call."""
TOLERANCE = 0.03
EXPECTED = Path(__file__).with_name("counts.json")

Cases = dict[str, dict[str, float]]


class NotHereError(RuntimeError):
    """Instructions cannot be counted here; the text says why."""


def facts() -> dict[str, str]:
    """Return what the counts depend on besides our code."""
    module = next(Path(engine.__file__).parent.glob("machine.*.so"))
    compiler = re.search(rb"GCC: \([^)]*\) ([\d.]+)", module.read_bytes())
    return {
        "compiler": f"gcc {compiler[1].decode()}" if compiler else "unknown",
        "processor": platform.machine(),
        "python": ".".join(platform.python_version_tuple()[:2]),
        "cython": version("cython"),
        "zstandard": version("zstandard"),
    }


def symbols() -> dict[str, str]:
    """Return the symbol of each stage."""
    found = {}
    for name, directory, pattern in STAGES:
        wanted = re.compile(rb"\0(" + pattern.encode() + rb")\0")
        for module in directory.glob("*.so"):
            match = wanted.search(module.read_bytes())
            if match:
                found[name] = match[1].decode()
                break
        else:
            raise NotHereError(f"{directory} has no compiled function {pattern}, or it is stripped")
    return found


def count() -> Cases:
    """Run the compiled path under callgrind; return instructions a message by case and stage."""
    if shutil.which("valgrind") is None:
        raise NotHereError("valgrind is not installed")
    stages = symbols()
    with tempfile.TemporaryDirectory() as directory:
        out = Path(directory) / "callgrind.out"
        command = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}", "--collect-atstart=no",
                   "--dump-before=getppid", "--dump-line=no", "--compress-strings=no", "--compress-pos=no",
                   *(f"--toggle-collect={symbol}" for symbol in stages.values()),
                   sys.executable, "-m", "benchmarks.profiling.counted"]  # fmt: skip
        # Numba's kernels for a processor that valgrind knows; no threads; the same hashes in every run.
        environment = os.environ | {
            "NUMBA_CPU_NAME": "x86-64", "NUMBA_CPU_FEATURES": "", "OPENBLAS_NUM_THREADS": "1", "PYTHONHASHSEED": "0",
        }  # fmt: skip
        # Once without callgrind: Numba's kernels are then compiled and kept, and a fault has its own words.
        subprocess.run(command[-3:], env=environment, stdout=subprocess.DEVNULL, check=True)
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise NotHereError(f"callgrind ended with {done.returncode}: {done.stderr[-1500:]}")
        said = json.loads(done.stdout)
        cases: Cases = {}
        for place, case in enumerate(said["cases"]):
            # Dumps come in pairs: what was before a case's rounds, and the rounds.
            inclusive = read_callgrind(Path(f"{out}.{2 * place + 2}").read_text("utf-8"))
            cases[case] = {name: inclusive[symbol] / said["messages"] for name, symbol in stages.items()}
            for part, stage, prefix in PARTS:
                inside = sum(cost for name, cost in inclusive.items() if name.startswith(prefix))
                if inside:
                    cases[case][f"{stage}: {part}"] = inside / said["messages"]
        return {case: {name: round(value, 1) for name, value in one.items() if value} for case, one in cases.items()}


def read_callgrind(text: str) -> Counter[str]:
    """Return instructions by function, its callees' included, of a callgrind file without compression."""
    inclusive: Counter[str] = Counter()
    function = ""
    for line in text.splitlines():
        if line.startswith("fn="):
            function = line[3:].partition("'")[0]
        elif line[:1].isdigit():
            inclusive[function] += int(line.split()[1])
    return inclusive


@dataclass(frozen=True, slots=True)
class Row:
    """One stage of one case."""

    case: str
    stage: str
    expected: float
    counted: float

    @property
    def more(self) -> float:
        """By which share there are more."""
        return self.counted / self.expected - 1 if self.expected else float("inf")


def compare(cases: Cases, expected: Cases) -> list[Row]:
    """Put counts beside those that are written down; a stage that is on one side only has 0 on the other."""
    rows = []
    for case in expected | cases:
        before, now = expected.get(case, {}), cases.get(case, {})
        rows += [Row(case, stage, before.get(stage, 0.0), now.get(stage, 0.0)) for stage in before | now]
    return rows


def show(rows: list[Row], tolerance: float) -> None:
    """Print a table."""
    table = Table(title="instructions a message")
    for name in ("case", "stage", "written down", "counted", ""):
        table.add_column(name, justify="left" if name in {"case", "stage", ""} else "right")
    for row in rows:
        word = "more" if row.more > tolerance else "less" if row.more < -tolerance else ""
        change = f"{word} {100 * row.more:+.1f} %" if word else ""
        style = "red" if word == "more" else ""
        table.add_row(row.case, row.stage, f"{row.expected:,.1f}", f"{row.counted:,.1f}", change, style=style)
    Console(width=None if sys.stdout.isatty() else 120).print(table)


def written(path: Path) -> dict[str, Any]:
    """Read what is written down."""
    found: dict[str, Any] = json.loads(path.read_text("utf-8")) if path.exists() else {}
    return found


def write(path: Path, cases: Cases) -> None:
    """Write counts down."""
    path.write_text(json.dumps({"facts": facts(), "cases": cases}, indent=1) + "\n", "utf-8")
