"""What each stage of a request costs, by the server's own clocks, beside its CPU time and the project's budget."""

import json
import re
import urllib.request
from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Console
from rich.table import Table

BUDGET: dict[str, float] = {
    "read and write": 165, "parse": 60, "apply": 83, "log encode": 12, "reply encode": 12, "else": 50,
}  # fmt: skip
"""The project's budget, ns a message at 16 x 64: kernel 165, parse 47-60, posting 70 and risk 13, log encode 12, reply
and clock 12, uvloop 50; about 380 in all."""
TOTAL = 380

STAGES: tuple[tuple[str, str, str], ...] = (
    # Name, metric, what it holds.
    ("read", "read_seconds_sum", "uvloop's read and recv(2)"),
    ("parse", "stage_seconds_total/parse", "bytes to commands"),
    ("apply", "apply_seconds_sum", "the engine: posting; for orders limits, matching, settlement"),
    ("log encode", "stage_seconds_total/log_encode", "columns and zstd"),
    ("append", "stage_seconds_total/append", "SHA-256 and PostgreSQL's socket"),
    ("reply encode", "encode_seconds_sum", "answers to bytes"),
    ("write", "stage_seconds_total/write", "send(2) to every client"),
)
"""Those that hold the event loop, in the order of a request's way."""
PREFIX = "tongbao_"
_STAGE = re.compile(r'^tongbao_stage_seconds_total\{stage="(\w+)"\}$')


@dataclass(frozen=True, slots=True)
class Reading:
    """The metrics of a server at one moment."""

    values: dict[str, float]

    @classmethod
    def of(cls, text: str) -> "Reading":
        """Read Prometheus text. Requests are summed over kinds; stages are told apart as name/stage."""
        values: dict[str, float] = {}
        for line in text.splitlines():
            name, _, value = line.rpartition(" ")
            if line.startswith(PREFIX) and "{" not in name:
                values[name.removeprefix(PREFIX)] = float(value)
            elif line.startswith(f"{PREFIX}requests_total"):
                values["requests"] = values.get("requests", 0.0) + float(value)
            elif found := _STAGE.match(name):
                values[f"stage_seconds_total/{found[1]}"] = float(value)
            elif name == "process_cpu_seconds_total":
                values["cpu_seconds"] = float(value)
        return cls(values)

    @classmethod
    def fetch(cls, url: str) -> "Reading":
        """Read those of a running server."""
        with urllib.request.urlopen(url, timeout=10) as answer:
            return cls.of(answer.read().decode())

    def since(self, before: "Reading", name: str) -> float:
        """By how much a value has grown."""
        return self.values.get(name, 0.0) - before.values.get(name, 0.0)


@dataclass(frozen=True, slots=True)
class Spent:
    """Nanoseconds a message: a transfer or order of a request, or a request that changes nothing."""

    title: str
    requests: int
    items: int
    items_per_second: float
    items_per_batch: float
    requests_per_read: float
    """0: not measured."""
    stages: dict[str, float]
    cpu: float
    """User and system time of the server's process, all threads."""
    rest: float
    """CPU that no stage holds: uvloop, epoll, Python between stages, the thread that populates memory."""
    database_cpu: float
    """Of the private PostgreSQL."""
    commit_us: float
    """From handing a batch to the journal until it is durable, in microseconds a batch."""

    def json(self) -> dict[str, Any]:
        """Return it as one object."""
        return asdict(self) | {"budget": BUDGET}


def spent(title: str, before: Reading, after: Reading, seconds: float, database_cpu: float = 0.0) -> Spent:
    """Divide what was spent between two readings by the requests that were answered."""
    requests = after.since(before, "requests")
    if requests < 1:
        raise ValueError("no request was answered between the two readings")
    items = max(requests, after.since(before, "items_total"))
    stages = {name: 1e9 * after.since(before, metric) / items for name, metric, _ in STAGES if metric in after.values}
    cpu = 1e9 * after.since(before, "cpu_seconds") / items
    reads = after.since(before, "read_seconds_count")
    commits = after.since(before, "commit_seconds_count")
    return Spent(
        title=title,
        requests=int(requests),
        items=int(items),
        items_per_second=items / seconds,
        items_per_batch=items / max(1.0, after.since(before, "batch_requests_count")),
        requests_per_read=requests / reads if reads else 0.0,
        stages=stages,
        cpu=cpu,
        rest=cpu - sum(stages.values()),
        database_cpu=1e9 * database_cpu / items,
        commit_us=1e6 * after.since(before, "commit_seconds_sum") / commits if commits else 0.0,
    )


def show(one: Spent) -> None:
    """Print a table."""
    table = Table(title=f"{one.title}: {one.items_per_second:,.0f}/s")
    for name, side in (("stage", "left"), ("ns a message", "right"), ("budget", "right"), ("what", "left")):
        table.add_column(name, justify="left" if side == "left" else "right")
    words = {name: what for name, _, what in STAGES}
    for name, nanoseconds in one.stages.items():
        aim = f"{BUDGET[name]:.0f}" if name in BUDGET else ""
        if name == "write" and "read" in one.stages:
            aim = f"{BUDGET['read and write']:.0f} with read"
        table.add_row(name, f"{nanoseconds:,.0f}", aim, words[name])
    rest = "uvloop, epoll, Python between, clearing pages"
    table.add_row("else", f"{one.rest:,.0f}", f"{BUDGET['else']:.0f}", rest, end_section=True)
    table.add_row("CPU of the server", f"{one.cpu:,.0f}", f"{TOTAL}", "all threads, user and system")
    if one.database_cpu:
        table.add_row("CPU of PostgreSQL", f"{one.database_cpu:,.0f}", "", "its processes")
    if one.commit_us:
        share = 1e3 * one.commit_us / one.items_per_batch
        table.add_row("commit", f"{share:,.0f}", "", f"{one.commit_us:,.0f} µs a batch, with log encode and append")
    Console(width=120).print(table)
    reads = f", {one.requests_per_read:,.1f} requests a read" if one.requests_per_read else ""
    Console(width=120).print(f"{one.items_per_batch:,.1f} messages a batch{reads}", highlight=False)


def dump(one: Spent) -> str:
    """One line of JSON."""
    return json.dumps(one.json())
