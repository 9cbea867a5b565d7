"""Which targets the settings of a follower ask for."""

import os
from typing import TYPE_CHECKING

from server.events.backlog import Again, Source
from server.events.hooks import read_hooks
from server.events.publisher import Publisher, Target
from server.settings import SettingsError
from server.snapshots import Snapshots

if TYPE_CHECKING:
    from server.follower.settings import FollowSettings


def publishers_of(settings: "FollowSettings", journal: Source, snapshots: Snapshots) -> list[Publisher]:
    """One publisher per target. Raises SettingsError for one that cannot be made."""
    again = Again(journal, snapshots, settings.limits())
    return [
        Publisher(
            target, journal, again, bytes_max=settings.events_waiting_bytes, from_now=settings.events_from == "now"
        )
        for target in _targets(settings)
    ]


def _targets(settings: "FollowSettings") -> list[Target]:
    found: list[Target] = []
    if settings.redis_url:
        try:
            from server.events.streams import Streams  # noqa: PLC0415 - redis is an optional dependency
        except ImportError as error:
            raise SettingsError(f"redis_url: needs the package {error.name}: pip install 'tongbao[events]'") from None
        try:
            found.append(Streams(settings.redis_url, settings.redis_prefix, settings.redis_entries_max))
        except ValueError as error:
            raise SettingsError(f"redis_url: {error}") from None
    if settings.webhooks is not None:
        hooks = read_hooks(settings.webhooks, os.environ)
        try:
            from server.events.webhooks import Webhook  # noqa: PLC0415 - aiohttp is an optional dependency
        except ImportError as error:
            raise SettingsError(f"webhooks: needs the package {error.name}: pip install 'tongbao[events]'") from None
        directory = settings.data_dir / "webhooks"
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        found += [Webhook(hook, directory) for hook in hooks]
    if settings.parquet_dir is not None:
        try:
            from server.events.parquet import Parquet  # noqa: PLC0415 - pyarrow is an optional dependency
        except ImportError as error:
            raise SettingsError(
                f"parquet_dir: needs the package {error.name}: pip install 'tongbao[parquet]'"
            ) from None
        found.append(Parquet(settings.parquet_dir, settings.parquet_rows, settings.parquet_seconds))
    return found
