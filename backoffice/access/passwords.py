"""Passwords (Argon2id, RFC 9106) and one-time codes (TOTP, RFC 6238)."""

import hmac
import time
from typing import Final

import pyotp
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

LENGTH_MIN: Final = 12
LENGTH_MAX: Final = 256
STEP_SECONDS: Final = 30
STEPS_ALLOWED: Final = 1
"""A code of the step before or after counts too: clocks differ."""

_hasher = PasswordHasher()
_DUMMY: Final = _hasher.hash("nobody has this password")


def weakness(password: str, name: str) -> str:
    """Say what is wrong with a new password; "" when nothing is. Length is what counts (NIST SP 800-63B)."""
    if len(password) < LENGTH_MIN:
        return f"at least {LENGTH_MIN} characters"
    if len(password) > LENGTH_MAX:
        return f"at most {LENGTH_MAX} characters"
    if name in password.lower():
        return "it must not hold the user's name"
    if len(set(password)) < LENGTH_MIN // 3:
        return "too few different characters"
    return ""


def hashed(password: str) -> str:
    """Give what is kept of a password."""
    return _hasher.hash(password)


def fits(password: str, kept: str | None) -> bool:
    """Whether a password is the one that was kept. Takes as long for a user who does not exist (None)."""
    try:
        return _hasher.verify(kept or _DUMMY, password) and kept is not None
    except (VerificationError, InvalidHashError):
        return False


def new_secret() -> str:
    """Give a secret for one-time codes, in base 32."""
    return pyotp.random_base32()


def address_of(secret: str, name: str) -> str:
    """Give the otpauth:// address that an app reads as a QR code."""
    return pyotp.TOTP(secret).provisioning_uri(name=name, issuer_name="Tongbao")


def step_of(code: str, secret: str, newest_used: int, at: float | None = None) -> int | None:
    """Give the time step that a code belongs to, if it is a good one that has not been used; else None."""
    now = int((time.time() if at is None else at) // STEP_SECONDS)
    totp = pyotp.TOTP(secret)
    for step in range(now - STEPS_ALLOWED, now + STEPS_ALLOWED + 1):
        if step > newest_used and hmac.compare_digest(totp.at(step * STEP_SECONDS), code):
            return step
    return None
