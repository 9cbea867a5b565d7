"""Rails as they are set up: address, state, limits, and keys from files."""

from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import func, select, update

from backoffice import audit
from backoffice.context import Context
from backoffice.database import rows_of
from backoffice.problems import Code, Problem, invalid
from backoffice.rails.signing import KeyFileError, Keys
from backoffice.rails.tables import outbox, rails
from backoffice.settings import Settings

Row = dict[str, Any]


async def get(context: Context, name: str, *, lock: bool = False) -> Row:
    """One rail; Problem when there is none."""
    query = select(rails).where(rails.c.name == name)
    found = rows_of(await context.connection.execute(query.with_for_update() if lock else query))
    if not found:
        raise Problem(Code.NOT_FOUND, f"there is no rail {name}")
    return found[0]


async def listed(context: Context) -> list[Row]:
    """All rails with how much waits for each: what is still to be answered, and what was given up."""
    waiting = func.count().filter(outbox.c.state.in_(["waiting", "pending"]))
    given_up = func.count().filter(outbox.c.state == "given_up")
    query = (
        select(rails, waiting.label("waiting"), given_up.label("given_up"))
        .outerjoin(outbox, (outbox.c.rail == rails.c.name) & outbox.c.state.in_(["waiting", "pending", "given_up"]))
        .group_by(rails.c.name)
        .order_by(rails.c.name)
    )
    # The row that the outer join makes for a rail without orders has no state and is counted by neither.
    return rows_of(await context.connection.execute(query))


async def change(context: Context, name: str, version: int, **values: Any) -> Row:
    """Change address, state or limits. `version` is the one that was read; None leaves a value as it is."""
    row = await get(context, name, lock=True)
    if row["version"] != version:
        raise Problem(Code.CHANGED, f"rail {name} is at version {row['version']}")
    new = {key: value for key, value in values.items() if value is not None}
    if "url" in new:
        _check_url(new["url"])
    if new.get("active", row["active"]) and not new.get("url", row["url"]):
        raise invalid("url", "an active rail needs one")
    at = rails.c.name == name
    change = update(rails).where(at).values(**new, version=rails.c.version + 1).returning(rails)
    changed = rows_of(await context.connection.execute(change))[0]
    await audit.record(context, "rails.change", f"rail:{name}", {key: str(value) for key, value in new.items()})
    return changed


def _check_url(url: str) -> None:
    """An address without path tricks: what is signed is exactly what is asked for."""
    try:
        parts = urlsplit(url)
        good = parts.scheme in {"http", "https"} and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        good = False
        parts = urlsplit("")
    if not good or parts.query or parts.fragment or parts.username or parts.path not in {"", "/"}:
        raise invalid("url", "is not like https://rail.example:8443")


def keys_of(settings: Settings, name: str) -> Keys:
    """Read a rail's keys; a file that has changed is read again. Raises KeyFileError."""
    if not settings.rail_keys:
        raise KeyFileError("OFFICE_RAIL_KEYS is not set")
    path = Path(settings.rail_keys) / f"{name}.keys"
    try:
        found = path.stat()
    except OSError as error:
        raise KeyFileError(f"{path}: {error.strerror}") from None
    return _keys(path, found.st_mtime_ns, found.st_size)


@lru_cache(maxsize=32)
def _keys(path: Path, _changed: int, _size: int) -> Keys:
    return Keys.read(path)
