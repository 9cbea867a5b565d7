"""Counters of the server and their Prometheus form.

The hot path adds to plain integers, once per batch; the names, labels and text are made when somebody scrapes.
docs/OPERATIONS.md lists every name, and a test holds the two equal.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from itertools import accumulate

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

SECONDS = tuple(round(scale * step, 7) for scale in (1e-5, 1e-4, 1e-3, 1e-2, 0.1, 1.0) for step in (1, 2, 5))
"""Upper bounds from 10 µs to 5 s."""
ITEMS = tuple(2**power for power in range(21))
"""Upper bounds from 1 to about a million."""
LAG = (*(scale * step for scale in (1e-3, 1e-2, 0.1, 1.0) for step in (1, 2, 5)), 10.0, 60.0, 600.0, 3600.0)
"""Upper bounds from 1 ms to an hour."""


class Histogram:
    """Counts by upper bound; `observe` costs a fraction of a microsecond."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        """Count one value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def buckets(self) -> list[tuple[str, float]]:
        """Cumulative counts as Prometheus wants them."""
        names = [f"{bound:g}" for bound in self.bounds] + ["+Inf"]
        return list(zip(names, map(float, accumulate(self.counts)), strict=True))


COUNTERS: dict[str, tuple[str, str, tuple[str, ...]]] = {
    # attribute: (sentence, label, values of the label)
    "connections_opened": ("Connections that were accepted.", "", ()),
    "connections_refused": ("Connections that were refused at once.", "reason", ("total", "address", "stopping")),
    "connections_dropped": (
        "Connections that the server ended.",
        "reason",
        ("handshake", "idle", "frame", "slow_reader", "protocol", "logon"),
    ),
    "logons": ("Logons.", "outcome", ("accepted", "refused", "throttled", "channel_full")),
    "requests": ("Requests in batches that were answered.", "kind", ("write", "read", "ping", "other")),
    "requests_refused": (
        "Requests answered busy (-32003).",
        "reason",
        ("queue_delay", "overload", "disk_free", "stopping"),
    ),
    "items": ("Items of logged requests.", "", ()),
    "batches": ("Batches that were answered.", "kind", ("logged", "reads", "replies", "tick")),
    "stage_seconds": (
        "Time that the event loop spent on stages of requests; for `apply` and `encode` see their histograms.",
        "stage",
        ("parse", "log_encode", "append", "write"),
    ),
    "bytes_sent": ("Bytes of replies.", "", ()),
    "notifications": ("Notifications sent to subscribers.", "", ()),
    "snapshots": ("Snapshots.", "outcome", ("taken", "failed")),
    "log_lines_trimmed": ("Log fields left out because they are not on the list of allowed ones.", "", ()),
}

HISTOGRAMS: dict[str, tuple[str, tuple[float, ...]]] = {
    "commit_seconds": ("Time from handing a batch to the journal until its row is durable.", SECONDS),
    "barrier_seconds": ("Time of the proof that a batch of reads still has the head of the log.", SECONDS),
    "apply_seconds": ("Time of the engine for one batch; the event loop stands still for it.", SECONDS),
    "encode_seconds": ("Time to encode the replies of one batch.", SECONDS),
    "queue_seconds": (
        "Age of a batch when it is closed: how long its first request waited for the commit before.",
        SECONDS,
    ),
    "batch_items": ("Items of one logged batch.", ITEMS),
    "batch_requests": ("Requests of one batch.", ITEMS),
    "snapshot_stall_seconds": ("Time that starting a snapshot stopped the event loop.", SECONDS),
    "follow_lag_seconds": (
        "Follower: from a batch's time, by the leader's clock, until it was applied.",
        LAG,
    ),
}

GAUGES: dict[str, str] = {
    "ready": "1 when requests are answered, 0 before and during the stop.",
    "connections": "Connections that are open.",
    "connections_paused": "Connections that are not read at this moment: back-pressure, rate or window.",
    "log_seq": "Number of the newest committed log entry.",
    "log_epoch": "Epoch under which this process writes the log.",
    "last_timestamp": "Newest timestamp that the engine gave, nanoseconds since 1970.",
    "accounts": "Accounts in the ledger.",
    "transfers": "Transfers in the ledger.",
    "transfers_pending": "Pending transfers.",
    "accounts_free": "Accounts that still fit.",
    "transfers_free": "Transfers that still fit.",
    "in_flight_seconds": "Age of the batch that waits for the database; a stalled database shows here first.",
    "disk_free_bytes": "Free space in data_dir.",
    "postgres_restarts": "How often the private PostgreSQL died and was brought back.",
    "snapshot_seq": "Log entry of the newest verified snapshot.",
    "snapshot_items_since": "Log items since the newest snapshot.",
    "snapshot_running": "1 while a snapshot is being written.",
    "orders": "Orders that ever were.",
    "orders_open": "Orders that are open.",
    "trades": "Trades.",
    "subscriptions": "Topics that connections are subscribed to.",
    "start_seconds": "Time from the start of the process until it was ready.",
    "follow_seq": "Follower: newest log entry that was applied.",
    "follow_behind_seconds": "Follower: age of the newest entry when it was applied, or how long the log is silent.",
    "projection_seq": "Projection: newest log entry that the tables hold.",
    "projection_rows_behind": "Projection: log entries that the follower has applied and the tables do not hold yet.",
    "projection_rows_total": "Projection: rows of tables written since the start.",
    "projection_trouble": "Projection: 1 while its database does not take what is written.",
}

PREFIX = "tongbao"


class Metrics(Collector):
    """All numbers of one server. Counters are attributes: an int, or a dict by label value."""

    connections_opened: int
    connections_refused: dict[str, int]
    connections_dropped: dict[str, int]
    logons: dict[str, int]
    requests: dict[str, int]
    requests_refused: dict[str, int]
    items: int
    batches: dict[str, int]
    stage_seconds: dict[str, float]
    bytes_sent: int
    notifications: int
    snapshots: dict[str, int]
    log_lines_trimmed: int
    commit_seconds: Histogram
    barrier_seconds: Histogram
    apply_seconds: Histogram
    encode_seconds: Histogram
    queue_seconds: Histogram
    batch_items: Histogram
    batch_requests: Histogram
    snapshot_stall_seconds: Histogram
    follow_lag_seconds: Histogram

    def __init__(self) -> None:
        for name, (_, label, values) in COUNTERS.items():
            setattr(self, name, dict.fromkeys(values, 0) if label else 0)
        for name, (_, bounds) in HISTOGRAMS.items():
            setattr(self, name, Histogram(bounds))
        self.gauges: dict[str, Callable[[], float]] = {}
        """How to read a gauge at this moment; one without a reader is not shown."""
        self.channel_requests: Callable[[], Iterable[tuple[str, int, int]]] = tuple
        """Yields (channel, connections, requests accepted)."""
        self.publishers: Callable[[], Iterable[tuple[str | float, ...]]] = tuple
        """Yields of each publisher its name and the values of PUBLISHERS."""
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)
        ProcessCollector(registry=self._registry)

    def exposition(self) -> bytes:
        """Return the text that Prometheus reads."""
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        """Yield every family; called by `exposition`."""
        for name, (sentence, label, _) in COUNTERS.items():
            counter = CounterMetricFamily(f"{PREFIX}_{name}", sentence, labels=[label] if label else [])
            value = getattr(self, name)
            for label_value, count in value.items() if label else [("", value)]:
                counter.add_metric([label_value] if label else [], count)
            yield counter
        for name, (sentence, _) in HISTOGRAMS.items():
            histogram: Histogram = getattr(self, name)
            yield HistogramMetricFamily(
                f"{PREFIX}_{name}", sentence, buckets=histogram.buckets(), sum_value=histogram.total
            )
        for name, read in self.gauges.items():
            yield GaugeMetricFamily(f"{PREFIX}_{name}", GAUGES[name], value=read())
        connections = GaugeMetricFamily(f"{PREFIX}_channel_connections", CHANNEL_CONNECTIONS, labels=["channel"])
        requests = CounterMetricFamily(f"{PREFIX}_channel_requests", CHANNEL_REQUESTS, labels=["channel"])
        for channel, open_now, accepted in self.channel_requests():
            connections.add_metric([channel], open_now)
            requests.add_metric([channel], accepted)
        yield connections
        yield requests
        values = list(self.publishers())
        for place, (name, (sentence, kind)) in enumerate(PUBLISHERS.items(), 1):
            family = kind(f"{PREFIX}_{name}", sentence, labels=["target"])
            for value in values:
                family.add_metric([str(value[0])], float(value[place]))
            yield family


CHANNEL_CONNECTIONS = "Connections that are logged on as the channel."
CHANNEL_REQUESTS = "Requests of the channel that were accepted."

PUBLISHERS: dict[str, tuple[str, type[GaugeMetricFamily | CounterMetricFamily]]] = {
    "events_seq": ("Events: newest log entry that the target has.", GaugeMetricFamily),
    "events_rows_behind": ("Events: log entries that were applied and the target has not.", GaugeMetricFamily),
    "events_lag_seconds": ("Events: age of the oldest entry that the target has not.", GaugeMetricFamily),
    "events_published": ("Events: those that the target took since the start.", CounterMetricFamily),
    "events_retries": ("Events: how often the target was lost and tried again.", CounterMetricFamily),
    "events_dead": ("Events: those that were given up, and stand in a file of dead letters.", CounterMetricFamily),
    "events_trouble": ("Events: 1 while the target takes nothing.", GaugeMetricFamily),
}
"""Of each target of events."""


def names() -> dict[str, str]:
    """Return every metric of ours with its sentence, as docs/OPERATIONS.md lists them."""
    return (
        {f"{PREFIX}_{name}_total": sentence for name, (sentence, _, _) in COUNTERS.items()}
        | {f"{PREFIX}_{name}": sentence for name, (sentence, _) in HISTOGRAMS.items()}
        | {f"{PREFIX}_{name}": sentence for name, sentence in GAUGES.items()}
        | {
            f"{PREFIX}_channel_connections": CHANNEL_CONNECTIONS,
            f"{PREFIX}_channel_requests_total": CHANNEL_REQUESTS,
        }
        | {
            f"{PREFIX}_{name}" + ("_total" if kind is CounterMetricFamily else ""): sentence
            for name, (sentence, kind) in PUBLISHERS.items()
        }
    )
