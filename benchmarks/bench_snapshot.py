"""What clients feel of a snapshot: latency under an open loop while one is taken, beside the same load without.

The server holds a state of so many bytes and gets 20,000 transfers a second on a fixed schedule, so a stall shows in
every request that was due meanwhile. The snapshot is asked for as anybody would (`take_snapshot`, which `tongbao
snapshot` calls) when the load has run for a second; its window ends when the server says that it is verified on disk.
Then the same load runs without one for as long.
"""

import json
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.figures import Figure, main
from benchmarks.serving import Serving
from loadtest.generator import run
from loadtest.loop import Loop
from loadtest.workload import Workload

ACCOUNTS = 10_000
TRANSFER_BYTES = 112
"""What a transfer takes of the state; see engine.limits."""
FILL_ITEMS = 8_000
RATE = 20_000.0
CONNECTIONS = 16
WARM_UP_SECONDS = 1.0
WINDOW_SECONDS_MIN = 2.0
"""A shorter window would hold too few requests for its p99.9."""
SNAPSHOT_SECONDS_MAX = 300.0
POLL_SECONDS = 0.05


class Asking(threading.Thread):
    """Asks for a snapshot and waits for it, beside the load: while the loop runs it needs no Python."""

    def __init__(self, server: Serving) -> None:
        super().__init__(daemon=True)
        self.seconds = 0.0
        """From asking to verified on disk; 0 until then."""
        self._server = server

    def run(self) -> None:
        began = time.monotonic()
        wanted = self._server.ask("take_snapshot")["log_seq"]
        while time.monotonic() - began < SNAPSHOT_SECONDS_MAX:
            newest = self._server.ask("server_status")["snapshot"]
            if newest["seq"] >= wanted and not newest["running"]:
                self.seconds = time.monotonic() - began
                return
            time.sleep(POLL_SECONDS)


def measure(full: bool) -> Iterator[Figure]:
    """Yield the figures; the full size is a state of 2 GiB, the other 200 MiB."""
    state = (2 << 30) if full else (200 << 20)
    with tempfile.TemporaryDirectory() as directory:
        # None by itself: only the one that is asked for.
        server = Serving(Path(directory), snapshot_every_items=str(2**40))
        server.start()
        try:
            _fill(server, state)
            resident = server.resident_bytes()
            during, asking = _during(server)
            seconds = max(asking.seconds, WINDOW_SECONDS_MIN)
            without = _load(server, 2, WARM_UP_SECONDS + seconds)
            taken = _taken(server)
        finally:
            server.discard()
    size = f"{taken['bytes'] / 2**20:,.0f} MiB"
    yield Figure(
        "snapshot/stall p99.9", during["latency_us"]["p99_9"] / 1e3, "ms",
        f"{size}, {RATE:,.0f}/s, {during['seconds']:.1f} s, {_percentiles(during)}",
        during | {"snapshot": taken, "resident_bytes": resident},
    )  # fmt: skip
    yield Figure(
        "snapshot/without one p99.9", without["latency_us"]["p99_9"] / 1e3, "ms",
        f"the same load for {without['seconds']:.1f} s, {_percentiles(without)}", without,
    )  # fmt: skip
    yield Figure("snapshot/stall max", during["latency_us"]["max"] / 1e3, "ms", "of any request while one is taken")
    yield Figure("snapshot/fork", taken["ms"], "ms", "the server itself stands still, as it logs it")
    yield Figure(
        "snapshot/seconds", asking.seconds, "s", f"asked for to verified on disk; {resident / 2**20:,.0f} MiB resident"
    )


def _fill(server: Serving, state: int) -> None:
    """Create accounts and so many transfers that the state has about so many bytes."""
    count = state // TRANSFER_BYTES // FILL_ITEMS
    result = run(
        Workload(seed=0, accounts=ACCOUNTS), port=server.port, connections=2, depth=2, items=FILL_ITEMS, count=count,
        seconds=3600.0, warm_up=0.0,
    )  # fmt: skip
    if not result["ok"]:
        raise RuntimeError(f"the transfers were not all created: {result}")


def _during(server: Serving) -> tuple[dict[str, Any], Asking]:
    """Run the load while a snapshot is taken, and end it with the snapshot."""
    asking = Asking(server)

    def look(loop: Loop) -> None:
        if loop.elapsed >= WARM_UP_SECONDS and asking.ident is None:
            asking.start()
        elif asking.ident is not None and not asking.is_alive():
            loop.stop()

    result = _load(server, 1, WARM_UP_SECONDS + SNAPSHOT_SECONDS_MAX, look)
    if not asking.seconds:
        raise RuntimeError(f"there was no snapshot within {SNAPSHOT_SECONDS_MAX:.0f} s")
    return result, asking


def _load(server: Serving, seed: int, seconds: float, look: Any = None) -> dict[str, Any]:
    result = run(
        Workload(seed=seed, accounts=ACCOUNTS), port=server.port, connections=CONNECTIONS, rate=RATE, seconds=seconds,
        warm_up=WARM_UP_SECONDS, accounts=False, look=look,
    )  # fmt: skip
    if not result["ok"]:
        raise RuntimeError(f"the load: {result}")
    return result


def _taken(server: Serving) -> dict[str, Any]:
    """What the server logged of its snapshot."""
    lines = (server.directory / "server.log").read_text().splitlines()
    (event,) = [event for event in map(json.loads, lines) if event["event"] == "snapshot_taken"]
    return dict(event)


def _percentiles(result: dict[str, Any]) -> str:
    latency = result["latency_us"]
    late = result["send_lag_us"]["max"] / 1e3
    return (
        f"p50 {latency['p50'] / 1e3:.2f}, p99 {latency['p99'] / 1e3:.2f}, max {latency['max'] / 1e3:.2f}; "
        f"requests sent at most {late:.2f} late"
    )


if __name__ == "__main__":
    main(__doc__, measure, rounds_full=3)
