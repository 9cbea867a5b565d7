"""There and back: the same rows, the same state; each point in time; and what is refused."""

import asyncio
import fcntl
import os
import signal
import subprocess
import sys
from pathlib import Path

import asyncpg
import pytest

from engine import Limits
from server.backup import writing as writing_module
from server.backup.checking import Checked, check_backup
from server.backup.manifest import BackupDamaged, BackupError
from server.backup.placing import restore_backup
from server.backup.restoring import Restored
from server.backup.writing import Made, Origin, writing
from server.journal import Journal, LogDamaged, LogLost
from server.journal.link import connect
from server.process import InUseError
from server.recovery import recover
from server.snapshots import Snapshots
from tests.server.backup.conftest import Dry
from tests.server.backup.world import LIMITS, World, back_up_from, restore_to, rows_of


@pytest.fixture(autouse=True)
def small_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several files in each partition."""
    monkeypatch.setattr(writing_module, "SEGMENT_ROWS", 7)


async def state_of(dsn: str, data_dir: Path) -> str:
    """The state that a server would start with."""
    journal = await Journal.open(dsn)
    recovered = await recover(journal, Snapshots(data_dir / "snapshots", 2), LIMITS, hash_key=os.urandom(32))
    await journal.close()
    recovered.engine.check_invariants()
    return recovered.engine.state_hash().hex()


async def test_there_and_back(world: World, empty: str, tmp_path: Path) -> None:
    backup, made = await world.back_up(tmp_path / "backup")
    assert (backup.complete, backup.first, backup.last) == (True, 0, 41)
    assert (made.rows, made.snapshots, made.oldest_point) == (42, [21], 0)
    assert [segment.last for segment in backup.segments] == [6, 13, 15, 22, 29, 31, 38, 41]
    checked = Checked()
    check_backup(tmp_path / "backup", checked)
    assert (checked.rows, checked.snapshots, checked.last_hash) == (42, [21], world.journal.head.hash.hex())
    restored = await restore_to(tmp_path / "backup", empty, tmp_path / "new")
    assert (restored.seq, restored.rows, restored.left) == (41, 42, 0)
    assert restored.start == "the snapshot after row 21"
    assert restored.digests >= 6
    assert restored.state_hash == world.states[41] == await state_of(empty, tmp_path / "new")
    assert await rows_of(empty) == await rows_of(world.dsn)


async def test_the_restored_log_goes_on(world: World, empty: str, tmp_path: Path) -> None:
    await world.back_up(tmp_path / "backup")
    await restore_to(tmp_path / "backup", empty, tmp_path / "new", to_seq=31)
    journal = await Journal.open(empty)
    assert (journal.log_id, journal.head.seq) == (world.journal.log_id, 31)
    epoch = journal.head.epoch
    await journal.take_over()
    assert (journal.head.seq, journal.epoch) == (32, epoch + 1)
    for _ in range(20):
        await journal.append(world.times[41] + 10**9, b"x")
    assert journal.head.seq == 52
    await journal.close()
    # It is another history now: neither the backup nor the old data directory takes it for its own.
    with pytest.raises(LogLost, match="went another way"):
        await back_up_from(empty, tmp_path / "new", tmp_path / "backup")
    world.snapshot()
    journal = await Journal.open(empty)
    with pytest.raises(LogLost, match="another log"):
        await recover(journal, world.snapshots, LIMITS, hash_key=os.urandom(32))
    await journal.close()


async def test_every_point_in_time(world: World, dry: Dry, tmp_path: Path) -> None:
    await world.back_up(tmp_path / "backup")
    for seq in (2, 20, 21, 22, 31, 32, 40):
        by_seq = await dry(seq, None)
        assert (by_seq.seq, by_seq.state_hash, by_seq.left) == (seq, world.states[seq], 41 - seq)
        assert by_seq.start == ("the snapshot after row 21" if seq >= 21 else "the first row")
        assert (await dry(None, world.times[seq])).seq == seq
        assert (await dry(None, world.times[seq] - 1)).seq == seq - 1
    assert (await dry(None, 2**62)).seq == 41
    for seq, moment in ((42, None), (-1, None), (None, 1)):
        with pytest.raises(BackupError, match="can be restored to rows 0 to 41"):
            await dry(seq, moment)


async def test_what_is_new_is_added(world: World, dry: Dry, tmp_path: Path) -> None:
    first, _ = await world.back_up(tmp_path / "backup")
    before = {path: path.read_bytes() for path in (tmp_path / "backup").rglob("*.*") if path.name != "backup.json"}
    again, made = await world.back_up(tmp_path / "backup")
    assert (again.segments, made.rows, made.files, made.snapshots) == (first.segments, 0, 0, [])
    await world.write(10)
    world.snapshot()
    await world.write(3)
    later, made = await world.back_up(tmp_path / "backup")
    assert (made.rows, made.snapshots, later.last) == (13, [51], 54)
    assert [kept.seq for kept in later.snapshots] == [21, 51]
    assert later.created == first.created
    for path, content in before.items():
        assert path.read_bytes() == content
    check_backup(tmp_path / "backup", Checked())
    for seq in (30, 51, 54):
        assert (await dry(seq, None)).state_hash == world.states[seq]


async def test_another_log_is_not_added(world: World, empty: str, tmp_path: Path) -> None:
    await world.back_up(tmp_path / "backup")
    other = await World.make(empty, tmp_path / "other")
    await other.write(60)
    with pytest.raises(BackupError, match="another log"):
        await other.back_up(tmp_path / "backup")
    await other.close()


async def test_a_log_that_lost_rows(world: World, tmp_path: Path) -> None:
    await world.back_up(tmp_path / "backup")
    connection = await asyncpg.connect(world.dsn)
    await connection.execute("DELETE FROM tongbao.log WHERE seq > 35")
    with pytest.raises(LogLost, match="ends at row 35, and the backup has row 41"):
        await world.back_up(tmp_path / "backup")
    await connection.close()
    check_backup(tmp_path / "backup", Checked())


async def test_a_row_that_was_changed_is_not_taken(world: World, tmp_path: Path) -> None:
    connection = await asyncpg.connect(world.dsn)
    await connection.execute("UPDATE tongbao.log SET payload = payload || 'x' WHERE seq = 17")
    with pytest.raises(LogDamaged, match="log row 17"):
        await world.back_up(tmp_path / "backup")
    kept = check_backup(tmp_path / "backup", Checked())
    assert (kept.complete, kept.last) == (False, 15)
    await connection.execute("UPDATE tongbao.log SET payload = substr(payload, 1, length(payload) - 1) WHERE seq = 17")
    backup, made = await world.back_up(tmp_path / "backup")
    assert (backup.complete, backup.last, made.rows) == (True, 41, 26)
    await connection.close()


async def test_rows_that_left_the_database(world: World, dry: Dry, tmp_path: Path) -> None:
    """Dropped: only the snapshot and the tail. Archived: with --from-start everything, and in time everything else."""
    await world.journal.archive_before(16, world.data_dir / "archive")
    await world.journal.drop_before(21)
    everything, made = await world.back_up(tmp_path / "everything")
    assert (everything.first, made.rows) == (0, 42)
    backup, _ = await world.back_up(tmp_path / "backup", from_start=False)
    assert (backup.first, backup.oldest_point) == (16, 21)
    with pytest.raises(BackupError, match="can be restored to rows 21 to 41"):
        await dry(20, None)
    for seq in (21, 33, 41):
        restored = await dry(seq, None)
        assert (restored.first, restored.state_hash) == (16, world.states[seq])
    with pytest.raises(BackupError, match="another directory"):
        await world.back_up(tmp_path / "backup")
    # What is archived between two runs comes from the archive, and what is dropped is missed.
    await world.write(30)
    world.snapshot()
    await world.journal.archive_before(64, world.data_dir / "archive")
    await world.journal.drop_before(64)
    later, made = await world.back_up(tmp_path / "backup", from_start=False)
    assert (later.last, made.rows, [kept.seq for kept in later.snapshots]) == (71, 30, [21, 71])
    check_backup(tmp_path / "backup", Checked())
    assert (await dry(60, None)).state_hash == world.states[60]
    await world.write(30)
    await world.journal.drop_before(90)
    with pytest.raises(LogDamaged, match="archive does not have it"):
        await world.back_up(tmp_path / "backup", from_start=False)


async def test_a_partition_that_leaves_while_it_is_read(world: World, tmp_path: Path) -> None:
    """Between the look and the COPY the server has archived it."""
    looked = world.journal.first
    archived = asyncio.Event()

    async def first() -> int:
        before = await looked()
        if not archived.is_set():
            archived.set()
            await world.journal.archive_before(16, world.data_dir / "archive")
        return before

    link = await connect(world.dsn, allow_unsafe=True, read_only=True)
    made = Made()
    with writing(tmp_path / "backup"):
        run = writing_module._Run(
            Origin(world.journal, link.connection, world.data_dir), tmp_path / "backup", made, print
        )
        world.journal.first = first  # type: ignore[method-assign]
        await run.rows(world.journal.head)
        run.save(complete=True)
    await link.close()
    backup = check_backup(tmp_path / "backup", Checked())
    assert (backup.first, backup.last, made.rows) == (0, 41, 42)


async def test_the_restored_tail_serves(world: World, empty: str, tmp_path: Path) -> None:
    await world.journal.drop_before(21)
    await world.back_up(tmp_path / "backup", from_start=False)
    await restore_to(tmp_path / "backup", empty, tmp_path / "new")
    journal = await Journal.open(empty)
    assert await journal.first() == 16
    await journal.close()
    assert await state_of(empty, tmp_path / "new") == world.states[41]


async def test_a_damaged_snapshot_of_the_server_is_passed_over(world: World, tmp_path: Path) -> None:
    newest = world.snapshot()
    content = bytearray(world.snapshots.path(newest).read_bytes())
    content[len(content) // 2] ^= 1
    world.snapshots.path(newest).write_bytes(content)
    backup, made = await world.back_up(tmp_path / "backup")
    assert [kept.seq for kept in backup.snapshots] == [21]
    assert str(newest) in made.damaged[0]
    assert {path.stem for path in (tmp_path / "backup" / "snapshots").iterdir()} == {f"{21:020d}"}


async def test_a_damaged_snapshot_is_not_needed_by_a_whole_log(world: World, dry: Dry, tmp_path: Path) -> None:
    backup, _ = await world.back_up(tmp_path / "backup")
    path = tmp_path / "backup" / backup.snapshots[0].file
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    restored = await dry(None, None)
    assert (restored.start, restored.state_hash) == ("the first row", world.states[41])
    assert backup.snapshots[0].file in restored.passed_over[0]
    with pytest.raises(BackupDamaged, match="snapshot"):
        check_backup(tmp_path / "backup", Checked())


async def test_places_that_are_not_empty(world: World, empty: str, tmp_path: Path) -> None:
    await world.back_up(tmp_path / "backup")
    with pytest.raises(BackupError, match="has a schema tongbao already"):
        await restore_to(tmp_path / "backup", world.dsn, tmp_path / "new")
    assert not (tmp_path / "new").exists()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "postgres").mkdir()
    with pytest.raises(BackupError, match="is not empty"):
        await restore_to(tmp_path / "backup", empty, tmp_path / "full")
    with pytest.raises(BackupError, match="holds other things"), writing(tmp_path / "full"):
        pass
    with pytest.raises(BackupError, match="holds no backup"):
        await restore_to(tmp_path / "full", empty, tmp_path / "new")
    await restore_to(tmp_path / "backup", empty, tmp_path / "new")
    with pytest.raises(BackupError, match="is not empty"):
        await restore_to(tmp_path / "backup", empty, tmp_path / "new")


async def test_one_at_a_time(world: World, tmp_path: Path) -> None:
    with writing(tmp_path / "backup"), pytest.raises(BackupError, match="another process"):
        await world.back_up(tmp_path / "backup")


async def test_a_restore_that_fails_leaves_nothing(world: World, empty: str, tmp_path: Path) -> None:
    backup, _ = await world.back_up(tmp_path / "backup")
    path = tmp_path / "backup" / backup.segments[-1].file
    content = path.read_bytes()
    path.write_bytes(content[:-9] + bytes([content[-9] ^ 4]) + content[-8:])
    with pytest.raises(BackupDamaged, match="content does not match"):
        await restore_to(tmp_path / "backup", empty, tmp_path / "new")
    assert not (tmp_path / "new").exists()
    path.write_bytes(content)
    # Rows before the point are all that counts, and a leftover of a killed restore is no obstacle.
    (tmp_path / "new" / ".restoring" / "postgres").mkdir(parents=True)
    assert (await restore_to(tmp_path / "backup", empty, tmp_path / "new")).state_hash == world.states[41]
    assert {path.name for path in (tmp_path / "new").iterdir()} == {"snapshots", "tongbao.lock"}


async def test_capacities_that_are_too_small(world: World, empty: str, tmp_path: Path) -> None:
    await world.back_up(tmp_path / "backup")
    small = Limits(accounts_max=1_000, transfers_max=100, burnt_max=10, balances_max=10)
    with pytest.raises(Exception, match=r"transfers|capacity"):
        await restore_backup(tmp_path / "backup", tmp_path / "new", empty, Restored(), small, to_seq=41)
    assert await restore_to(tmp_path / "backup", empty, tmp_path / "new")


async def test_a_directory_in_use(world: World, empty: str, tmp_path: Path) -> None:
    await world.back_up(tmp_path / "backup")
    (tmp_path / "new").mkdir()
    with (tmp_path / "new" / "tongbao.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(InUseError):
            await restore_to(tmp_path / "backup", empty, tmp_path / "new")
        assert (tmp_path / "new" / "tongbao.lock").exists()


KILLED = """
import asyncio, os, signal, sys
from pathlib import Path
from server.backup import manifest, writing
from tests.server.backup.world import back_up_from

writing.SEGMENT_ROWS = 7
left = int(sys.argv[4])

def count(event, arguments):
    global left
    if event in ("open", "os.rename", "os.remove") and "backup/" in str(arguments[0]):
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(count)
asyncio.run(back_up_from(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])))
"""


@pytest.mark.parametrize("step", [0, 3, 6, 9, 13, 17, 22, 27, 33, 42])
async def test_killed_at_any_step_it_goes_on(world: World, tmp_path: Path, step: int) -> None:
    arguments = [sys.executable, "-c", KILLED, world.dsn, world.data_dir, tmp_path / "backup", step]
    command = [str(argument) for argument in arguments]
    outcome = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=False)
    assert outcome.returncode == -signal.SIGKILL, outcome.stderr
    rows = 0
    if (tmp_path / "backup" / "backup.json").exists():
        interrupted = check_backup(tmp_path / "backup", Checked())
        assert not interrupted.complete
        rows = interrupted.last + 1
    backup, made = await world.back_up(tmp_path / "backup")
    assert (backup.complete, backup.last, made.rows) == (True, 41, 42 - rows)
    assert [kept.seq for kept in backup.snapshots] == [21]
    check_backup(tmp_path / "backup", Checked())
    files = {str(path.relative_to(tmp_path / "backup")) for path in (tmp_path / "backup").rglob("*") if path.is_file()}
    assert files == backup.files() | {"backup.json", "lock"}
