"""How far a follower is behind a leader under full load: the age of each entry when the follower had applied it.

Leader, PostgreSQL, follower and load generator share the machine. The age counts from the time that the leader gave the
entry, so the commit is in it. It is the follower's own histogram (`tongbao_follow_lag_seconds`) between two looks.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.figures import Figure, main
from benchmarks.histograms import quantile, scrape
from benchmarks.serving import START_SECONDS, Serving
from loadtest.generator import run
from loadtest.workload import Workload

LAG = "tongbao_follow_lag_seconds"
LOADS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("16 x 64", {"connections": 16, "depth": 64}),
    ("batches of 1,000", {"connections": 4, "depth": 4, "items": 1_000}),
    ("open 10 k/s", {"connections": 4, "rate": 10_000.0, "tick": 0.00025}),
)


def measure(full: bool) -> Iterator[Figure]:
    """Yield the figures."""
    seconds = 20.0 if full else 5.0
    with tempfile.TemporaryDirectory() as directory:
        server = Serving(Path(directory))
        server.start()
        try:
            with _following(Path(directory)) as data_dir:
                for seed, (name, load) in enumerate(LOADS, start=1):
                    workload = Workload(seed=seed, accounts=10_000)
                    before = scrape(data_dir, LAG)
                    result = run(workload, port=server.port, seconds=seconds, warm_up=1.0, accounts=seed == 1, **load)
                    if not result["ok"]:
                        raise RuntimeError(f"{name}: {result}")
                    time.sleep(0.5)
                    after = scrape(data_dir, LAG)
                    p50, p99 = (quantile(before, after, part) * 1e3 for part in (0.5, 0.99))
                    note = f"p50 {p50:.1f} ms, at {result['transfers_per_second']:,.0f} transfers/s"
                    yield Figure(f"follower/{name} lag p99", p99, "ms", note)
        finally:
            server.stop()


@contextmanager
def _following(directory: Path) -> Iterator[Path]:
    """Run a follower beside the server; give its data directory when it has caught up."""
    data_dir = directory / "follower"
    with (directory / "follower.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "server.cli", "follow", "--leader-dir", str(directory / "data"),
             "--data-dir", str(data_dir), "--http-port", "0"],
            env=os.environ, stdout=log, stderr=log,
        )  # fmt: skip
    try:
        until = time.monotonic() + START_SECONDS
        while not (data_dir / "server.json").exists():
            if process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"the follower did not start; see {directory / 'follower.log'}")
            time.sleep(0.02)
        yield data_dir
    finally:
        process.terminate()
        process.wait(60)


if __name__ == "__main__":
    main(__doc__, measure)
