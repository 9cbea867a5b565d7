"""`python -m tests.chaos.corruption --flips N --seed S`: bits flip in the log and in snapshots; every one is noticed.

A log and two snapshots are written through the real journal into a real PostgreSQL. Then damage is done to copies:

- one bit of any column of any row, read by what reads the log: recovery, a follower, `tongbao verify`;
- one bit of a snapshot or of its manifest: recovery, `tongbao verify`;
- one bit of a backup: its verification;
- rows left out, swapped, put in each other's place, cut off at the end; snapshots cut short or swapped.

What must be true: whoever reads all of it says so and names the place; a start either refuses, or has the very state
that the leader had (a damaged snapshot is set aside for the one before it). Most is done in this process with the
server's own readers over rows in memory; what a real start on a real, damaged PostgreSQL does is in `test_corruption`.
"""

import argparse
import asyncio
import itertools
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import structlog

from engine import Batch
from engine.errors import SnapshotError
from server import recovery
from server.backup.checking import Checked, check_backup
from server.backup.manifest import NAME, BackupError
from server.cli import verification
from server.journal import LogDamaged, LogLost, PrivatePostgres, Row
from server.recovery import ReplayError, apply_rows, recover, restore
from server.snapshots import Snapshots
from tests.chaos.flips import Flip, flipped, random_flip
from tests.chaos.stored import StoredLog
from tests.server.backup.world import LIMITS, World

KEY = bytes(32)
SHARE = 40
"""One flip in so many is also shown to a start, a follower and verify, which take milliseconds each."""
REFUSALS = (LogDamaged, LogLost, ReplayError)


@dataclass(slots=True)
class Noticed:
    """What was done, and who said so."""

    flips: Counter[str] = field(default_factory=Counter)
    """Flipped bits by where."""
    by: Counter[str] = field(default_factory=Counter)
    """By what noticed them: the same flip may be shown to several."""
    other: Counter[str] = field(default_factory=Counter)
    """Damage of other kinds."""
    harmless: int = 0
    """Starts that did not read the damaged row, from a snapshot behind it, and had the right state."""
    missed: list[str] = field(default_factory=list)

    def table(self) -> str:
        lines = [f"  {count:>7,}  bits in {name}" for name, count in sorted(self.flips.items())]
        lines += [f"  {count:>7,}  {name}" for name, count in sorted(self.other.items())]
        lines.append(f"  {self.flips.total():>7,}  flipped bits in all")
        lines += [f"  {count:>7,}  noticed by {name}" for name, count in sorted(self.by.items())]
        lines.append(f"  {self.harmless:>7,}  starts from a snapshot behind the damage, with the right state")
        lines.append(f"  {len(self.missed):>7,}  missed")
        return "\n".join(lines + [f"  MISSED: {what}" for what in self.missed[:20]])


class Corruption:
    """The trials. `rows` and the files in `data_dir` and `backup` are good, and stay so."""

    def __init__(self, world: World, rows: list[Row], backup: Path, scratch: Path, seed: int) -> None:
        self._world = world
        self._rows = rows
        self._snapshots = world.data_dir / "snapshots"
        self._backup = backup
        self._scratch = scratch
        self._random = Random(f"corruption:{seed}")
        self._right = world.states[rows[-1].seq]
        self._newest = max(int(path.stem) for path in self._snapshots.glob("*.json"))
        self._good = {path.name: path.read_bytes() for path in self._snapshots.iterdir()}
        self._touched = set(self._good)
        self._batch = Batch()
        self.noticed = Noticed()

    # --- the log

    async def flip_in_log(self, *, everybody: bool) -> None:
        """Flip one bit of one row; `everybody`: show it to all who read the log, not only to its reader."""
        flip = random_flip(self._rows, self._random)
        damaged = self._with({flip.seq: flip.of(self._rows[flip.seq])})
        self.noticed.flips[f"log.{flip.column}"] += 1
        names = {flip.seq, damaged.rows[flip.seq].seq}
        await self._must_refuse("the log's reader", flip, lambda: self._read_all(damaged), names)
        if everybody:
            await self._must_refuse("verify", flip, lambda: self._verify(damaged, self._world.data_dir), names)
            await self._must_refuse("a follower", flip, lambda: self._follow(damaged), names)
            await self._must_refuse("a start without snapshots", flip, lambda: self._start(damaged, None), names)
            await self._start_with_snapshots(flip, damaged, names)

    async def _start_with_snapshots(self, flip: Flip, damaged: StoredLog, names: set[int]) -> None:
        """A start reads the row of its snapshot, the hash before it, and what is behind it."""
        try:
            state = await self._start(damaged, self._snapshots)
        except REFUSALS as error:
            self._named(flip, error, names)
            self.noticed.by["a start"] += 1
        else:
            if state != self._right or flip.seq >= self._newest:
                self.noticed.missed.append(f"a start served row {flip}")
            self.noticed.harmless += 1

    async def shuffle_log(self) -> None:
        """Damage that leaves each row as it was: missing, swapped, doubled, cut off."""
        rows = self._rows
        last = rows[-1].seq
        for row in rows[:-1]:
            damaged = self._with({})
            del damaged.rows[row.seq]
            await self._structural("rows left out", f"row {row.seq} left out", damaged)
        for one, other in itertools.pairwise(rows):
            await self._structural(
                "rows swapped", f"rows {one.seq} and {other.seq} swapped", self._with({one.seq: other, other.seq: one})
            )
            payloads = {
                one.seq: one._replace(payload=other.payload, checksum=other.checksum),
                other.seq: other._replace(payload=one.payload, checksum=one.checksum),
            }
            await self._structural("payloads swapped", f"payloads {one.seq}, {other.seq} swapped", self._with(payloads))
        for row in rows[1:]:
            again = self._with({last + 1: row._replace(seq=last + 1)})
            await self._structural("rows doubled", f"row {row.seq} again at the end", again)
        for cut in range(1, self._newest + 1):
            damaged = self._with({})
            for row in rows[cut:]:
                del damaged.rows[row.seq]
            what = f"the log cut off at row {cut}"
            # Its chain is whole: only what knows of later rows can tell.
            await self._must_refuse("a start", what, lambda log=damaged: self._start(log, self._snapshots))  # type: ignore[misc]
            await self._must_refuse("a follower", what, lambda log=damaged: self._go_on(log, rows[-1]))  # type: ignore[misc]
            await self._must_refuse("verify", what, lambda log=damaged: self._verify(log, self._world.data_dir))  # type: ignore[misc]
            self.noticed.other["logs cut off below a snapshot"] += 1

    async def _structural(self, kind: str, what: str, damaged: StoredLog) -> None:
        self.noticed.other[kind] += 1
        await self._must_refuse("the log's reader", what, lambda: self._read_all(damaged))
        if self._random.randrange(4) == 0:
            await self._must_refuse("verify", what, lambda: self._verify(damaged, self._world.data_dir))
            await self._must_refuse("a follower", what, lambda: self._follow(damaged))

    # --- snapshots

    async def flip_in_snapshot(self, *, everybody: bool) -> None:
        """Flip one bit of the newest snapshot or of its manifest."""
        in_manifest = self._random.randrange(4) == 0
        name = f"{self._newest:020d}.{'json' if in_manifest else 'snapshot'}"
        good = self._good[name]
        bit = self._random.randrange(8 * len(good))
        self.noticed.flips["snapshot manifests" if in_manifest else "snapshots"] += 1
        await self._damaged_snapshot({name: flipped(good, bit)}, f"{name}, bit {bit}", everybody=everybody)

    async def damage_snapshots(self) -> None:
        """Snapshots cut short, empty, longer, gone, swapped."""
        older, newest = sorted(path.stem for path in self._snapshots.glob("*.json"))
        for suffix in ("snapshot", "json"):
            good = (self._snapshots / f"{newest}.{suffix}").read_bytes()
            for size in {0, 1, 8, 100, len(good) - 32, *(self._random.randrange(len(good)) for _ in range(20))}:
                self.noticed.other["snapshots cut short"] += 1
                await self._damaged_snapshot(
                    {f"{newest}.{suffix}": good[:size]}, f"{newest}.{suffix}, {size} bytes", everybody=True
                )
            self.noticed.other["snapshots with more behind"] += 1
            await self._damaged_snapshot(
                {f"{newest}.{suffix}": good + b"\0"}, f"{newest}.{suffix} longer", everybody=True
            )
            self.noticed.other["snapshots swapped"] += 1
            other = (self._snapshots / f"{older}.{suffix}").read_bytes()
            await self._damaged_snapshot(
                {f"{newest}.{suffix}": other}, f"{newest}.{suffix} is the older", everybody=True
            )

    async def _damaged_snapshot(self, changed: dict[str, bytes], what: str, *, everybody: bool) -> None:
        directory = self._scratch / "snapshots"
        self._restore_snapshots(directory)
        for name, content in changed.items():
            (directory / name).write_bytes(content)
        self._touched |= {str(Path(name).with_suffix(suffix)) for name in changed for suffix in (".json", ".snapshot")}
        if not everybody:
            self._take_newest(directory, what)
            return
        good = self._with({})
        await self._must_refuse(
            "verify", what, lambda: self._verify(good, self._scratch), kinds=(SnapshotError, *REFUSALS)
        )
        if await self._start(good, directory) != self._right:
            self.noticed.missed.append(f"a start served another state: {what}")
        aside = [path.name for path in directory.glob("damaged-*")]
        if not any(each.endswith(name) for each in aside for name in changed):
            self.noticed.missed.append(f"a start took it: {what}")
        self.noticed.by["a start, which takes the snapshot before"] += 1

    def _take_newest(self, directory: Path, what: str) -> None:
        """Read the newest snapshot as a start does."""
        snapshots = Snapshots(directory, 2)
        try:
            for manifest in snapshots.newest_first():
                if manifest.seq == self._newest:
                    recovery._read_snapshot(snapshots, manifest, LIMITS, KEY)
                    self.noticed.missed.append(f"a start took it: {what}")
        except SnapshotError:
            pass
        self.noticed.by["the reader of snapshots"] += 1

    def _restore_snapshots(self, directory: Path) -> None:
        """Make the directory good again; what was written into a file is kept in mind, to be quick."""
        directory.mkdir(parents=True, exist_ok=True)
        for name in self._touched:
            (directory / name).write_bytes(self._good[name])
        self._touched.clear()
        for path in directory.glob("damaged-*"):
            path.unlink()

    # --- backups

    def flip_in_backup(self) -> None:
        """Flip one bit of one file of a backup."""
        files = sorted(path for path in self._backup.rglob("*") if path.is_file() and path.name != "lock")
        path = self._random.choice(files)
        good = path.read_bytes()
        bit = self._random.randrange(8 * len(good))
        self.noticed.flips["backup manifests" if path.name == NAME else "backups"] += 1
        path.write_bytes(flipped(good, bit))
        try:
            check_backup(self._backup, Checked())
        except (BackupError, LogDamaged):
            self.noticed.by["backup verify"] += 1
        else:
            self.noticed.missed.append(f"backup verify passed over {path.name}, bit {bit}")
        finally:
            path.write_bytes(good)

    # --- who reads

    async def check_good(self) -> None:
        """Without damage nobody complains: else all of this would prove nothing."""
        good = self._with({})
        await self._read_all(good)
        await self._follow(good)
        await self._verify(good, self._world.data_dir)
        check_backup(self._backup, Checked())
        for directory in (None, self._snapshots):
            if await self._start(good, directory) != self._right:
                raise AssertionError("a start from a good log has not the leader's state")

    def _with(self, changed: dict[int, Row]) -> StoredLog:
        return StoredLog(self._world.journal.log_id, {row.seq: row for row in self._rows} | changed)

    async def _read_all(self, log: StoredLog) -> None:
        log.find_head()
        async for _ in log.read(0):
            pass

    async def _verify(self, log: StoredLog, data_dir: Path) -> None:
        log.find_head()
        await verification.replay_from(verification.Report(), log, data_dir, LIMITS, from_snapshot=False, quiet=True)

    async def _follow(self, log: StoredLog) -> None:
        """From the first row to the newest, as a follower that began with the log."""
        recovered = await restore(log, Snapshots(self._scratch / "none", 2), LIMITS, hash_key=KEY)
        tail = log.tail(log.rows[0])
        while rows := await tail.look():
            apply_rows(recovered, rows, self._batch)
        if recovered.seq != max(log.rows):
            raise LogDamaged(recovered.seq + 1, "missing")
        if recovered.engine.state_hash().hex() != self._right:
            raise AssertionError("a follower came to another state and did not notice")

    async def _go_on(self, log: StoredLog, known: Row) -> None:
        """As a follower that has had `known`, on a new session."""
        await log.tail(known).look()

    async def _start(self, log: StoredLog, snapshots: Path | None) -> str:
        """Recover as a start does; return the state's hash."""
        log.find_head()
        recovered = await recover(log, Snapshots(snapshots or self._scratch / "none", 2), LIMITS, hash_key=KEY)
        return recovered.engine.state_hash().hex()

    async def _must_refuse(
        self,
        who: str,
        what: object,
        do: Callable[[], Awaitable[object]],
        names: set[int] | None = None,
        kinds: tuple[type[Exception], ...] = REFUSALS,
    ) -> None:
        try:
            await do()
        except kinds as error:
            if names is not None:
                self._named(what, error, names)
            self.noticed.by[who] += 1
        else:
            self.noticed.missed.append(f"{who} passed over {what}")

    def _named(self, what: object, error: Exception, names: set[int]) -> None:
        """A person must be told where to look."""
        if getattr(error, "seq", None) not in names:
            self.noticed.missed.append(f"{what} was noticed, but called {error}")


async def corrupt(world: World, directory: Path, flips: int, seed: int, say: Callable[[str], None]) -> Noticed:
    """Do it all on a world with two snapshots. `flips`: bits, of which most are in the log."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))  # each damage would be a line
    rows = [row async for row in world.journal.read(0)]
    await world.back_up(directory / "backup")
    trials = Corruption(world, rows, directory / "backup", directory / "scratch", seed)
    await trials.check_good()
    await trials.shuffle_log()
    await trials.damage_snapshots()
    said = time.monotonic()
    for number in range(flips):
        everybody = number // 20 % SHARE == 0
        if number % 20 < 14:
            await trials.flip_in_log(everybody=everybody)
        elif number % 20 < 19:
            await trials.flip_in_snapshot(everybody=everybody)
        else:
            trials.flip_in_backup()
        if time.monotonic() - said > 1:
            said = time.monotonic()
            say(f"{number:,} of {flips:,} bits, {len(trials.noticed.missed)} missed")
    return trials.noticed


async def make_world(dsn: str, directory: Path) -> World:
    """A log of 42 rows with digests in a third of them, and two snapshots."""
    world = await World.make(dsn, directory / "data")
    await world.write(12)
    world.snapshot()
    await world.write(12)
    world.snapshot()
    await world.write(16)
    return world


async def _main(flips: int, seed: int, directory: Path) -> Noticed:
    postgres = PrivatePostgres(directory / "postgres", wal_size=64 << 20, shared_buffers=32 << 20, prime=False)
    dsn = await postgres.start(supervise=False)
    try:
        world = await make_world(dsn, directory)
        try:
            return await corrupt(world, directory, flips, seed, lambda line: print(line, flush=True))
        finally:
            await world.close()
    finally:
        await postgres.stop()


def main() -> int:
    """Return 0 when every flip was noticed."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.corruption", description=__doc__.split("\n", 1)[0])
    parser.add_argument("--flips", type=int, default=20_000, help="bits (20000)")
    parser.add_argument("--seed", type=int, default=None, help="decides which (the time)")
    given = parser.parse_args()
    seed = given.seed if given.seed is not None else time.time_ns() % 1_000_000
    began = time.monotonic()
    print(f"seed {seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="tongbao-corruption-") as directory:
        noticed = asyncio.run(_main(given.flips, seed, Path(directory)))
    print(noticed.table())
    print(f"  {time.monotonic() - began:.0f} s")
    if noticed.missed:
        print(f"\nTo do the same again: python -m tests.chaos.corruption --flips {given.flips} --seed {seed}")
    return 1 if noticed.missed else 0


if __name__ == "__main__":
    sys.exit(main())
