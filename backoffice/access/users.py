"""Users and their sessions."""

import binascii
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any

from sqlalchemy import delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from backoffice import audit
from backoffice.access import passwords
from backoffice.access.permissions import ROLES, permissions_of
from backoffice.context import Actor, Context
from backoffice.database import constraint_of, rows_of
from backoffice.problems import Code, FieldError, Problem
from backoffice.settings import Settings
from backoffice.tables import sessions, users

TOKEN_BYTES = 32
PUBLIC = ("user_id", "name", "full_name", "branch", "roles", "active", "version", "created_at", "locked_until")
"""What of a user may be shown."""


_WRONG = {
    "users_name_key": ("name", ""),
    "users_name_check": ("name", "2 to 32 small letters, digits and . _ -, a letter first"),
    "users_full_name_check": ("full_name", "not empty"),
}
"""Constraints of the table: the field, and what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Session:
    """What a logon gives: the token is shown once and kept by nobody here."""

    token: str
    user: dict[str, Any]
    ends_at: datetime


def shown(row: dict[str, Any]) -> dict[str, Any]:
    """Give a user as others may see it."""
    return {name: row[name] for name in PUBLIC} | {"one_time_codes": row["totp_secret"] is not None}


def _check_roles(roles: Sequence[str]) -> None:
    unknown = [role for role in roles if role not in ROLES]
    if unknown or not roles:
        words = f"{unknown[0]!r} is none of {', '.join(ROLES)}" if unknown else "at least one"
        raise Problem(Code.INVALID, f"roles: {words}", errors=[FieldError("roles", words)])


async def create(
    context: Context, *, name: str, full_name: str, roles: Sequence[str], password: str, branch: str = ""
) -> dict[str, Any]:
    """Make a user. Problem when a member is wrong or the name is taken."""
    _check_roles(roles)
    weak = passwords.weakness(password, name)
    if weak:
        raise Problem(Code.INVALID, f"password: {weak}", errors=[FieldError("password", weak)])
    values = {"name": name, "full_name": full_name, "branch": branch, "roles": sorted(set(roles))}
    try:
        async with context.connection.begin_nested():
            made = await context.connection.execute(
                insert(users).values(**values, password=passwords.hashed(password)).returning(users)
            )
    except IntegrityError as error:
        field, words = _WRONG[constraint_of(error)]
        if not words:
            raise Problem(Code.EXISTS, f"there is a user {name}") from None
        raise Problem(Code.INVALID, f"{field}: {words}", errors=[FieldError(field, words)]) from None
    row = rows_of(made)[0]
    await audit.record(context, "users.create", f"user:{name}", values)
    return shown(row)


async def change(
    context: Context,
    user_id: int,
    version: int,
    *,
    roles: Sequence[str] | None,
    branch: str | None,
    active: bool | None,
) -> dict[str, Any]:
    """Change a user that is at `version`; who loses a role or is put out of use loses the sessions too."""
    if user_id == context.actor.user_id:
        raise Problem(Code.SAME_PERSON, "nobody changes their own rights")
    found = rows_of(await context.connection.execute(select(users).where(users.c.user_id == user_id).with_for_update()))
    if not found:
        raise Problem(Code.NOT_FOUND, f"there is no user {user_id}")
    row = found[0]
    if row["version"] != version:
        raise Problem(Code.CHANGED, f"it is at version {row['version']}")
    values: dict[str, Any] = {"version": version + 1}
    if roles is not None:
        _check_roles(roles)
        values["roles"] = sorted(set(roles))
    if branch is not None:
        values["branch"] = branch
    if active is not None:
        values["active"] = active
    made = await context.connection.execute(
        update(users).where(users.c.user_id == user_id).values(**values).returning(users)
    )
    if set(row["roles"]) - set(values.get("roles", row["roles"])) or active is False:
        await end_sessions(context, user_id)
    await audit.record(context, "users.change", f"user:{row['name']}", {key: values[key] for key in values})
    return shown(rows_of(made)[0])


async def listed(context: Context, after: int, limit: int) -> list[dict[str, Any]]:
    """Users by number, behind `after`."""
    query = select(users).where(users.c.user_id > after).order_by(users.c.user_id).limit(limit)
    return [shown(row) for row in rows_of(await context.connection.execute(query))]


async def get(context: Context, user_id: int) -> dict[str, Any]:
    """One user; Problem when there is none."""
    found = rows_of(await context.connection.execute(select(users).where(users.c.user_id == user_id)))
    if not found:
        raise Problem(Code.NOT_FOUND, f"there is no user {user_id}")
    return shown(found[0])


# --- logging on -----------------------------------------------------------------------------------


async def log_on(
    context: Context, settings: Settings, *, name: str, password: str, code: str = ""
) -> Session | Problem:
    """Open a session, or return the problem: what a failure leaves behind (its count, the audit) must be committed.

    Wrong name, password and code look alike from outside and take alike long.
    """
    at = context.clock()
    found = rows_of(await context.connection.execute(select(users).where(users.c.name == name).with_for_update()))
    row = found[0] if found else None
    good = passwords.fits(password, row["password"] if row else None)
    if row is None or not row["active"]:
        await audit.record(context, "session.refused", f"user:{name[:32]}", {"why": "no such user"})
        return Problem(Code.LOGON_REFUSED)
    if row["locked_until"] is not None and row["locked_until"] > at:
        await audit.record(context, "session.refused", f"user:{name}", {"why": "locked"})
        return Problem(Code.USER_LOCKED, f"until {row['locked_until']:%Y-%m-%d %H:%M:%S} UTC")
    values: dict[str, Any] = {"failures": 0, "locked_until": None}
    if good and row["totp_secret"] is not None:
        step = passwords.step_of(code, row["totp_secret"], row["totp_used"], at.timestamp())
        good = step is not None
        values["totp_used"] = step
    if not good:
        failures = row["failures"] + 1
        locked = failures >= settings.failures_max
        values = {"failures": 0 if locked else failures}
        if locked:
            values["locked_until"] = at + timedelta(minutes=settings.lock_minutes)
        await context.connection.execute(update(users).where(users.c.user_id == row["user_id"]).values(**values))
        await audit.record(context, "session.refused", f"user:{name}", {"why": "wrong", "locked": locked})
        return Problem(Code.LOGON_REFUSED)
    await context.connection.execute(update(users).where(users.c.user_id == row["user_id"]).values(**values))
    return await open_session(context, settings, row, {})


async def open_session(context: Context, settings: Settings, row: dict[str, Any], how: dict[str, Any]) -> Session:
    """Open a session for a user (a row of the table) who has shown who they are."""
    at = context.clock()
    token = secrets.token_urlsafe(TOKEN_BYTES)
    ends_at = at + timedelta(minutes=settings.session_minutes)
    address = context.actor.address
    await context.connection.execute(
        insert(sessions).values(
            token_hash=_hash(token), user_id=row["user_id"], address=address, created_at=at, seen_at=at, ends_at=ends_at
        )
    )
    await audit.record(context, "session.begin", f"user:{row['name']}", how)
    return Session(token, shown(row), ends_at)


async def end_sessions(context: Context, user_id: int) -> None:
    """End all sessions of a user."""
    await context.connection.execute(delete(sessions).where(sessions.c.user_id == user_id))


async def actor_of(context: Context, settings: Settings, token: str) -> Actor:
    """Give the user whose session a token is; Problem when it has ended. Notes that it was used."""
    at = context.clock()
    query = (
        select(sessions, users.c.name, users.c.roles, users.c.branch, users.c.active)
        .join(users, users.c.user_id == sessions.c.user_id)
        .where(sessions.c.token_hash == _hash(token))
    )
    found = rows_of(await context.connection.execute(query))
    idle = timedelta(minutes=settings.idle_minutes)
    if not found or found[0]["ends_at"] <= at or found[0]["seen_at"] + idle <= at or not found[0]["active"]:
        raise Problem(Code.NOT_LOGGED_ON, "the session has ended" if found else "")
    row = found[0]
    if at - row["seen_at"] > idle / 10:
        await context.connection.execute(
            update(sessions).where(sessions.c.token_hash == row["token_hash"]).values(seen_at=at)
        )
    roles = frozenset(row["roles"])
    permissions = permissions_of(row["roles"])
    return Actor(row["user_id"], row["name"], roles, permissions, row["branch"], context.actor.address)


async def log_off(context: Context, token: str) -> None:
    """End a session."""
    await context.connection.execute(delete(sessions).where(sessions.c.token_hash == _hash(token)))
    await audit.record(context, "session.end", f"user:{context.actor.name}")


async def begin_codes(context: Context) -> dict[str, str]:
    """Give a secret for one-time codes; it counts once `confirm_codes` has seen a code of it."""
    secret = passwords.new_secret()
    return {"secret": secret, "address": passwords.address_of(secret, context.actor.name)}


async def confirm_codes(context: Context, secret: str, code: str) -> None:
    """Switch one-time codes on for the user who asks; Problem when the code is not the secret's, or they are on."""
    found = rows_of(
        await context.connection.execute(select(users).where(users.c.user_id == context.user_id).with_for_update())
    )
    if found[0]["totp_secret"] is not None:
        raise Problem(Code.STATE, "one-time codes are switched on already")
    try:
        step = passwords.step_of(code, secret, 0, context.clock().timestamp())
    except (ValueError, binascii.Error):
        raise Problem(Code.INVALID, "secret: not base 32", errors=[FieldError("secret", "not base 32")]) from None
    if step is None:
        raise Problem(Code.INVALID, "code: not one of this secret", errors=[FieldError("code", "not of this secret")])
    values = {"totp_secret": secret, "totp_used": step}
    await context.connection.execute(update(users).where(users.c.user_id == context.user_id).values(**values))
    await audit.record(context, "users.codes", f"user:{context.actor.name}")


def _hash(token: str) -> bytes:
    return sha256(token.encode()).digest()
