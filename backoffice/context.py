"""What every service function takes first: the transaction it runs in, who asks, and what time it is."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from backoffice.privacy.keyring import KeyFaultError, Keyring
from backoffice.problems import Code, Problem


@dataclass(frozen=True, slots=True)
class Actor:
    """Who asks: a user who has logged on, or the system itself (`user_id` None)."""

    user_id: int | None
    name: str
    roles: frozenset[str]
    permissions: frozenset[str]
    branch: str = ""
    address: str = ""


SYSTEM = Actor(None, "system", frozenset(), frozenset())
"""Jobs and the command line. It has no permissions; what it does is not asked for by a user."""


def now() -> datetime:
    """The wall clock."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Context:
    """One request's worth of work; everything done through it commits together or not at all."""

    connection: AsyncConnection
    actor: Actor
    clock: Callable[[], datetime] = now
    keys: Keyring | None = None
    """Opens and seals personal data; None where nothing personal is touched."""

    def need(self, permission: str) -> None:
        """Raise Problem unless the actor has the permission."""
        if permission not in self.actor.permissions:
            raise Problem(Code.NOT_PERMITTED, f"{permission} is needed", more={"permission": permission})

    @property
    def keyring(self) -> Keyring:
        """The keyring. Raises KeyFaultError where there is none: personal data cannot be touched there."""
        if self.keys is None:
            raise KeyFaultError("no master key is configured (OFFICE_MASTER_KEY_FILE)")
        return self.keys

    @property
    def user_id(self) -> int:
        """The user's number; Problem for who is none."""
        if self.actor.user_id is None:
            raise Problem(Code.NOT_LOGGED_ON)
        return self.actor.user_id
