"""No bit of a backup changes unnoticed."""

import json
import random
from dataclasses import replace
from pathlib import Path

import pytest

from server.backup.checking import Checked, check_backup
from server.backup.manifest import NAME, Backup, BackupDamaged, BackupError
from server.journal import LogDamaged
from tests.server.backup.world import World

POSITIONS = 120
"""Bits that are flipped in each file; all of the bits in a manifest's first lines."""


async def test_a_flipped_bit_anywhere_is_noticed(world: World, tmp_path: Path) -> None:
    directory = tmp_path / "backup"
    backup, _ = await world.back_up(directory)
    check_backup(directory, Checked())
    random_ = random.Random(5)
    flipped = 0
    for name in sorted({*backup.files(), NAME}):
        path = directory / name
        content = path.read_bytes()
        bits = len(content) * 8
        for bit in {0, bits - 1, *random_.sample(range(bits), min(POSITIONS, bits))}:
            changed = bytearray(content)
            changed[bit // 8] ^= 1 << bit % 8
            path.write_bytes(changed)
            with pytest.raises((BackupDamaged, LogDamaged, BackupError)):
                check_backup(directory, Checked())
            flipped += 1
        for shorter in (content[:-1], content[: len(content) // 2], b"", content + b"\0"):
            path.write_bytes(shorter)
            with pytest.raises((BackupDamaged, LogDamaged)):
                check_backup(directory, Checked())
        path.unlink()
        with pytest.raises(BackupError):
            check_backup(directory, Checked())
        path.write_bytes(content)
    check_backup(directory, Checked())
    assert flipped > 5 * POSITIONS


async def test_flipped_bits_in_the_manifest(world: World, tmp_path: Path) -> None:
    """Also those that leave it JSON with the same meaning."""
    await world.back_up(tmp_path / "backup")
    path = tmp_path / "backup" / NAME
    content = path.read_bytes()
    for bit in random.Random(6).sample(range(len(content) * 8), 3_000):
        changed = bytearray(content)
        changed[bit // 8] ^= 1 << bit % 8
        path.write_bytes(changed)
        with pytest.raises(BackupError):
            Backup.read(tmp_path / "backup")
    path.write_bytes(content.replace(b'"version": 1', b'"version":  1', 1))
    with pytest.raises(BackupDamaged):
        Backup.read(tmp_path / "backup")
    path.write_text(json.dumps(json.loads(content) | {"version": 2}))
    with pytest.raises(BackupError, match="is of version 2"):
        Backup.read(tmp_path / "backup")


async def test_files_of_another_backup(world: World, tmp_path: Path) -> None:
    """Whole files in the wrong place: hashes that fit, and a chain that does not."""
    backup, _ = await world.back_up(tmp_path / "backup")
    first, second = backup.segments[0], backup.segments[1]
    (tmp_path / "backup" / second.file).write_bytes((tmp_path / "backup" / first.file).read_bytes())
    again = replace(second, bytes=first.bytes, sha256=first.sha256)
    replace(backup, segments=(first, again, *backup.segments[2:])).write(tmp_path / "backup")
    with pytest.raises(LogDamaged):
        check_backup(tmp_path / "backup", Checked())
