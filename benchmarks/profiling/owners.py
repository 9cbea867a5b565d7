"""Samples by what the server was doing: groups of functions, and whose code it is."""

import re
from collections import Counter
from collections.abc import Mapping

from rich.console import Console
from rich.table import Table

from benchmarks.profiling.symbols import Frame

GROUPS: tuple[tuple[str, str], ...] = (
    # What it is, and a pattern for names: the innermost frame that matches any decides.
    (
        "clearing pages",
        r"clear_page|clear_huge|clear_user|do_anonymous_page|do_huge_pmd|handle_mm_fault|asm_exc_page_fault",
    ),
    ("receiving", r"tcp_recvmsg|sock_recvmsg|inet_recvmsg|sock_read_iter|unix_stream_recvmsg|unix_stream_read"),
    ("sending to PostgreSQL", r"unix_stream_sendmsg"),
    ("sending to clients", r"tcp_sendmsg|inet_sendmsg"),
    ("waiting for events", r"epoll_wait|ep_poll|epoll_ctl|futex"),
    ("verdicts of limits", r"^engine\.risk\.|^check_order|cfunc\.|numba"),
    ("parsing", r"^server\.wire\.parser|^server\.wire\.(fields|items|scan|orders|limits|buffer)\b"),
    ("encoding replies", r"^server\.wire\.encode|^server\.wire\.output"),
    ("encoding the log", r"^engine\.log_record|ZSTD_|^_?zstd"),
    ("hashing the log", r"(?i)^_?sha(2|256|512)|EVP_"),
    ("engine", r"^engine\."),
    ("batch as a whole", r"^server\.batches"),
    ("uvloop and libuv", r"^uvloop\.|^uv_"),
    ("Python", r"^Python$"),
)
_PATTERNS = [(name, re.compile(pattern)) for name, pattern in GROUPS]


def group(stack: tuple[Frame, ...]) -> str:
    """Return the group of a sample."""
    for frame in reversed(stack):
        for name, pattern in _PATTERNS:
            if pattern.search(frame.name):
                return name
        if frame.owner == "uvloop":
            return "uvloop and libuv"
    return "kernel, other" if stack[-1].owner == "kernel" else "other"


def by_group(stacks: Mapping[tuple[Frame, ...], int]) -> Counter[str]:
    """Count samples by group; those of other threads apart."""
    counts: Counter[str] = Counter()
    for stack, samples in stacks.items():
        counts[group(stack) if stack[0].name != "other threads" else f"other threads: {group(stack)}"] += samples
    return counts


def show_owners(stacks: Mapping[tuple[Frame, ...], int], ns: float) -> None:
    """Print shares of the groups, and what they are of `ns` nanoseconds of CPU a request."""
    counts = by_group(stacks)
    total = counts.total()
    table = Table(title="CPU of the server")
    for column in ("doing", "share", "ns a request"):
        table.add_column(column, justify="left" if column == "doing" else "right")
    for name, samples in counts.most_common():
        table.add_row(name, f"{100 * samples / total:.1f} %", f"{ns * samples / total:,.0f}")
    Console(width=100).print(table)
