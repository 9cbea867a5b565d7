"""Restart after kill -9 with millions of transfers: from the log alone, and from a snapshot and the tail behind it.

Also what a transfer and an account take of memory, all included: resident memory of the server after, less before,
divided by how many there are.
"""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.figures import Figure, main
from benchmarks.serving import Serving
from loadtest.generator import run
from loadtest.workload import Workload

ACCOUNTS = 1_000_000
BATCH = 8_000


def measure(full: bool) -> Iterator[Figure]:
    """Yield the figures; the full size is 10 million transfers."""
    transfers = 10_000_000 if full else 1_000_000
    accounts = ACCOUNTS if full else ACCOUNTS // 10
    size = "10 M" if full else "1 M"
    workload = Workload(seed=7, accounts=accounts)
    with tempfile.TemporaryDirectory() as directory:
        # No snapshot by itself: first the log alone.
        server = Serving(Path(directory), snapshot_every_items=str(2**40))
        server.start()
        before = server.resident_bytes()
        run(workload, port=server.port, connections=1, depth=1, items=1, count=1, seconds=3600.0, warm_up=0.0)
        with_accounts = server.resident_bytes()
        yield Figure("memory/bytes per account", (with_accounts - before) / accounts, "bytes", f"{accounts:,} accounts")
        result = run(
            workload, port=server.port, connections=2, depth=2, items=BATCH, count=transfers // BATCH, first=1,
            seconds=3600.0, warm_up=0.0, accounts=False,
        )  # fmt: skip
        if not result["ok"]:
            raise RuntimeError(f"the transfers were not all created: {result}")
        after = server.resident_bytes()
        yield Figure(
            "memory/bytes per transfer",
            (after - with_accounts) / transfers,
            "bytes",
            f"{size} transfers, buffers included",
        )
        server.kill()
        seconds = server.start()
        yield Figure(f"recovery/{size} transfers from the log", seconds, "s", "kill -9 to the first ping")
        server.stop()  # takes a snapshot
        seconds = server.start()
        server.kill()
        seconds = server.start()
        yield Figure(f"recovery/{size} transfers", seconds, "s", "from the snapshot, kill -9 to the first ping")
        server.kill()
        shutil.rmtree(Path(directory) / "data", ignore_errors=True)


if __name__ == "__main__":
    main(__doc__, measure)
