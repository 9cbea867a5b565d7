"""Rows of the log in files: PostgreSQL's COPY … (FORMAT binary), compressed with zstd.

Archives and backups are such files. Nothing of ours is needed to bring one back:

    zstd -dc FILE | psql -c "COPY tongbao.log FROM STDIN (FORMAT binary)"

Everything here blocks; it is meant for a thread.
"""

import hashlib
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NamedTuple

import zstandard

from server.journal.errors import LogDamaged
from server.journal.rows import Row

LEVEL = 3
"""zstd: payloads are compressed already where it pays; this is for the columns around them."""
CHUNK = 1 << 20
"""Bytes that are decompressed at a time."""
VALUE_MAX = 1 << 30
"""PostgreSQL's own limit of a value: a greater length is damage, and not to be waited for."""

HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
TRAILER = b"\xff\xff"

# How many columns; each column's length and value; the length of the digest, which follows with the payload.
_FIXED = struct.Struct("!hiqiqiqihihi32si32si32si")
_SHAPE = (10, 8, 8, 8, 2, 2, 32, 32, 32)
_LENGTH = struct.Struct("!i")
_NULL = _LENGTH.pack(-1)


class Chunk(NamedTuple):
    """Some rows, and their bytes as they stand between the header and the trailer of a file."""

    rows: list[Row]
    raw: bytes


def read_chunks(path: Path, expected: int) -> Iterator[Chunk]:
    """Yield the rows of a file in order; they are not verified. `expected`: the first row's number, to name it.

    Raises LogDamaged when the file is not one from its first byte to its last.
    """
    try:
        with path.open("rb") as file, zstandard.ZstdDecompressor().stream_reader(file) as stream:
            if _exactly(stream, len(HEADER)) != HEADER:
                raise LogDamaged(expected, f"{path.name} does not begin as a file of rows does")
            rest = b""
            while not rest.startswith(TRAILER):
                part = stream.read(CHUNK)
                if not part:
                    raise EOFError("it ends too early")
                rest += part
                rows, end = _parse(rest)
                if rows:
                    yield Chunk(rows, rest[:end])
                    expected = rows[-1].seq + 1
                    rest = rest[end:]
            if rest != TRAILER or stream.read(1):
                raise EOFError("something follows its end")
    except (zstandard.ZstdError, EOFError, OSError, TypeError) as error:
        raise LogDamaged(expected, f"{path.name} cannot be read: {error}") from error


def read_rows(path: Path, expected: int) -> Iterator[Row]:
    """Yield the rows of a file in order; see read_chunks."""
    for chunk in read_chunks(path, expected):
        yield from chunk.rows


def _parse(buffer: bytes) -> tuple[list[Row], int]:
    """Return the rows that lie in the buffer in full, and where they end."""
    rows = []
    end = 0
    while end + _FIXED.size <= len(buffer):
        (count, a, seq, b, epoch, c, time, d, format, e, kind, f, previous, g, hash, h, checksum, digest_length) = (
            _FIXED.unpack_from(buffer, end)
        )
        if (count, a, b, c, d, e, f, g, h) != _SHAPE or not -1 <= digest_length <= VALUE_MAX:
            if count == -1:
                break
            raise TypeError("a row has not the columns of the log")
        at = end + _FIXED.size
        digest = None
        if digest_length >= 0:
            digest = buffer[at : at + digest_length]
            at += digest_length
        if at + _LENGTH.size > len(buffer):
            break
        (length,) = _LENGTH.unpack_from(buffer, at)
        if not 0 <= length <= VALUE_MAX:
            raise TypeError("a payload is NULL or too long")
        at += _LENGTH.size
        if at + length > len(buffer):
            break
        payload = buffer[at : at + length]
        rows.append(Row(seq, epoch, time, format, kind, previous, hash, checksum, digest, payload))
        end = at + length
    return rows, end


def encode_row(row: Row) -> bytes:
    """Return the bytes of a row between header and trailer."""
    seq, epoch, time, format, kind, previous, hash, checksum, digest, payload = row
    tail = _NULL if digest is None else _LENGTH.pack(len(digest)) + digest
    fixed = _FIXED.pack(
        10, 8, seq, 8, epoch, 8, time, 2, format, 2, kind, 32, previous, 32, hash, 32, checksum, 0
    )[: -_LENGTH.size]  # fmt: skip
    return b"".join((fixed, tail, _LENGTH.pack(len(payload)), payload))


def _exactly(stream: zstandard.ZstdDecompressionReader, count: int) -> bytes:
    parts = b""
    while len(parts) < count:
        part = stream.read(count - len(parts))
        if not part:
            raise EOFError("it ends too early")
        parts += part
    return parts


class FileOfRows:
    """Writes such a file beside its place and moves it there when it is on disk."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._temporary = path.with_name(f".{path.name}.writing")
        self._file: IO[bytes] = self._temporary.open("wb")
        self._compressor = zstandard.ZstdCompressor(level=LEVEL).stream_writer(self._file, closefd=False)

    def write(self, data: bytes) -> None:
        """Add what PostgreSQL's COPY gives; header and trailer belong to it."""
        self._compressor.write(data)

    def finish(self) -> None:
        """Make it durable and give it its name; the caller makes the name durable."""
        self._compressor.close()  # type: ignore[no-untyped-call]
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        self._temporary.replace(self._path)

    def abandon(self) -> None:
        """Forget what was written."""
        self._file.close()
        self._temporary.unlink(missing_ok=True)


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
