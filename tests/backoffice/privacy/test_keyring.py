"""Sealed means sealed: wrong keys, moved and changed data are seen; the database alone tells nothing."""

from pathlib import Path

import pytest
from sqlalchemy import text

from backoffice.privacy import masks
from backoffice.privacy.keyring import KeyFaultError, Keyring, Sealed, new_master, read_master
from tests.backoffice.conftest import Office

FIELDS = {"name": "王小明", "phone": "13812345678"}


async def test_what_is_sealed_opens_only_in_its_place(office: Office) -> None:
    async with office.transaction() as context:
        ring, connection = context.keyring, context.connection
        sealed = ring.seal("customers:1", FIELDS)
        assert await ring.open(connection, "customers:1", sealed) == FIELDS
        assert ring.seal("customers:1", FIELDS).data != sealed.data
        assert "王".encode() not in sealed.data
        wrong = [
            ("customers:2", sealed),
            ("customers:1", Sealed(sealed.key_id, sealed.data[:-1] + bytes([sealed.data[-1] ^ 1]))),
            ("customers:1", Sealed(sealed.key_id, bytes([sealed.data[0] ^ 1]) + sealed.data[1:])),
            ("customers:1", Sealed(sealed.key_id, sealed.data[:20])),
            ("customers:1", Sealed(sealed.key_id, b"")),
            ("customers:1", Sealed(999, sealed.data)),
        ]
        for place, each in wrong:
            with pytest.raises(KeyFaultError) as raised:
                await ring.open(connection, place, each)
            assert "王" not in str(raised.value)


async def test_a_new_key_seals_and_the_old_one_still_opens(office: Office) -> None:
    async with office.transaction() as context:
        ring, connection = context.keyring, context.connection
        old = ring.seal("a:1", FIELDS)
        number = await ring.add(connection)
        assert ring.seal("a:1", FIELDS).key_id == old.key_id  # until it looks again
        assert await ring.refresh(connection) == number
        new = ring.seal("a:1", FIELDS)
        assert new.key_id == number != old.key_id
        assert [await ring.open(connection, "a:1", each) for each in (old, new)] == [FIELDS, FIELDS]


async def test_another_master_key_opens_nothing_until_all_is_wrapped_anew(office: Office, tmp_path: Path) -> None:
    other = bytes(range(32))
    async with office.transaction() as context:
        ring, connection = context.keyring, context.connection
        sealed, blind = ring.seal("a:1", FIELDS), ring.blind("phone", "1")
        with pytest.raises(KeyFaultError, match="does not open"):
            await Keyring(other).prepare(connection)
        assert await ring.rewrap(connection, other) == 2
        again = Keyring(other)
        await again.prepare(connection)
        assert await again.open(connection, "a:1", sealed) == FIELDS
        assert again.blind("phone", "1") == blind
        assert again.blind("email", "1") != blind
        assert await connection.scalar(text("SELECT count(*) FROM office.data_keys")) == 2


def test_a_master_key_is_its_owners_and_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "key"
    new_master(path)
    assert len(read_master(path)) == 32
    with pytest.raises(FileExistsError):
        new_master(path)
    path.chmod(0o640)
    with pytest.raises(KeyFaultError, match="chmod"):
        read_master(path)
    path.chmod(0o600)
    for words in ("", "xyz", "00" * 31):
        path.write_text(words)
        with pytest.raises(KeyFaultError):
            read_master(path)
    with pytest.raises(KeyFaultError, match="No such file"):
        read_master(tmp_path / "nothing")


@pytest.mark.parametrize(
    ("mask", "text_", "shown"),
    [
        (masks.name, "王小明", "王**"), (masks.name, "John Smith", "J*** S****"), (masks.name, "", ""),
        (masks.certificate, "110101199003070038", "110***********0038"), (masks.phone, "13812345678", "138****5678"),
        (masks.phone, "1381", "1***"), (masks.card, "6222020200112233445", "622202*********3445"),
        (masks.email, "li.min@example.com", "l***@example.com"),
        (masks.address, "河南省郑州市金水区某路一号", "河南省郑州市*******"),
    ],
)  # fmt: skip
def test_masks(mask: object, text_: str, shown: str) -> None:
    assert callable(mask)
    assert mask(text_) == shown
