"""Snapshots: whole or absent, the same or refused, and taken while the ledger goes on."""

import hashlib
import os
import random
import socket
import struct
from pathlib import Path

import pytest

from engine import CapacityError, Engine, Limits, SnapshotError
from engine import snapshot as snapshots
from tests.engine.driver import compare
from tests.engine.generator import Generator
from tests.engine.subjects import LIMITS, Fast, Plain
from tests.models.records import Account, Transfer

TINY = Limits(accounts_max=100, transfers_max=100, burnt_max=100, balances_max=100, scopes_max=4, scope_ranges_max=4)


def small_bank() -> Fast:
    """Something in every section of a snapshot, and few bytes."""
    fast = Fast(limits=TINY)
    fast.create_accounts([Account(1, flags=8), Account(2), Account(3)], 1)
    fast.create_transfers([Transfer(1, 1, 2, 5, 1, 1), Transfer(2, 1, 2, 5, 1, 1, 2, timeout=9)], 10)
    fast.create_transfers([Transfer(3, 9, 2, 5, 1, 1)], 20)
    fast.define_scope(1, [(1, 2)], 30)
    return fast


def world(seed: int, batches: int) -> tuple[Plain, Fast, Generator]:
    """A ledger with a past."""
    plain, fast = Plain(), Fast()
    generator = Generator(random.Random(seed), plain)
    for _ in range(batches):
        batch = generator.batch()
        plain.apply(batch)
        fast.apply(batch)
    return plain, fast, generator


@pytest.mark.parametrize("seed", range(8))
def test_a_restored_engine_is_the_same_and_goes_on_the_same(tmp_path: Path, seed: int) -> None:
    plain, fast, generator = world(seed, 150)
    restored = fast.restored(tmp_path / "s", hash_key=b"z" * 32)
    assert restored.engine.digest() == fast.engine.digest()
    assert restored.counts() == fast.counts() == plain.counts()
    for _ in range(150):
        batch = generator.batch()
        expected = plain.apply(batch)
        compare("restored", restored.apply(batch), expected)
        compare("original", fast.apply(batch), expected)
    assert restored.engine.state_hash() == fast.engine.state_hash()
    restored.check_invariants()


def test_a_snapshot_of_nothing(tmp_path: Path) -> None:
    empty = Engine(LIMITS)
    empty.snapshot(tmp_path / "s")
    again = Engine.restore(tmp_path / "s", LIMITS)
    assert again.state_hash() == empty.state_hash()
    assert (again.accounts, again.last_timestamp) == (0, 0)


def test_every_flipped_bit_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "s"
    small_bank().engine.snapshot(path)
    good = path.read_bytes()
    damaged = bytearray(good)
    for position in range(len(good)):
        damaged[position] ^= 1 << (position % 8)
        path.write_bytes(damaged)
        with pytest.raises(SnapshotError, match=str(path)):
            Engine.restore(path, TINY)
        damaged[position] = good[position]
    path.write_bytes(good)
    assert Engine.restore(path, TINY).accounts == 3


def test_every_truncation_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "s"
    small_bank().engine.snapshot(path)
    good = path.read_bytes()
    for length in range(len(good)):
        path.write_bytes(good[:length])
        with pytest.raises(SnapshotError, match=str(path)):
            Engine.restore(path, TINY)
    path.write_bytes(good + b"\0")
    with pytest.raises(SnapshotError, match=str(path)):
        Engine.restore(path, TINY)


def test_what_is_no_snapshot_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SnapshotError, match="No such file"):
        Engine.restore(tmp_path / "absent", LIMITS)
    with pytest.raises(SnapshotError, match="directory"):
        Engine.restore(tmp_path, TINY)


def test_another_format_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshots, "FORMAT", snapshots.FORMAT + 1)
    small_bank().engine.snapshot(tmp_path / "s")
    monkeypatch.undo()
    with pytest.raises(SnapshotError, match=r"format 4 cannot be read by this build \(formats 1 to 3\)"):
        Engine.restore(tmp_path / "s", LIMITS)


def test_a_snapshot_does_not_fit_into_smaller_limits(tmp_path: Path) -> None:
    small_bank().engine.snapshot(tmp_path / "s")
    with pytest.raises(CapacityError, match="accounts_capacity_reached: the snapshot holds 3, the limit is 2"):
        Engine.restore(tmp_path / "s", Limits(accounts_max=2, transfers_max=10, burnt_max=10, balances_max=20))


# --- crashes -------------------------------------------------------------------------------------------


@pytest.fixture
def old(tmp_path: Path) -> tuple[Fast, Path, bytes]:
    """A bank, with a snapshot of it on disk, that has gone on since."""
    fast = small_bank()
    path = tmp_path / "s"
    fast.engine.snapshot(path)
    content = path.read_bytes()
    fast.create_transfers([Transfer(50, 1, 2, 5, 1, 1)], 100)
    return fast, path, content


@pytest.mark.parametrize("name", ["fsync", "replace"])
def test_a_crash_while_writing_leaves_the_old_file(
    old: tuple[Fast, Path, bytes], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    fast, path, content = old

    def crash(*args: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(*((os, "fsync", crash) if name == "fsync" else (Path, "replace", crash)))
    with pytest.raises(OSError, match="no space left"):
        fast.engine.snapshot(path)
    monkeypatch.undo()
    assert path.read_bytes() == content
    # And what is left lying about does not stand in the way of the next.
    assert fast.engine.snapshot(path) == fast.engine.state_hash()
    assert Engine.restore(path, TINY).transfers == 3


def test_a_child_that_is_killed_leaves_the_old_file(old: tuple[Fast, Path, bytes]) -> None:
    fast, path, content = old
    job = fast.engine.snapshot_fork(path)
    os.kill(job.process, 9)
    try:
        job.finish()
    except SnapshotError as error:
        assert "ended with -9" in str(error)  # noqa: PT017 - it may have been quicker than the signal
        assert path.read_bytes() == content
    assert [file.name for file in path.parent.iterdir()] == [path.name], "nothing is left lying about"


def test_a_child_that_cannot_write_is_told(old: tuple[Fast, Path, bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    fast, path, content = old
    real = os.open

    def read_only(file: str, flags: int, mode: int = 0o600) -> int:
        return real(file, flags & ~os.O_RDWR | os.O_RDONLY, mode)

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", read_only)
        job = fast.engine.snapshot_fork(path)
    with pytest.raises(SnapshotError, match="ended with 1"):
        job.finish()
    assert path.read_bytes() == content
    assert [file.name for file in path.parent.iterdir()] == [path.name]


# --- forked ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
def test_a_forked_snapshot_is_the_state_at_the_fork(tmp_path: Path, seed: int) -> None:
    plain, fast, generator = world(100 + seed, 200)
    at_the_fork, ids = fast.engine.state_hash(), plain.account_ids()
    balances = plain.lookup_accounts(ids)
    job = fast.engine.snapshot_fork(tmp_path / "s")
    batches = []
    for _ in range(200):
        batch = generator.batch()
        batches.append(batch)
        compare("the parent goes on", fast.apply(batch), plain.apply(batch))
    assert job.finish() == at_the_fork
    restored = Fast(Engine.restore(tmp_path / "s", LIMITS))
    assert restored.engine.state_hash() == at_the_fork
    compare("accounts", restored.lookup_accounts(ids), balances)
    restored.check_invariants()
    for batch in batches:
        restored.apply(batch)
    assert restored.engine.state_hash() == fast.engine.state_hash()


def test_a_forked_and_a_direct_snapshot_are_the_same_bytes(tmp_path: Path) -> None:
    _, fast, _ = world(7, 100)
    job = fast.engine.snapshot_fork(tmp_path / "forked")
    job.wait()
    assert job.poll()
    job.finish()
    fast.engine.snapshot(tmp_path / "direct")
    assert (tmp_path / "forked").read_bytes() == (tmp_path / "direct").read_bytes()


def test_the_child_keeps_no_descriptor_of_the_parent(tmp_path: Path) -> None:
    """While the child still writes (into a pipe that nobody empties), a socket that the parent closes is closed."""
    fast = Fast(limits=Limits(10, 2**12, 2**12, 2**13))
    fast.create_accounts([Account(1), Account(2)], 1)
    fast.create_transfers([Transfer(i, 1, 2, 1, 1, 1) for i in range(1, 4_000)], 10)
    os.mkfifo(snapshots._temporary(tmp_path / "s"))
    ours, theirs = socket.socketpair()
    theirs.set_inheritable(True)
    job = fast.engine.snapshot_fork(tmp_path / "s")
    theirs.close()
    ours.settimeout(20)
    assert ours.recv(1) == b"", "nobody else holds the other end"
    assert not job.poll(), "and the child is still there"
    ours.close()
    os.kill(job.process, 9)
    with pytest.raises(SnapshotError, match="ended with -9"):
        job.finish()


def test_a_snapshot_of_the_first_format_is_read(tmp_path: Path) -> None:
    """As builds before there were orders wrote it: the first eight sections."""
    engine = small_bank().engine
    sections = engine.sections()[1:9]
    numbers = [number for name, array in sections for number in (len(array), snapshots.SECTIONS[name])]
    layout = struct.Struct("<8sII" + "QQ" * 8 + "Q16s")
    head = layout.pack(snapshots.MAGIC, 1, layout.size, *numbers, engine.last_timestamp, engine.digest())
    body = head + b"".join(array.tobytes() for _, array in sections)
    path = tmp_path / "old"
    path.write_bytes(body + hashlib.sha256(body).digest())
    restored = Engine.restore(path, TINY)
    assert restored.batches == 0, "whoever knows the log tells it"
    restored.batches = engine.batches
    assert restored.state_hash() == engine.state_hash()
    restored.check_invariants()
