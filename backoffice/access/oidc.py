"""Logging on with an identity token of an outside provider (OpenID Connect Core 1.0, section 3.1.3.7).

The provider says who somebody is; what they may do stays here. A token opens one session, of a user to whom an
administrator has tied the provider's subject. Keys come from the provider's discovery document and are fetched again
when a token names a key that is not known, at most every so many seconds.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, Final

import httpx
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet
from sqlalchemy import BigInteger, Column, LargeBinary, Table, Text, delete, insert, select
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.exc import IntegrityError

from backoffice import audit
from backoffice.access import users as accounts
from backoffice.context import Context
from backoffice.database import rows_of
from backoffice.problems import Code, Problem, invalid
from backoffice.settings import Settings
from backoffice.tables import MOMENT, metadata, users

ALGORITHMS: Final = ("RS256", "PS256", "ES256", "EdDSA", "Ed25519")
"""Signatures with a public key only: a token must not be made by who can check it."""
LEEWAY_SECONDS: Final = 30
FETCH_SECONDS: Final = 5.0
REFRESH_SECONDS: Final = 30.0
TOKEN_MAX: Final = 16_384

identities = Table(
    "identities",
    metadata,
    Column("issuer", Text, primary_key=True),
    Column("subject", Text, primary_key=True),
    Column("user_id", BigInteger),
    Column("made_at", MOMENT),
)
identity_tokens = Table(
    "identity_tokens", metadata, Column("token_hash", LargeBinary, primary_key=True), Column("ends_at", MOMENT)
)


class Provider:
    """An issuer and its keys. One per process."""

    def __init__(self, issuer: str, audience: str, clock: Callable[[], datetime]) -> None:
        self.issuer = issuer
        self.audience = audience
        self._clock = clock
        self._keys: KeySet | None = None
        self._fetched = -REFRESH_SECONDS
        self._fetching = asyncio.Lock()

    async def claims(self, token: str) -> Mapping[str, Any]:
        """Check signature, issuer, audience and times; give the claims. Problem for a token that is not good."""
        found = await self._decode(token, await self._key_set(refresh=False))
        if found is None:
            found = await self._decode(token, await self._key_set(refresh=True))
        if found is None:
            raise Problem(Code.LOGON_REFUSED, "the token's signature is not the provider's")
        registry = jwt.JWTClaimsRegistry(
            now=lambda: int(self._clock().timestamp()),
            leeway=LEEWAY_SECONDS,
            iss={"essential": True, "value": self.issuer},
            aud={"essential": True, "value": self.audience},
            sub={"essential": True},
            exp={"essential": True},
            iat={"essential": True},
        )
        try:
            registry.validate(found)
        except JoseError as error:
            raise Problem(Code.LOGON_REFUSED, f"the token is not good: {error.error}") from None
        # With several audiences the token must have been made for us (3.1.3.7, steps 4 and 5).
        if isinstance(found["aud"], list) and len(found["aud"]) > 1 and found.get("azp") != self.audience:
            raise Problem(Code.LOGON_REFUSED, "the token is not good: azp")
        return found

    @staticmethod
    async def _decode(token: str, keys: KeySet) -> dict[str, Any] | None:
        try:
            return dict(jwt.decode(token, keys, algorithms=list(ALGORITHMS)).claims)
        except (JoseError, ValueError):
            return None

    async def _key_set(self, *, refresh: bool) -> KeySet:
        async with self._fetching:
            due = time.monotonic() - self._fetched >= REFRESH_SECONDS
            if self._keys is None or (refresh and due):
                self._fetched = time.monotonic()
                self._keys = await self._fetch()
            return self._keys

    async def _fetch(self) -> KeySet:
        """Read the discovery document and the keys that it names (OpenID Connect Discovery 1.0)."""
        try:
            async with httpx.AsyncClient(timeout=FETCH_SECONDS) as client:
                where = await client.get(f"{self.issuer.rstrip('/')}/.well-known/openid-configuration")
                document = where.raise_for_status().json()
                if document["issuer"] != self.issuer:
                    raise Problem(Code.PROVIDER_AWAY, "the provider's discovery document names another issuer")
                keys = (await client.get(document["jwks_uri"])).raise_for_status().json()
                return KeySet.import_key_set(keys)
        except (httpx.HTTPError, httpx.InvalidURL, JoseError, ValueError, KeyError, TypeError) as error:
            raise Problem(Code.PROVIDER_AWAY, f"{type(error).__name__}") from None


def provider_of(settings: Settings, clock: Callable[[], datetime]) -> Provider | None:
    """Give the provider that the settings name, None when they name none."""
    if not settings.oidc_issuer:
        return None
    return Provider(settings.oidc_issuer, settings.oidc_audience, clock)


async def log_on(context: Context, settings: Settings, claims: Mapping[str, Any], token: str) -> Any:
    """Open a session for the user to whom the token's subject is tied, once for each token.

    Gives the session, or the problem: the audit's entry of a refusal must be committed.
    """
    at = context.clock()
    who = {"issuer": claims["iss"], "subject": claims["sub"]}
    query = (
        select(users)
        .join(identities, identities.c.user_id == users.c.user_id)
        .where(identities.c.issuer == claims["iss"], identities.c.subject == claims["sub"])
        .with_for_update(of=users)
    )
    found = rows_of(await context.connection.execute(query))
    if not found or not found[0]["active"]:
        await audit.record(context, "session.refused", "identity", who | {"why": "no such user"})
        return Problem(Code.LOGON_REFUSED, "nobody here is tied to this identity")
    row = found[0]
    if row["locked_until"] is not None and row["locked_until"] > at:
        await audit.record(context, "session.refused", f"user:{row['name']}", who | {"why": "locked"})
        return Problem(Code.USER_LOCKED)
    await context.connection.execute(delete(identity_tokens).where(identity_tokens.c.ends_at < at))
    ends_at = datetime.fromtimestamp(int(claims["exp"]) + 2 * LEEWAY_SECONDS, UTC)
    note = upsert(identity_tokens).values(token_hash=sha256(token.encode()).digest(), ends_at=ends_at)
    if not (await context.connection.execute(note.on_conflict_do_nothing())).rowcount:
        await audit.record(context, "session.refused", f"user:{row['name']}", who | {"why": "used before"})
        return Problem(Code.LOGON_REFUSED, "the token has opened a session before")
    return await accounts.open_session(context, settings, row, {"identity": who})


async def tie(context: Context, user_id: int, issuer: str, subject: str) -> None:
    """Tie a user to a subject of the provider, in place of the one before. Problem when it is another's."""
    row = await accounts.get(context, user_id)
    if user_id == context.actor.user_id:
        raise Problem(Code.SAME_PERSON, "nobody changes their own rights")
    if not issuer:
        raise invalid("issuer", "no provider is configured (OFFICE_OIDC_ISSUER)")
    await context.connection.execute(delete(identities).where(identities.c.user_id == user_id))
    values = {"issuer": issuer, "subject": subject, "user_id": user_id, "made_at": context.clock()}
    try:
        async with context.connection.begin_nested():
            await context.connection.execute(insert(identities).values(**values))
    except IntegrityError:
        raise Problem(Code.EXISTS, "another user is tied to this subject") from None
    await audit.record(context, "users.tie", f"user:{row['name']}", {"issuer": issuer, "subject": subject})


async def untie(context: Context, user_id: int) -> None:
    """End the tie and the sessions of a user."""
    row = await accounts.get(context, user_id)
    await context.connection.execute(delete(identities).where(identities.c.user_id == user_id))
    await accounts.end_sessions(context, user_id)
    await audit.record(context, "users.untie", f"user:{row['name']}")
