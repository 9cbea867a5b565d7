"""The switchboard between a run and its client processes: one page of shared memory."""

import mmap
import struct
import time
from enum import IntEnum
from pathlib import Path

SIZE = 4096
CLIENTS_MAX = 512
_WORD = struct.Struct("<I")
_TIME = struct.Struct("<Q")
_GATE_AT, _PORT_AT, _BEGUN_AT, _QUIET_AT = 0, 4, 8, 64


class Gate(IntEnum):
    """What the clients may do."""

    RUN = 0
    """Connect, send again what has no reply, send new requests."""
    DRAIN = 1
    """Like RUN, but nothing new: end with every request answered."""
    CLOSED = 2
    """Keep what connection there is, but make no new one."""
    END = 3
    """Stop at once."""


class Control:
    """The page. Words are aligned, so none is ever seen half written.

    The gate's word counts the times it was moved. A client that is quiet under it (has journaled all that it has
    received, and will receive no more before the gate moves) writes that word into a place of its own.
    """

    def __init__(self, path: Path, *, create: bool = False) -> None:
        if create:
            page = bytearray(SIZE)
            _TIME.pack_into(page, _BEGUN_AT, time.time_ns())
            path.write_bytes(page)
        with path.open("r+b") as file:
            self._page = mmap.mmap(file.fileno(), SIZE)

    def _get(self, at: int) -> int:
        return int(_WORD.unpack_from(self._page, at)[0])

    @property
    def begun(self) -> int:
        """When the page was made, nanoseconds since 1970: what the workload counts its expiries from."""
        return int(_TIME.unpack_from(self._page, _BEGUN_AT)[0])

    @property
    def word(self) -> int:
        return self._get(_GATE_AT)

    @property
    def gate(self) -> Gate:
        return gate_of(self.word)

    def move(self, gate: Gate) -> None:
        """Move the gate."""
        _WORD.pack_into(self._page, _GATE_AT, (((self.word >> 2) + 1) << 2 | int(gate)) & 0xFFFFFFFF)

    @property
    def port(self) -> int:
        return self._get(_PORT_AT)

    @port.setter
    def port(self, port: int) -> None:
        _WORD.pack_into(self._page, _PORT_AT, port)

    def quiet(self, client: int) -> bool:
        """Whether a client is quiet under the gate as it stands."""
        return self._get(_QUIET_AT + 4 * client) == self.word

    def set_quiet(self, client: int, word: int) -> None:
        """Note that a client is quiet under that word (0: it is not)."""
        _WORD.pack_into(self._page, _QUIET_AT + 4 * client, word)


def gate_of(word: int) -> Gate:
    """Return where the gate stands in a word."""
    return Gate(word & 3)
