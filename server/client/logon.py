"""How a connection says which channel it is: by its key, or by a signature that keeps the key at home."""

import hashlib
import hmac
import secrets
import time
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Logon:
    """A channel and its key. With `sign` the key is never sent: each logon carries a signature made with it."""

    channel: str
    key: str = field(repr=False)
    sign: bool = False

    def params(self) -> dict[str, Any]:
        """Give the params of one logon; a signed one is good once and for about half a minute."""
        if not self.sign:
            return {"channel": self.channel, "key": self.key}
        timestamp = time.time_ns()
        nonce = secrets.token_hex(16)
        return {
            "channel": self.channel,
            "timestamp": timestamp,
            "nonce": nonce,
            "signature": signature(self.channel, self.key, timestamp, nonce),
        }


def signature(channel: str, key: str, timestamp: int, nonce: str) -> str:
    """HMAC-SHA-256 in hex over `channel|timestamp|nonce`."""
    text = f"{channel}|{timestamp}|{nonce}"
    return hmac.new(key.encode("utf-8"), text.encode("utf-8"), hashlib.sha256).hexdigest()
