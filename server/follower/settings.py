# ruff: noqa: RUF009 - `setting` makes a dataclass field
"""The settings of `tongbao follow`: those of the server that make sense for a follower, and its own."""

from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Literal

from server.settings import KIB, MIB, Settings, SettingsError, setting, table

LEADERS_ONLY = frozenset(
    {
        "postgres_wal_bytes", "batch_ms_max", "queue_delay_ms_max", "spin_microseconds", "disk_free_bytes_min",
        "digest_every", "log_retention", "standby", "standby_reads", "name", "lease_ms",
    }
)  # fmt: skip
"""Settings of `serve` that say nothing to a follower."""


@dataclass(frozen=True, slots=True)
class FollowSettings(Settings):
    """What `tongbao follow` runs with. Build it with `FollowSettings.from_environment`."""

    data_dir: Path = setting(Path("tongbao-follower"), "Directory of the follower's own snapshots and its lock.")
    port: int = setting(
        7430, "TCP/JSON port on which a replica answers reads; 0 takes a free one.", minimum=0, maximum=65535
    )
    http_port: int = setting(7431, "Health and metrics port; 0 takes a free one.", minimum=0, maximum=65535)
    database_url: str = setting(
        "",
        "PostgreSQL that holds the log; one of its standbys will do. Empty: that of the server in leader_dir.",
        variable="DATABASE_URL",
        secret=True,
    )
    leader_dir: Path | None = setting(
        None,
        "Data directory of a server on this machine: its private PostgreSQL is read, and its newest snapshot taken if "
        "there is none here.",
    )
    replica: bool = setting(False, "Answer reads over TCP, each with the log entry up to which it has applied.")
    projection_url: str = setting(
        "",
        "PostgreSQL into whose tables the log is projected (docs/PROJECTION.md); empty: none.",
        secret=True,
    )
    redis_url: str = setting(
        "",
        "Redis to whose streams events are published (docs/EVENTS.md), redis://…, rediss://… or unix://…; empty: none.",
        secret=True,
    )
    redis_prefix: str = setting("tongbao", "What the names of the streams begin with; in a cluster {tongbao}.")
    redis_entries_max: int = setting(
        1_000_000, "Entries that a stream keeps, about (MAXLEN ~); 0 keeps all.", minimum=0
    )
    webhooks: Path | None = setting(
        None, "File of the endpoints that are told of events by HTTP (docs/EVENTS.md); none without it."
    )
    parquet_dir: Path | None = setting(
        None, "Directory into which events are written as Parquet files (docs/EVENTS.md); none without it."
    )
    parquet_rows: int = setting(100_000, "Events that wait for a set of files, at most.", minimum=1, maximum=10_000_000)
    parquet_seconds: int = setting(
        60, "Time after which waiting events are written, however few they are.", minimum=1, maximum=86_400
    )
    events_from: Literal["start", "now"] = setting(
        "start", "What an empty target gets: the events of the whole log (start), or what happens from now on (now)."
    )
    events_waiting_bytes: int = setting(
        64 * MIB,
        "Events that wait in memory for a target, at most; beyond that they are made again from the log.",
        minimum=64 * KIB,
    )
    poll_ms_max: int = setting(
        20, "Longest pause between two looks at a log in which nothing happens.", minimum=1, maximum=60_000
    )

    def check_relations(self) -> None:
        """Raise SettingsError for settings that contradict each other."""
        if not self.database_url and self.leader_dir is None:
            raise SettingsError("database_url: without it, or a leader_dir, there is no log to follow")
        if self.redis_url and not self.redis_url.startswith(("redis://", "rediss://", "unix://")):
            raise SettingsError("redis_url: begins with none of redis://, rediss:// and unix://")
        if not self.redis_prefix or not self.redis_prefix.isprintable() or " " in self.redis_prefix:
            raise SettingsError("redis_prefix: is empty or has spaces")
        if self.replica:
            Settings.check_relations(self)  # a dataclass with slots has no super() without arguments
        elif self.snapshot_stop_items > self.snapshot_every_items:
            raise SettingsError("snapshot_stop_items: is more than snapshot_every_items")


def own_table() -> str:
    """Render what is not as in the server as the Markdown table of docs/FOLLOWERS.md."""
    servers = {item.name: item.default for item in fields(Settings)}
    own = [item.name for item in fields(FollowSettings) if servers.get(item.name, MISSING) != item.default]
    return table(FollowSettings, [*own, "database_url"])
