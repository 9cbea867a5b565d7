"""Facts of the machine in every result file; GC kept out of the timed calls."""

from typing import Any

from loadtest.machine import machine


def pytest_benchmark_update_machine_info(config: object, machine_info: dict[str, Any]) -> None:
    """Say where it was measured, beside what the plug-in knows."""
    del config
    machine_info["tongbao"] = machine()
