"""Which targets the settings of a follower ask for."""

from typing import TYPE_CHECKING

from server.events.backlog import Again, Source
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
    return found
