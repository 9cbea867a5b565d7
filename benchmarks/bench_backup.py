"""How long a backup, its check and its restoring take: a log of large batches, and one of single transfers.

Everything is on one disk: the private PostgreSQL that is read, the backup, and the new cluster. A restore is counted
from an empty directory to a stopped, proven cluster: making it, loading, replaying, the state's hash, the invariants.
"""

import asyncio
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from benchmarks.figures import Figure, main
from engine import ACCOUNT_COMMAND, TRANSFER_COMMAND, Batch, Engine, Limits, log_record
from engine.requests import append_accounts, append_transfers, clear
from server.backup.checking import Checked, check_backup
from server.backup.placing import restore_backup
from server.backup.restoring import Restored
from server.backup.writing import Made, writing
from server.cli.backups import make_backup
from server.journal import Journal, PrivatePostgres
from server.snapshots import Manifest, Snapshots

ACCOUNTS = 100_000
DIGEST_EVERY = 64
LIMITS = Limits(accounts_max=2**18, transfers_max=2**25, burnt_max=2**16, balances_max=2**16)


class _Log:
    """A data directory with a log in it, and the engine that wrote it."""

    def __init__(self, data_dir: Path, journal: Journal) -> None:
        self.data_dir = data_dir
        self.journal = journal
        self.engine = Engine(LIMITS)
        self._batch = Batch()
        self._random = np.random.default_rng(7)
        self._next = 1

    async def _log(self) -> None:
        at = max(time.time_ns(), self.engine.last_timestamp + 1)
        digest = self.engine.digest() if self.journal.head.seq % DIGEST_EVERY == 0 else None
        seq = await self.journal.append(at, log_record.encode(self._batch, at), digest)
        self.engine.batches = seq - 1
        self.engine.apply(self._batch, at)
        clear(self._batch)

    async def accounts(self) -> None:
        """Make the accounts."""
        for first in range(1, ACCOUNTS + 1, 8_000):
            accounts = np.zeros(min(8_000, ACCOUNTS + 1 - first), ACCOUNT_COMMAND)
            accounts["id"] = np.arange(first, first + len(accounts))
            accounts["ledger"], accounts["code"] = 156, 1
            append_accounts(self._batch, accounts)
            await self._log()

    async def transfers(self, rows: int, items: int) -> None:
        """Log batches of `items` transfers between random accounts; ids are random, as clients' are in part."""
        for _ in range(rows):
            transfers = np.zeros(items, TRANSFER_COMMAND)
            transfers["id_lo"] = self._random.integers(1, 2**62, items)
            transfers["id_hi"] = np.arange(self._next, self._next + items)
            self._next += items
            debit = self._random.integers(1, ACCOUNTS + 1, items)
            transfers["debit_account_id"] = debit
            transfers["credit_account_id"] = debit % ACCOUNTS + 1
            transfers["amount"] = self._random.integers(1, 1_000_000, items)
            transfers["ledger"], transfers["code"] = 156, 1
            append_transfers(self._batch, transfers)
            await self._log()

    def snapshot(self) -> None:
        """Take one, as a server does."""
        snapshots = Snapshots(self.data_dir / "snapshots", 2)
        snapshots.prepare()
        head, path = self.journal.head, snapshots.path(self.journal.head.seq)
        state = self.engine.snapshot(path)
        now = datetime.now(UTC).isoformat(timespec="seconds")
        digest, last = self.engine.digest().hex(), self.engine.last_timestamp
        size = path.stat().st_size
        snapshots.publish(Manifest(head.seq, head.hash.hex(), state.hex(), digest, last, log_record.FORMAT, size, now))


async def _backup(directory: Path, data_dir: Path) -> tuple[float, Made]:
    made = Made()
    began = time.perf_counter()
    with writing(directory):
        await make_backup(directory, data_dir, "", made, from_start=True, advance=lambda _, __: None)
    return time.perf_counter() - began, made


async def _measured(name: str, root: Path, rows: int, items: int) -> list[Figure]:
    figures = []
    postgres = PrivatePostgres(root / "data", prime=False)
    journal = await Journal.open(await postgres.start(supervise=False), format=log_record.FORMAT)
    await journal.take_over()
    log = _Log(root / "data", journal)
    await log.accounts()
    await log.transfers(rows - rows // 10, items)
    log.snapshot()
    await log.transfers(rows // 10, items)
    state = log.engine.state_hash().hex()

    seconds, made = await _backup(root / "backup", root / "data")
    copied = sum(path.stat().st_size for path in (root / "backup" / "log").iterdir())
    note = f"{made.rows:,} rows, {copied / 1e6:,.0f} MB of them, {(made.bytes - copied) / 1e6:,.0f} MB of snapshot"
    figures.append(Figure(f"backup/{name}", seconds, "s", note))
    figures.append(Figure(f"backup/{name}: rows a second", made.rows / seconds, "/s"))
    figures.append(Figure(f"backup/{name}: rate", made.bytes / seconds / 1e6, "MB/s"))
    await log.transfers(rows // 50, items)
    seconds, made = await _backup(root / "backup", root / "data")
    figures.append(Figure(f"backup/{name}: again", seconds, "s", f"{made.rows:,} rows more"))
    await journal.close()
    await postgres.stop()

    checked = Checked()
    began = time.perf_counter()
    await asyncio.to_thread(check_backup, root / "backup", checked)
    seconds = time.perf_counter() - began
    figures.append(Figure(f"backup/{name}: verify-only", seconds, "s", f"{checked.bytes / seconds / 1e6:,.0f} MB/s"))
    for what, kept in (("from the snapshot", True), ("from the first row", False)):
        if not kept:
            for path in (root / "backup" / "snapshots").iterdir():
                path.unlink()
        restored = Restored()
        began = time.perf_counter()
        await restore_backup(root / "backup", root / what, "", restored, LIMITS, to_seq=checked.last - rows // 50)
        seconds = time.perf_counter() - began
        if restored.state_hash != state:
            raise RuntimeError("the restored state is another")
        rate = f"{restored.rows / seconds:,.0f} rows/s, {restored.bytes / seconds / 1e6:,.0f} MB/s"
        note = f"{restored.transfers:,} transfers, {restored.items:,} commands replayed; {rate}"
        figures.append(Figure(f"restore/{name} {what}", seconds, "s", note))
    return figures


def measure(full: bool) -> Iterator[Figure]:
    """Yield the figures; the full size is 10 million transfers."""
    for name, rows, items in (
        ("10 M in batches", 1_250, 8_000) if full else ("1 M in batches", 125, 8_000),
        ("100 k one by one", 100_000, 1) if full else ("10 k one by one", 10_000, 1),
    ):
        with tempfile.TemporaryDirectory(prefix="tongbao-") as directory:
            yield from asyncio.run(_measured(name, Path(directory), rows, items))


if __name__ == "__main__":
    main(__doc__, measure)
