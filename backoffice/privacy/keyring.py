"""Keys of personal data: a master key in a file wraps data keys and the key of blind indexes, kept in the database.

Who has the database alone reads nothing; who has the file alone has nothing to read. Data keys are changed by making a
new one and sealing rows anew (`rotation`), the master key by wrapping anew; the key of blind indexes stays, because it
decides what is found. Sealing: AES-256-GCM with a random nonce (NIST SP 800-38D); wrapping: AES key wrap (RFC 3394).
"""

import hmac
import json
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap, aes_key_wrap
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

KEY_BYTES: Final = 32
NONCE_BYTES: Final = 12


class KeyFaultError(Exception):
    """A key is missing, or does not fit what it is to open. Never says anything about the data."""


def new_master(path: Path) -> None:
    """Write a new master key, readable by its owner alone. Raises FileExistsError rather than losing one."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(secrets.token_hex(KEY_BYTES) + "\n")


def read_master(path: Path) -> bytes:
    """Read a master key. Raises KeyFaultError when it is none, or when others than its owner may read it."""
    try:
        if path.stat().st_mode & 0o077:
            raise KeyFaultError(f"{path}: others may read it; chmod 600")
        key = bytes.fromhex(path.read_text("ascii").strip())
    except OSError as error:
        raise KeyFaultError(f"{path}: {error.strerror}") from None
    except ValueError:
        raise KeyFaultError(f"{path}: is not a key in hexadecimal") from None
    if len(key) != KEY_BYTES:
        raise KeyFaultError(f"{path}: holds {len(key)} bytes, not {KEY_BYTES}")
    return key


@dataclass(frozen=True, slots=True)
class Sealed:
    """What is written: the number of the data key, and nonce with ciphertext."""

    key_id: int
    data: bytes


class Keyring:
    """Opens and seals. Data keys are fetched once and kept; the newest one seals."""

    def __init__(self, master: bytes) -> None:
        self._master = master
        self._keys: dict[int, AESGCM] = {}
        self._current: int | None = None
        self._blind: bytes | None = None

    async def _load(self, connection: AsyncConnection) -> None:
        rows = await connection.execute(
            text("SELECT key_id, purpose, wrapped FROM office.data_keys WHERE retired_at IS NULL ORDER BY key_id")
        )
        for row in rows:
            try:
                key = aes_key_unwrap(self._master, row.wrapped)
            except InvalidUnwrap:
                raise KeyFaultError(f"the master key does not open data key {row.key_id}") from None
            if row.purpose == "blind":
                self._blind = key
            else:
                self._keys[row.key_id] = AESGCM(key)
                self._current = row.key_id

    async def prepare(self, connection: AsyncConnection) -> None:
        """Make the first keys of a new office, and read them. Raises KeyFaultError when the master key is another."""
        await connection.execute(text("LOCK TABLE office.data_keys IN SHARE ROW EXCLUSIVE MODE"))
        for purpose in ("blind", "data"):
            known = text("SELECT EXISTS (SELECT FROM office.data_keys WHERE purpose = :p)")
            if not await connection.scalar(known, {"p": purpose}):
                await self.add(connection, purpose)
        await self._load(connection)

    async def add(self, connection: AsyncConnection, purpose: str = "data") -> int:
        """Make a key; a data key seals from now on (other processes go on with theirs until they look again)."""
        wrapped = aes_key_wrap(self._master, secrets.token_bytes(KEY_BYTES))
        made = text("INSERT INTO office.data_keys (purpose, wrapped) VALUES (:p, :w) RETURNING key_id")
        number: int = (await connection.execute(made, {"p": purpose, "w": wrapped})).scalar_one()
        return number

    async def refresh(self, connection: AsyncConnection) -> int:
        """Read the keys again and give the number of the one that seals."""
        await self._load(connection)
        if self._current is None:
            raise KeyFaultError("there is no data key: prepare the keyring first")
        return self._current

    async def rewrap(self, connection: AsyncConnection, master: bytes) -> int:
        """Wrap every key with another master key; give how many. The caller changes the file when it is committed."""
        rows = (await connection.execute(text("SELECT key_id, wrapped FROM office.data_keys FOR UPDATE"))).all()
        for row in rows:
            try:
                wrapped = aes_key_wrap(master, aes_key_unwrap(self._master, row.wrapped))
            except InvalidUnwrap:
                raise KeyFaultError(f"the master key does not open data key {row.key_id}") from None
            change = text("UPDATE office.data_keys SET wrapped = :w WHERE key_id = :k")
            await connection.execute(change, {"w": wrapped, "k": row.key_id})
        return len(rows)

    # --- sealing ----------------------------------------------------------------------------------

    def seal(self, place: str, fields: Mapping[str, Any]) -> Sealed:
        """Seal fields for a place (`table:row`): nothing can be moved from one row to another unnoticed."""
        return self.seal_bytes(place, json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode())

    def seal_bytes(self, place: str, data: bytes) -> Sealed:
        """Seal bytes for a place."""
        if self._current is None:
            raise KeyFaultError("the keyring is not prepared")
        nonce = secrets.token_bytes(NONCE_BYTES)
        return Sealed(self._current, nonce + self._keys[self._current].encrypt(nonce, data, place.encode()))

    async def open(self, connection: AsyncConnection, place: str, sealed: Sealed) -> dict[str, Any]:
        """Open what was sealed for a place. Raises KeyFaultError when it was changed, or sealed for another."""
        found: dict[str, Any] = json.loads(await self.open_bytes(connection, place, sealed))
        return found

    async def open_bytes(self, connection: AsyncConnection, place: str, sealed: Sealed) -> bytes:
        """Open bytes that were sealed for a place."""
        if sealed.key_id not in self._keys:
            await self._load(connection)  # another process has made it
        key = self._keys.get(sealed.key_id)
        if key is None:
            raise KeyFaultError(f"data key {sealed.key_id} of {place} is not there")
        try:
            return key.decrypt(sealed.data[:NONCE_BYTES], sealed.data[NONCE_BYTES:], place.encode())
        except (InvalidTag, ValueError):
            raise KeyFaultError(f"{place} cannot be opened: it was changed, or sealed for another place") from None

    # --- finding ----------------------------------------------------------------------------------

    def blind(self, field: str, value: str) -> bytes:
        """Give 32 bytes that are the same for the same value of a field, and tell nothing else without the key."""
        return hmac.digest(self.blind_key(field), value.encode(), "sha256")

    def blind_key(self, field: str) -> bytes:
        """Give the key of a field's index (HKDF, RFC 5869), for who makes many of them."""
        if self._blind is None:
            raise KeyFaultError("the keyring is not prepared")
        return HKDF(SHA256(), KEY_BYTES, None, f"tongbao office blind index {field}".encode()).derive(self._blind)


def digest(data: bytes) -> bytes:
    """SHA-256, to recognise a document by."""
    return sha256(data).digest()
