"""The machine that something was measured on."""

import os
import platform
import subprocess
from pathlib import Path
from typing import Any


def machine() -> dict[str, Any]:
    """The facts without which a figure means nothing."""
    cpu = next((line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")), ":")
    memory = next(line for line in Path("/proc/meminfo").read_text().splitlines() if line.startswith("MemTotal"))
    return {
        "cpu": cpu.partition(":")[2].strip(),
        "cores": os.cpu_count(),
        "memory_gib": round(int(memory.split()[1]) / 2**20, 1),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "commit": revision(),
        "load_average_before": os.getloadavg()[0],
        "huge_pages": Path("/sys/kernel/mm/transparent_hugepage/enabled").read_text().strip(),
    }


def revision() -> str:
    """Which revision of Tongbao this is, whatever directory one stands in; "" when installed, or without git."""
    here = Path(__file__).resolve()

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", "-C", str(here.parent), *arguments], capture_output=True, text=True, check=True
        ).stdout

    try:
        # An environment may lie inside somebody else's clone, whose revision says nothing about us.
        git("ls-files", "--error-unmatch", here.name)
        return git("describe", "--always", "--dirty").strip()
    except (OSError, subprocess.CalledProcessError):
        return ""
