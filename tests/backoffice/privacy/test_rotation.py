"""A new data key while writers write; cut off and gone on with; no sealed table forgotten."""

import asyncio
from pathlib import Path

import asyncpg
import pytest
from sqlalchemy import select

from backoffice.cli import main
from backoffice.customers import service
from backoffice.customers.tables import customers
from backoffice.privacy import rotation
from backoffice.privacy.keyring import Keyring, new_master, read_master
from backoffice.privacy.rows import SEALED
from tests.backoffice.conftest import Office
from tests.backoffice.customers.make import person


@pytest.fixture
async def another(office: Office) -> Keyring:
    """The keyring of another process."""
    async with office.transaction() as context:
        return Keyring(context.keyring._master)


async def test_rotation_while_writers_write(office: Office, another: Keyring) -> None:
    """Nothing is lost; what the running office writes under the old key is sealed again by the next turn."""
    first = [(await person(office))["customer_id"] for _ in range(9)]
    stop = asyncio.Event()
    made: list[int] = []

    async def write(number: int) -> None:
        turn = 0
        while not stop.is_set():
            turn += 1
            made.append((await person(office))["customer_id"])
            async with office.transaction() as context:
                row = await service.row_of(context, first[number], lock=True)
                await service.change(
                    context, first[number], row["version"], personal={"occupation": f"turn {turn}"}, others={}
                )

    writers = [asyncio.create_task(write(number)) for number in range(3)]
    told: list[tuple[int, int]] = []
    task = asyncio.create_task(rotation.rotate(office.database, another, lambda done, of: told.append((done, of))))
    while not made or not told:
        await asyncio.sleep(0.01)
    while len(made) < 6:
        await asyncio.sleep(0.01)
    await rotation.look_again(office.app.state.office)  # what the running office does every half minute
    key_id, done = await asyncio.wait_for(task, 60)
    stop.set()
    await asyncio.gather(*writers)
    async with office.transaction() as context:
        assert await rotation.left(context, key_id) == 0
        assert len(await service.names_of(context, [*first, *made])) == 9 + len(made)
        assert (await context.connection.execute(select(customers.c.key_id).distinct())).scalars().all() == [key_id]
    assert told[-1][0] == done >= 9


async def test_a_rotation_that_was_cut_off_goes_on(
    office: Office, another: Keyring, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rotation, "PORTION", 2)
    for _ in range(5):
        await person(office)

    def cut(done: int, of: int) -> None:
        if done >= 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await rotation.rotate(office.database, another, cut)
    async with office.transaction() as context:
        before = await rotation.left(context, await another.refresh(context.connection))
    assert before > 0
    key_id, done = await rotation.rotate(office.database, another, lambda *_: None, go_on=True)
    assert done == before
    async with office.transaction() as context:
        assert await rotation.left(context, key_id) == 0


def test_the_command(
    office_dsn: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OFFICE_DATABASE_URL", office_dsn)
    monkeypatch.delenv("OFFICE_MASTER_KEY_FILE", raising=False)
    assert main(["keys", "rotate"]) == 2
    assert "OFFICE_MASTER_KEY_FILE" in capsys.readouterr().err
    new_master(tmp_path / "master.key")
    assert len(read_master(tmp_path / "master.key")) == 32
    monkeypatch.setenv("OFFICE_MASTER_KEY_FILE", str(tmp_path / "master.key"))
    assert main(["keys", "rotate", "--json"]) == 0
    assert '"rows": 0' in capsys.readouterr().out
    (tmp_path / "other.key").touch(0o600)
    (tmp_path / "other.key").write_text("00" * 32)
    monkeypatch.setenv("OFFICE_MASTER_KEY_FILE", str(tmp_path / "other.key"))
    assert main(["keys", "rotate", "--continue"]) == 2
    assert "does not open data key" in capsys.readouterr().err


def test_every_sealed_column_is_registered(office_dsn: str) -> None:
    """A table with a sealed column that rotation does not know would keep its rows under the old key."""

    async def tables() -> set[str]:
        connection = await asyncpg.connect(office_dsn)
        query = (
            "SELECT table_name FROM information_schema.columns WHERE table_schema = 'office' AND column_name = 'sealed'"
        )
        found = {row["table_name"] for row in await connection.fetch(query)}
        await connection.close()
        return found

    assert asyncio.run(tables()) == set(SEALED)
