"""Random request lines: mostly good ones in every spelling that the rules allow, and now and then a spoilt one.

Everything is drawn from one `Random`, so the same generator serves Hypothesis (which shrinks it), the fuzzer's first
corpus and the benchmarks.
"""

import json
from random import Random
from typing import Any

from engine.results import AccountFlag, TransferFlag
from tests.server.wire.order_lines import ORDER_METHODS, OrderItems

ACCOUNT_FLAGS = [flag.name.lower() for flag in AccountFlag if flag.name]
TRANSFER_FLAGS = [flag.name.lower() for flag in TransferFlag if flag.name]
EDGES = [0, 1, 9, 10, 255, 65535, 65536, 2**31, 2**32 - 1, 2**32, 10**7, 10**8, 10**15, 10**16, 2**53, 2**63 - 1]
ODD = [
    "null", "true", "false", "-1", "-0", "0.0", "1.5", "1e3", "01", "+1", "12.", ".5", "1E400", "NaN", "Infinity",
    '""', '"x"', '"1.0"', '"-1"', '"01"', '" 1"', "[]", "{}", "[[[[[[[[[]]]]]]]]]", "[[[[[[]]]]]]", '{"a":1,"a":2}',
    "18446744073709551615", "18446744073709551616", "9223372036854775808", "99999999999999999999999999",
    "00000000-0000-0000-0000-000000000000", '"00000000-0000-0000-0000-000000000000"',
    '"ffffffffffffffffffffffffffffffff"', '"018f3c1e7b1a-7c2d-9e4f-0123456789ab"', '"\\u0000"', '"\\n"', '"\\ud800"',
    '"\\ud83d\\ude00"', '"é"', '"\x7f"', "", " ",
]  # fmt: skip


class Lines(OrderItems):
    """A source of lines; `spoil` is how likely each value, member or line is made wrong."""

    def __init__(self, random: Random, spoil: float = 0.02) -> None:
        self.random = random
        self.spoil = spoil
        self.plain = False  # the line in hand is in canonical order, without blanks and escapes

    def chance(self, probability: float) -> bool:
        return self.random.random() < probability

    # --- text ---

    def blanks(self) -> str:
        return "" if self.plain else self.random.choice(["", "", "", "", " ", "  ", "\t", "\r"])

    def string(self, text: str) -> str:
        """JSON text of a string; sometimes with escapes where none are needed."""
        if not self.plain and self.chance(0.05) and text:
            at = self.random.randrange(len(text))
            form = "\\u%04x" if self.chance(0.5) else "\\u%04X"
            return json.dumps(text[:at])[:-1] + form % ord(text[at]) + json.dumps(text[at + 1 :])[1:]
        return json.dumps(text)

    def member(self, name: str, value: str) -> str:
        return f"{self.string(name)}{self.blanks()}:{self.blanks()}{value}"

    def object(self, members: list[str]) -> str:
        if not self.plain and self.chance(0.5):
            self.random.shuffle(members)
        if members and self.chance(self.spoil):
            members.append(self.random.choice(members))
        if self.chance(self.spoil):
            members.append(self.member(self.random.choice(["", "x", "amount", "id", "ledgers", "i\u0064", "é"]), "1"))
        if members and self.chance(self.spoil):
            members.remove(self.random.choice(members))
        comma = self.blanks() + "," + self.blanks()
        return "{" + self.blanks() + comma.join(members) + self.blanks() + "}"

    def array(self, items: list[str]) -> str:
        comma = self.blanks() + "," + self.blanks()
        return "[" + self.blanks() + comma.join(items) + self.blanks() + "]"

    # --- values ---

    def odd(self) -> str:
        return self.random.choice(ODD)

    def integer(self, high: int, low: int = 0) -> str:
        if self.chance(self.spoil):
            return self.odd()
        pick = self.random.random()
        if pick < 0.3:
            number = self.random.choice(EDGES)
        elif pick < 0.6:
            number = self.random.randrange(10 ** self.random.randrange(1, 20))
        else:
            number = self.random.randrange(2 ** self.random.randrange(1, 64))
        if not self.chance(self.spoil):
            number = max(low, number % (high + 1))
        return self.string(str(number)) if self.chance(0.1) else str(number)

    def uuid(self) -> str:
        if self.chance(self.spoil):
            return self.odd()
        text = f"{self.random.getrandbits(128):032x}"
        if self.chance(0.8):
            text = f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
        if self.chance(self.spoil):
            at = self.random.randrange(len(text))
            text = text[:at] + self.random.choice("g-/:@G`. 0\u00e9") + text[at + 1 :]
        if self.chance(self.spoil):
            text = text[: self.random.randrange(len(text))]
        return self.string(text.upper() if self.chance(0.2) else text)

    def boolean(self) -> str:
        return self.odd() if self.chance(self.spoil) else self.random.choice(["true", "false"])

    def flags(self, names: list[str]) -> str:
        if self.chance(self.spoil):
            return self.odd()
        picked = self.random.sample(names, self.random.choice([0, 1, 1, 2, 3]))
        if picked and self.chance(self.spoil):
            picked.append(self.random.choice(picked))
        items = [self.string(name) for name in picked]
        if self.chance(self.spoil):
            items.append(self.random.choice(['"pendin"', '"Linked"', "1", self.odd()]))
        return self.array(items)

    # --- items ---

    def user_data(self, probability: float) -> list[str]:
        data = []
        if self.chance(probability):
            data.append(self.member("user_data_128", self.uuid()))
        if self.chance(probability):
            data.append(self.member("user_data_64", self.integer(2**64 - 1)))
        if self.chance(probability):
            data.append(self.member("user_data_32", self.integer(2**32 - 1)))
        return data

    def optional(self, name: str, value: Any, probability: float = 0.3) -> list[str]:
        return [self.member(name, value())] if self.chance(probability) else []

    def account(self) -> str:
        members = [
            self.member("id", self.integer(2**63 - 1)),
            self.member("ledger", self.integer(2**32 - 1)),
            self.member("code", self.integer(65535)),
        ]
        members += self.optional("flags", lambda: self.flags(ACCOUNT_FLAGS), 0.5)
        members += self.optional("overdraft_limit", lambda: self.integer(2**63 - 1))
        members += self.user_data(0.3)
        members += self.optional("timestamp", lambda: self.integer(2**63 - 1), 0.1)
        return self.object(members)

    def transfer(self) -> str:
        resolving = self.chance(0.2)
        members = [self.member("id", self.uuid())]
        for name, high in (
            ("debit_account_id", 2**63 - 1),
            ("credit_account_id", 2**63 - 1),
            ("amount", 2**63 - 1),
            ("ledger", 2**32 - 1),
            ("code", 65535),
        ):
            if not resolving or self.chance(0.4):
                members.append(self.member(name, self.integer(high)))
        if resolving:
            flag = self.random.choice(["post_pending_transfer", "void_pending_transfer"])
            members.append(self.member("flags", self.array([self.string(flag)])))
            members += self.optional("pending_id", self.uuid, 0.9)
        else:
            members += self.optional("flags", lambda: self.flags(TRANSFER_FLAGS))
            members += self.optional("pending_id", self.uuid, 0.1)
        members += self.optional("timeout", lambda: self.integer(2**32 - 1), 0.1)
        members += self.user_data(0.1)
        members += self.optional("timestamp", lambda: self.integer(2**63 - 1), 0.1)
        return self.object(members)

    def update(self) -> str:
        members = [self.member("id", self.integer(2**63 - 1))]
        members += self.optional("overdraft_limit", lambda: self.integer(2**63 - 1), 0.6)
        members += self.optional("frozen", self.boolean, 0.6)
        return self.object(members)

    def filter(self, *, of_account: bool) -> str:
        members = []
        if of_account:
            members.append(self.member("account_id", self.integer(2**63 - 1, 1)))
            members += self.optional("debits", self.boolean)
            members += self.optional("credits", self.boolean)
        else:
            members += self.optional("ledger", lambda: self.integer(2**32 - 1, 1))
        members += self.user_data(0.3)
        members += self.optional("timestamp_min", lambda: self.integer(10**18), 0.2)
        members += self.optional("timestamp_max", lambda: self.integer(2**63 - 1), 0.2)
        members += self.optional("limit", lambda: self.integer(100, 1))
        members += self.optional("reversed", self.boolean)
        members += self.optional("code", lambda: self.integer(65535, 1))
        return self.object(members)

    def logon(self) -> str:
        members = [self.member("channel", self.string("mobile"))]
        if self.chance(0.5):
            members.append(self.member("key", self.string("secret")))
        else:
            members.append(self.member("timestamp", self.integer(2**63 - 1)))
            members.append(self.member("nonce", self.string("n")))
            members.append(self.member("signature", self.string("00ff")))
        members += self.optional("int64", lambda: self.string(self.random.choice(["string", "number", "x"])))
        members += self.optional("cancel_on_disconnect", self.boolean)
        return self.object(members)

    # --- lines ---

    def params(self, method: str) -> str | None:
        items = {
            "create_accounts": self.account,
            "create_transfers": self.transfer,
            "update_accounts": self.update,
            "lookup_accounts": lambda: self.integer(2**63 - 1),
            "lookup_transfers": self.uuid,
        }
        if self.chance(self.spoil):
            return self.odd()
        if method in items:
            return self.array([items[method]() for _ in range(self.random.choice([0, 1, 1, 1, 2, 3]))])
        if method in ORDER_METHODS:
            return self.order_params(method)
        if method in {"ping", "server_status", "take_snapshot"}:
            return self.random.choice([None, None, "{}", "[]", "[ ]"])
        if method == "logon":
            return self.logon()
        return self.filter(of_account=method.startswith("get_"))

    def request_id(self) -> str:
        if self.chance(self.spoil):
            return self.odd()
        if self.chance(0.6):
            number = self.random.randrange(2 ** self.random.randrange(1, 64))
            return str(-number if number and self.chance(0.1) else number)
        length = self.random.choice([0, 1, 5, 63, 64, 65]) if self.chance(0.3) else 8
        return self.string("".join(self.random.choice("ab0-é") for _ in range(length)))

    def min_seq(self) -> str:
        """What a fresh parser has: 0; or what it has not, or what is none."""
        if self.chance(self.spoil):
            return self.random.choice(["1", '"7"', str(2**63 - 1), str(2**63), "-1", "1.0", "null", '"x"', '""', "00"])
        return self.random.choice(["0", '"0"'])

    def method(self) -> str:
        if self.chance(self.spoil):
            return self.random.choice(["", "create_transfer", "submit_order", "Ping", "create_transfers "])
        return self.random.choice(METHODS)

    def line(self) -> bytes:
        """One line without its LF."""
        self.plain = self.chance(0.4)
        method = self.method()
        params = self.params(method)
        members = [self.member("id", self.request_id()), self.member("method", self.string(method))]
        if params is not None:
            members.append(self.member("params", params))
        if self.chance(0.2):
            version = '"2.0"' if not self.chance(self.spoil) else '"1.0"'
            members.insert(0, self.member("jsonrpc", version))
        if self.chance(0.1):
            members.insert(self.random.randrange(len(members) + 1), self.member("min_seq", self.min_seq()))
        text = self.blanks() + self.object(members) + self.blanks()
        line = bytearray(text.encode("utf-8", "surrogatepass").replace(b"\n", b" "))
        while line and self.chance(self.spoil):
            at = self.random.randrange(len(line))
            pick = self.random.random()
            if pick < 0.4:
                line[at] = self.random.randrange(256)
            elif pick < 0.7:
                del line[at]
            else:
                line.insert(at, self.random.choice(b'{}[]",:\\0 \x00\xff\xc3'))
        return bytes(line).replace(b"\n", b" ")

    def stream(self, lines: int) -> bytes:
        """Several lines, empty ones among them, the last perhaps without its LF."""
        parts = []
        for _ in range(lines):
            if self.chance(0.1):
                parts.append(self.random.choice([b"\n", b"\r\n", b" \n"]))
            parts.append(self.line() + self.random.choice([b"\n", b"\n", b"\r\n"]))
        text = b"".join(parts)
        return text[:-1] if self.chance(0.1) else text


METHODS = [
    "create_transfers", "create_transfers", "create_transfers", "create_accounts", "update_accounts",
    "lookup_accounts", "lookup_transfers", "get_account_transfers", "get_account_balances", "query_accounts",
    "query_transfers", "ping", "logon", "server_status", "take_snapshot", *ORDER_METHODS,
    "submit_orders", "submit_orders",
]  # fmt: skip
