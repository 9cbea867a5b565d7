"""The whole state as a file and back.

A snapshot is a header, the stores one behind the other as they lie in memory, and the SHA-256 of all that. The hash is
the state hash: two engines with equal hashes are equal. Tables of ids and the heap of expiries are not in it; they
are rebuilt.
"""

import hashlib
import os
import struct
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

import numpy as np
import numpy.typing as npt

from engine._core import forked, records, risk_records
from engine.errors import SnapshotError
from engine.matching import records as books
from engine.risk import records as risks
from engine.settlement import records as settlement

if TYPE_CHECKING:
    from io import BufferedReader
    from os import PathLike

FORMAT = 3
"""Format 1 had the first eight sections only, format 2 the first twenty."""
MAGIC = b"TONGBAO\n"
SECTIONS = {
    "accounts": records.ACCOUNT.itemsize,
    "details": records.ACCOUNT_DETAIL.itemsize,
    "transfers": records.TRANSFER.itemsize,
    "burnt": 16,
    "balances": records.BALANCE.itemsize,
    "index": 4,
    "scopes": 12,
    "ranges": records.SCOPE_RANGE.itemsize,
    "exchange": settlement.EXCHANGE_STATE.itemsize,
    "instruments": books.INSTRUMENT.itemsize,
    "orders": books.ORDER.itemsize,
    "order_details": books.ORDER_DETAIL.itemsize,
    "levels": books.LEVEL.itemsize,
    "nodes": books.NODE.itemsize,
    "trading_accounts": settlement.TRADING_ACCOUNT.itemsize,
    "links": settlement.LINK.itemsize,
    "holdings": settlement.HOLDING.itemsize,
    "positions": settlement.POSITION.itemsize,
    "trades": settlement.TRADE.itemsize,
    "executions": settlement.EXECUTION.itemsize,
    "risk": risks.RISK_STATE.itemsize,
    "named_groups": risks.GROUP.itemsize,
    "account_groups": risks.GROUP.itemsize,
    "instrument_groups": risks.GROUP.itemsize,
    "position_risks": risks.POSITION_RISK.itemsize,
    "limit_pairs": risks.PAIR.itemsize,
    "proposals": risk_records.PROPOSAL.itemsize,
}
"""Section names in the order of the file, with the size of one record in bytes."""

_HEADERS = {
    version: struct.Struct("<8sII" + "QQ" * sections + "Q16s")
    for version, sections in ((1, 8), (2, 20), (FORMAT, len(SECTIONS)))
}
_HEADER = _HEADERS[FORMAT]
_HEADER_FIRST = _HEADERS[1]
_HASH_BYTES = 32
_CHUNK = 8 * 1024 * 1024

Sections = Sequence[tuple[str, npt.NDArray[np.generic]]]


def header(counts: dict[str, int], last_timestamp: int, digest: bytes) -> npt.NDArray[np.uint8]:
    """The header's bytes: magic, format, then per section the number of records and their size, time and digest."""
    numbers = [number for name, size in SECTIONS.items() for number in (counts[name], size)]
    return np.frombuffer(_HEADER.pack(MAGIC, FORMAT, _HEADER.size, *numbers, last_timestamp, digest), dtype=np.uint8)


def state_hash(sections: Sections) -> bytes:
    """SHA-256 over header and stores."""
    digest = hashlib.sha256()
    for _, array in sections:
        digest.update(_bytes(array))
    return digest.digest()


def write(sections: Sections, path: "str | PathLike[str]") -> bytes:
    """Writes a snapshot and returns its state hash. `path` appears only when the file is whole and on disk."""
    target = Path(path)
    temporary = _temporary(target)
    digest = hashlib.sha256()
    with temporary.open("wb") as file:
        for _, array in sections:
            digest.update(_bytes(array))
            file.write(_bytes(array))
        file.write(digest.digest())
        file.flush()
        os.fsync(file.fileno())
    _publish(temporary, target)
    return digest.digest()


def fork_write(sections: Sections, path: "str | PathLike[str]") -> "SnapshotJob":
    """Forks a child that writes the stores as they are now. The caller polls the job and finishes it."""
    target = Path(path)
    temporary = _temporary(target)
    descriptor = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        process = forked.write_forked(descriptor, [_bytes(array) for _, array in sections])
    finally:
        os.close(descriptor)
    return SnapshotJob(process, temporary, target)


def format_of(path: "str | PathLike[str]") -> int:
    """The format that a snapshot's file says it has, 0 when it says none: a newer one is not a damaged one."""
    try:
        with Path(path).open("rb") as file:
            head = file.read(len(MAGIC) + 4)
    except OSError:
        return 0
    return int.from_bytes(head[len(MAGIC) :], "little") if head.startswith(MAGIC) and len(head) > len(MAGIC) else 0


def hash_of(path: "str | PathLike[str]") -> bytes:
    """SHA-256 of a snapshot's bytes but for the hash at its end, whatever its format is."""
    digest = hashlib.sha256()
    with Path(path).open("rb") as file:
        left = os.fstat(file.fileno()).st_size - _HASH_BYTES
        while left > 0 and (part := file.read(min(_CHUNK, left))):
            digest.update(part)
            left -= len(part)
    return digest.digest()


class SnapshotJob:
    """A snapshot that a child process is writing."""

    def __init__(self, process: int, temporary: Path, target: Path) -> None:
        self.process = process
        self.path = target
        self._temporary = temporary
        self._status: int | None = None

    def poll(self) -> bool:
        """Whether the child has ended; does not wait."""
        return self._status is not None or self._wait(os.WNOHANG)

    def wait(self) -> None:
        """Waits for the child to end."""
        while not self.poll():
            self._wait(0)

    def _wait(self, options: int) -> bool:
        try:
            process, status = os.waitpid(self.process, options)
        except ChildProcessError as error:
            self.discard()
            raise SnapshotError(f"{self.path}: the writing process was reaped by someone else") from error
        if process == 0:
            return False
        self._status = os.waitstatus_to_exitcode(status)
        return True

    def finish(self) -> bytes:
        """Reads the file back, adds its hash, makes it durable under its name; returns the state hash.

        Takes about a second per gigabyte and lets go of the GIL: run it in a thread.
        SnapshotError when the child failed.
        """
        self.wait()
        if self._status != 0:
            self.discard()
            raise SnapshotError(f"{self.path}: the writing process ended with {self._status}")
        with self._temporary.open("r+b") as file:
            digest = hashlib.file_digest(file, "sha256").digest()
            file.seek(0, os.SEEK_END)
            file.write(digest)
            file.flush()
            os.fsync(file.fileno())
        _publish(self._temporary, self.path)
        return digest

    def discard(self) -> None:
        """Removes what has been written."""
        self._temporary.unlink(missing_ok=True)


class Source:
    """Reads a snapshot, hashing on the way: `counts`, `last_timestamp` and `digest`, then the sections in order."""

    def __init__(self, path: "str | PathLike[str]") -> None:
        self.path = Path(path)
        try:
            self._file: BufferedReader = self.path.open("rb")
        except OSError as error:
            raise SnapshotError(f"{path}: {error.strerror}") from error
        self._hash = hashlib.sha256()
        self.counts: dict[str, int] = {}
        self.last_timestamp = 0
        self.digest = b""
        try:
            self._read_header()
        except SnapshotError:
            self._file.close()
            raise

    def _read_header(self) -> None:
        raw = self._file.read(_HEADER_FIRST.size)
        if len(raw) != _HEADER_FIRST.size or not raw.startswith(MAGIC):
            raise SnapshotError(f"{self.path}: is not a snapshot")
        version, size = struct.unpack_from("<II", raw, len(MAGIC))
        layout = _HEADERS.get(version)
        if layout is None or size != layout.size:
            raise SnapshotError(f"{self.path}: format {version} cannot be read by this build (formats 1 to {FORMAT})")
        raw += self._file.read(layout.size - len(raw))
        if len(raw) != layout.size:
            raise SnapshotError(f"{self.path}: is not a snapshot")
        _, _, _, *numbers, self.last_timestamp, self.digest = layout.unpack(raw)
        sections = list(SECTIONS.items())[: len(numbers) // 2]
        self.counts = dict.fromkeys(SECTIONS, 0) | dict(zip((name for name, _ in sections), numbers[::2], strict=True))
        for (name, expected), found in zip(sections, numbers[1::2], strict=True):
            if found != expected:
                raise SnapshotError(f"{self.path}: records of {name} take {found} bytes, not {expected}")
        if version == 2 and (self.counts["trading_accounts"] or self.counts["instruments"]):
            raise SnapshotError(f"{self.path}: format 2 has orders without their exposures; the log has both")
        expected_size = layout.size + sum(self.counts[name] * SECTIONS[name] for name in SECTIONS) + _HASH_BYTES
        if os.fstat(self._file.fileno()).st_size != expected_size:
            raise SnapshotError(f"{self.path}: has not the {expected_size} bytes that its header tells")
        self._hash.update(raw)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def read_into(self, memory: memoryview) -> None:
        """Fills `memory` with the next section."""
        for start in range(0, len(memory), _CHUNK):
            part = memory[start : start + _CHUNK]
            if self._file.readinto(part) != len(part):
                raise SnapshotError(f"{self.path}: ends too early")
            self._hash.update(part)

    def verify(self) -> bytes:
        """Compares the hash after the last section; returns it."""
        if self._file.read(_HASH_BYTES) != self._hash.digest():
            raise SnapshotError(f"{self.path}: the hash does not fit; the file is damaged")
        return self._hash.digest()


def _bytes(array: npt.NDArray[np.generic]) -> memoryview:
    return array.reshape(-1).view(np.uint8).data if array.size else memoryview(b"")


def _temporary(target: Path) -> Path:
    return target.with_name(f".{target.name}.writing")


def _publish(temporary: Path, target: Path) -> None:
    temporary.replace(target)
    directory = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
