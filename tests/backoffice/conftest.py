"""An office with a database of its own: made once and migrated, then copied for each test."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest

pytest.importorskip("fastapi")

from backoffice import parameters
from backoffice.access import users
from backoffice.access.oidc import provider_of
from backoffice.access.rates import Rates
from backoffice.api.app import PREFIX, create_app
from backoffice.context import SYSTEM, Context
from backoffice.database import Database
from backoffice.ledger import Gateway
from backoffice.migration import migrate
from backoffice.privacy.keyring import new_master
from backoffice.settings import Settings
from server.journal import PrivatePostgres
from tests.server.conftest import _run_cluster
from tests.server.serving.harness import running, settings_for

_numbers = itertools.count(1)
PASSWORD = "correct horse battery"


@pytest.fixture(scope="session")
def office_postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivatePostgres]:
    yield from _run_cluster(tmp_path_factory.mktemp("office-postgres"))


async def _execute(postgres: PrivatePostgres, command: str) -> None:
    connection = await asyncpg.connect(postgres.dsn)
    await connection.execute(command)
    await connection.close()


def dsn_of(postgres: PrivatePostgres, name: str) -> str:
    return postgres.dsn.replace("/tongbao?", f"/{name}?", 1)


@pytest.fixture(scope="session")
def office_template(office_postgres: PrivatePostgres) -> str:
    async def make() -> None:
        await _execute(office_postgres, "CREATE DATABASE office_template")
        dsn = dsn_of(office_postgres, "office_template")
        await migrate(dsn)
        database = Database.open(dsn, pool_size=1)
        async with database.transaction() as connection:
            await parameters.seed(Context(connection, SYSTEM))
        await database.close()

    asyncio.run(make())
    return "office_template"


@pytest.fixture
def office_dsn(office_postgres: PrivatePostgres, office_template: str) -> Iterator[str]:
    name = f"office_{next(_numbers)}"
    asyncio.run(_execute(office_postgres, f"CREATE DATABASE {name} TEMPLATE {office_template}"))
    yield dsn_of(office_postgres, name)
    asyncio.run(_execute(office_postgres, f"DROP DATABASE {name} WITH (FORCE)"))


class Office:
    """A running application, people who have logged on, and a clock that a test moves."""

    def __init__(self, dsn: str, key_file: Path, engine: str = "") -> None:
        self.dsn = dsn
        self.settings = Settings(
            database_url=dsn,
            master_key_file=str(key_file),
            rate_address="none",
            rate_user="none",
            **({"engine": engine} if engine else {}),
        )
        self.database = Database.open(dsn, pool_size=5)
        self.time = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
        app = create_app(self.database, self.settings, clock=lambda: self.time)
        self.app = app
        transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
        self.client = httpx.AsyncClient(transport=transport, base_url="http://office")
        self.tokens: dict[str, str] = {}
        self.keys = itertools.count(1)

    def pass_by(self, **parts: float) -> None:
        self.time += timedelta(**parts)

    def use(self, **settings: Any) -> None:
        """Go on with other settings; what is derived from them is made anew."""
        self.settings = replace(self.settings, **settings)
        state = self.app.state.office
        state.settings = self.settings
        state.rates = Rates(self.settings)
        state.provider = provider_of(self.settings, lambda: self.time)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Context]:
        """Work as the system, beside the API."""
        async with self.database.transaction() as connection:
            yield Context(connection, SYSTEM, lambda: self.time, self.app.state.office.keyring)

    async def prepare(self) -> None:
        async with self.transaction() as context:
            await context.keyring.prepare(context.connection)

    @property
    def gateway(self) -> Gateway:
        found: Gateway = self.app.state.office.gateway
        return found

    async def add(self, name: str, *roles: str) -> None:
        """Make a user who has logged on."""
        async with self.database.transaction() as connection:
            context = Context(connection, SYSTEM, lambda: self.time)
            await users.create(context, name=name, full_name=name.title(), roles=roles, password=PASSWORD)
        self.tokens[name] = (await self.log_on(name)).json()["token"]

    async def log_on(self, name: str, password: str = PASSWORD, code: str = "") -> httpx.Response:
        return await self.client.post(f"{PREFIX}/sessions", json={"name": name, "password": password, "code": code})

    async def ask(self, who: str | None, method: str, path: str, body: Any = None, **headers: str) -> httpx.Response:
        """Ask as somebody; a key is made for every POST unless one is given."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if who is not None:
            sent.setdefault("authorization", f"Bearer {self.tokens[who]}")
        if method == "POST":
            sent.setdefault("idempotency-key", f"key-{next(self.keys)}")
        return await self.client.request(method, PREFIX + path, json=body, headers=sent)


@pytest.fixture(scope="session")
def key_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("keys") / "master"
    new_master(path)
    return path


@pytest.fixture
async def bank(
    office_postgres: PrivatePostgres, office_dsn: str, key_file: Path, tmp_path: Path
) -> AsyncIterator[Office]:
    """An office whose gateway works, and an engine of its own in this process: both know nothing yet."""
    name = f"engine_{next(_numbers)}"
    await _execute(office_postgres, f"CREATE DATABASE {name}")
    async with running(settings_for(tmp_path / "engine", database_url=dsn_of(office_postgres, name))) as server:
        made = Office(office_dsn, key_file, f"127.0.0.1:{server.port}")
        await made.prepare()
        await made.gateway.start()
        yield made
        await made.client.aclose()
        await made.gateway.stop()
        await made.database.close()
    await _execute(office_postgres, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
async def office(office_dsn: str, key_file: Path) -> AsyncIterator[Office]:
    made = Office(office_dsn, key_file)
    await made.prepare()
    yield made
    await made.client.aclose()
    await made.database.close()
