"""A demo institution: branches, people who work there, products, customers and a little history, all invented.

It is seeded once, part by part: what is there already is left alone, and a seed that was cut off goes on. Everything is
made through the services that people use, so it shows what they do, and the ledger agrees with it.
"""

import secrets
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

from sqlalchemy import text

from backoffice.background import Services
from backoffice.demo import catalogue, customers, people

MARK: Final = "demo-password"
"""File that makes a data directory one of a demo: it holds everybody's password."""

COMPLETE: Final = "demo-complete"
"""File that says that nothing of the demo is missing."""

Part = Callable[[Services, str], Awaitable[None]]
PARTS: Final[tuple[tuple[str, Part], ...]] = (
    ("branches and users", people.seed),
    ("products", catalogue.seed),
    ("customers", customers.seed),
)


async def seed(services: Services, home: Path) -> None:
    """Make what is missing of the demo. An office in which somebody works already is not touched."""
    mark = home / MARK
    if not mark.exists():
        async with services.database.transaction() as connection:
            if await connection.scalar(text("SELECT EXISTS (SELECT FROM office.users)")):
                return
        mark.touch(mode=0o600)
        mark.write_text(f"{secrets.token_hex(8)}\n", "utf-8")
    if (home / COMPLETE).exists():
        return
    password = mark.read_text("utf-8").strip()
    for _, part in PARTS:
        await part(services, password)
    (home / COMPLETE).touch()


def words(home: Path) -> str:
    """Say who may log on."""
    mark = home / MARK
    if not mark.exists():
        return ""
    names = ", ".join(name for name, *_ in people.USERS)
    return f"demo     users: {names}\n         password of each: {mark.read_text('utf-8').strip()}"


def remove(data_dir: Path) -> bool:
    """Delete a demo's data directory, ledger and all. False: it is none of a demo, and nothing is touched."""
    if not (data_dir / "office" / MARK).exists():
        return False
    shutil.rmtree(data_dir)
    return True
