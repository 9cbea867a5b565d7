"""Values and objects of the protocol in plain Python, for the models of its params."""

import re
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from engine.results import AccountFlag, TransferFlag

INT63 = 2**63 - 1


class WireError(Exception):
    """The code and the path of an error."""

    def __init__(self, code: int, path: str = "") -> None:
        super().__init__(code, path)
        self.code = code
        self.path = path


@dataclass(frozen=True)
class Number:
    """A number as it was written."""

    text: str


class Pairs(list[tuple[str, Any]]):
    """The members of an object, as written, duplicates included."""


Shape = dict[str, Callable[[Any, str], Any]]
Read = Callable[[Any, Any], list[dict[str, Any]]]


def array(item: Callable[[Any, str], dict[str, Any]]) -> Read:
    """Read params that are an array of items."""

    def read(params: Any, limits: Any) -> list[dict[str, Any]]:
        if not isinstance(params, list) or isinstance(params, Pairs):
            raise WireError(-32602, "params")
        return [item(value, f"params[{index}]") for index, value in enumerate(params)]

    return read


def integer(low: int, high: int) -> Callable[[Any, str], int]:
    """Digits, or a string of digits, from `low` to `high`."""

    def read(value: Any, path: str) -> int:
        text = value.text if isinstance(value, Number) else value
        if not isinstance(text, str) or not re.fullmatch(r"0|[1-9][0-9]*", text, re.ASCII) or len(text) > 30:
            raise WireError(-32602, path)
        if not low <= int(text) <= high:
            raise WireError(-32602, path)
        return int(text)

    return read


def uuid_number(value: Any, path: str) -> int:
    """UUID text in either case, with all four hyphens or none."""
    plain = "[0-9a-fA-F]{32}"
    hyphenated = "-".join(f"[0-9a-fA-F]{{{n}}}" for n in (8, 4, 4, 4, 12))
    if not isinstance(value, str) or not re.fullmatch(f"{plain}|{hyphenated}", value):
        raise WireError(-32602, path)
    return uuid.UUID(value).int


def flags(kind: type[AccountFlag] | type[TransferFlag]) -> Callable[[Any, str], int]:
    """Read an array of names, each once."""
    names = {flag.name.lower(): flag for flag in kind if flag.name}

    def read(value: Any, path: str) -> int:
        if not isinstance(value, list) or isinstance(value, Pairs):
            raise WireError(-32602, path)
        total = 0
        for index, name in enumerate(value):
            if not isinstance(name, str) or name not in names or total & names[name]:
                raise WireError(-32602, f"{path}[{index}]")
            total |= names[name]
        return int(total)

    return read


def boolean(value: Any, path: str) -> bool:
    if not isinstance(value, bool):
        raise WireError(-32602, path)
    return value


def members(value: Any, path: str, shape: dict[str, Callable[[Any, str], Any]]) -> dict[str, Any]:
    """Read an object of a shape; whatever comes first in the text and is wrong is the error."""
    if not isinstance(value, Pairs):
        raise WireError(-32602, path)
    given: dict[str, Any] = {}
    for name, item in value:
        if name not in shape or name in given:
            raise WireError(-32602, f"{path}.{name[:40]}")
        given[name] = shape[name](item, f"{path}.{name}")
    return given


def require(given: dict[str, Any], path: str, *names: str) -> None:
    for name in names:
        if name not in given:
            raise WireError(-32602, f"{path}.{name}")
