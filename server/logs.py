"""Structured log lines that cannot carry personal data or keys.

A line is an event name and fields. Only the fields below pass, each with its type; text passes only when it has the
form of a name, a path or a sentence of ours, never free text of a client. What does not pass is left out and counted,
and the line says so, so that a mistake shows without spilling anything. Exceptions are logged by class and place:
their messages may quote what a client sent. Our own exception classes (`OURS`) write their messages themselves.
"""

import contextlib
import logging
import re
import sys
import traceback
from collections.abc import Callable, MutableMapping
from pathlib import Path
from typing import Any, TextIO

import structlog

FIELDS: dict[str, type | tuple[type, ...]] = {
    # what and how much
    "step": str, "reason": str, "setting": str, "state": str, "signal": str, "kind": str, "outcome": str,
    "count": int, "requests": int, "items": int, "bytes": int, "free_bytes": int, "rows": int, "ranges": int,
    "exit_code": int, "pid": int, "version": str,
    # time
    "seconds": (int, float), "ms": (int, float), "rows_per_second": (int, float), "items_per_second": (int, float),
    # the log and the state
    "seq": int, "seq_last": int, "epoch": int, "timestamp": int, "state_hash": str, "digest": str, "format": int,
    "accounts": int, "transfers": int, "scope": int, "snapshot": str,
    # where
    "host": str, "port": int, "http_port": int, "path": str, "channel": str, "connection": int, "address": str,
    # the database
    "partition": int, "sqlstate": str, "first": int, "last": int, "was": str, "user": str, "major": int, "mode": str,
    "code": int, "wait": (int, float),
    # faults
    "error": str, "message": str, "place": str,
}  # fmt: skip
"""Every field that a line may have. `address` is the network address of an upstream system, and `user` the operating
system's user that PostgreSQL runs as; neither is a person."""

TEXT_MAX = 400
_PLAIN = re.compile(r"[\w .,:;/()\[\]+…–-]*")
_SECRET = re.compile(r"tbk_|sha256\$|[0-9a-fA-F]{65,}")
_HEX = frozenset({"state_hash", "digest"})

_WORDS = ("error", "message", "was")

OURS: list[type[BaseException]] = []
"""Exception classes whose messages are written by us, name no client's data, and may be logged."""

_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


def passes(name: str, value: object) -> bool:
    """Whether a field may stand in a log line."""
    kind = FIELDS.get(name)
    if kind is None or not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        return False
    if isinstance(value, str):
        if name in _HEX:
            return re.fullmatch(r"[0-9a-f]{0,64}", value) is not None
        return len(value) <= TEXT_MAX and _PLAIN.fullmatch(value) is not None and not _SECRET.search(value)
    return True


def plain(text: str) -> str:
    """Text without anything in quotes and without unusual characters, cut short."""
    return re.sub(r"[^\w .,:;/()\[\]+…–-]", " ", re.sub(r"\"[^\"]*\"|'[^']*'", "", text))[:TEXT_MAX]


def make_filter(
    trimmed: Callable[[int], None],
) -> Callable[[Any, str, MutableMapping[str, Any]], MutableMapping[str, Any]]:
    """Return the structlog processor that lets only allowed fields through and reports how many it left out."""

    def only_allowed(_: Any, __: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        for name in _WORDS:
            # Words of the database or of the system: kept, without what could be quoted text of somebody else.
            if isinstance(text := line.get(name), str):
                line[name] = plain(text)
        left_out = [name for name, value in line.items() if name != "event" and not passes(name, value)]
        for name in left_out:
            del line[name]
        if left_out:
            line["left_out"] = len(left_out)
            trimmed(len(left_out))
        return line

    return only_allowed


class Printer:
    """Writes lines; a reader of the log that has gone away must not take the server with it."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def msg(self, message: str) -> None:
        """Write one line."""
        with contextlib.suppress(OSError, ValueError):
            print(message, file=self._stream, flush=True)

    debug = info = warning = error = critical = msg


def configure(form: str, level: str, trimmed: Callable[[int], None]) -> None:
    """Send log lines to standard error as JSON or for the eye."""
    stream = sys.stderr
    renderer: Any = (
        structlog.processors.JSONRenderer()
        if form == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    structlog.configure(
        processors=[
            make_filter(trimmed),
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        logger_factory=lambda *_: Printer(stream),
        cache_logger_on_first_use=False,
    )


def get() -> structlog.typing.FilteringBoundLogger:
    """Return the logger."""
    logger: structlog.typing.FilteringBoundLogger = structlog.get_logger()
    return logger


def fault(error: BaseException) -> dict[str, str]:
    """Describe an exception without its free text: its class, where it was raised, and the message if it is ours."""
    fields = {"error": type(error).__name__}
    frames = traceback.extract_tb(error.__traceback__)
    if frames:
        last = frames[-1]
        fields["place"] = f"{Path(last.filename).name}:{last.lineno} {last.name}"
    if isinstance(error, tuple(OURS)):
        fields["message"] = plain(str(error))
    return fields
