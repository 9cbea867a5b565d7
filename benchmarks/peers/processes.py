"""CPU time and memory of a group of processes."""

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path

TICK = os.sysconf("SC_CLK_TCK")


def family(root: int) -> list[int]:
    """Return a process and everything that descends from it."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                parents.setdefault(int(_fields(int(entry.name))[1]), []).append(int(entry.name))
    found, todo = [], [root]
    while todo:
        found.append(todo.pop())
        todo += parents.get(found[-1], [])
    return found


def cpu_seconds(pids: Iterable[int]) -> float:
    """User and system time of processes and of their children that have ended."""
    total = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            # Behind the name: state, parent, … utime, stime, cutime, cstime are the 12th to the 15th.
            total += sum(int(value) for value in _fields(pid)[11:15])
    return total / TICK


def memory_mib(pids: Iterable[int]) -> float:
    """Resident memory; pages that several processes share are shared out between them."""
    total = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1])
    return total / 1024


def _fields(pid: int) -> list[str]:
    # The program's name, in brackets, may hold blanks.
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
