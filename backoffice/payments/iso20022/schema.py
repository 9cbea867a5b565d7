"""ISO 20022 schemas, as the package pyiso20022 carries them: a check of what was read, a builder of what is written.

pyiso20022's classes were made from the published XSDs and hold their facets as metadata. `check` walks a document
beside them and gathers every finding with path and line: unknown, missing, misplaced and surplus elements, choices,
types, patterns, lengths, digits, code lists. `build` makes a document from nested dicts by XML names, in the schema's
order; what it returns has passed `check`.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from decimal import Decimal
from enum import Enum
from functools import cache
from importlib import import_module
from types import NoneType
from typing import Any, get_args, get_origin, get_type_hints

from xsdata.formats.dataclass.serializers import XmlSerializer
from xsdata.formats.dataclass.serializers.config import SerializerConfig
from xsdata.models.datatype import XmlDate, XmlDateTime, XmlTime

from backoffice.payments.iso20022.guard import Node, parse

FINDINGS_MAX = 1_000
_MESSAGE = re.compile(r"urn:iso:std:iso:20022:tech:xsd:((pain|pacs|camt)\.(\d{3})\.001\.(\d\d))")
_DIALECT = re.compile(r"http://www\.six-interbank-clearing\.com/de/((pain)\.(\d{3})\.001\.(\d\d))\.ch\.\d\d\.xsd")
"""Swiss banks' subset of the schema under a namespace of its own; it is checked as what it is a subset of."""
_DECIMAL = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)", re.ASCII)
_CHOICE = re.compile(r".*Choice\d*")


class MessageUnknownError(ValueError):
    """A namespace that is none of the messages we have a schema for."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong where. `path` counts repeated elements from 1: Document/…/CdtTrfTxInf[3]/Amt."""

    path: str
    line: int
    words: str


@dataclass(frozen=True, slots=True)
class _Slot:
    """A place in a class: an element, an attribute or the text."""

    name: str
    kind: str
    type: Any
    many: bool
    required: bool
    facets: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class _Shape:
    elements: Mapping[str, tuple[int, _Slot]]
    attributes: Mapping[str, _Slot]
    text: _Slot | None
    wild: bool
    choice: bool


def message_of(namespace: str) -> str:
    """Give "pain.001.001.09" for its namespace; MessageUnknownError for others."""
    found = _MESSAGE.fullmatch(namespace) or _DIALECT.fullmatch(namespace)
    if found is None:
        raise MessageUnknownError(f"namespace {namespace[:120]!r} is none of ISO 20022's payment messages")
    return found.group(1)


def document_class(message: str) -> type[Any]:
    """Give the class of a message's document; MessageUnknownError when there is no schema for it."""
    family = message.partition(".")[0]
    try:
        module = import_module(f"pyiso20022.{family}.{message.replace('.', '_')}")
    except ModuleNotFoundError:
        raise MessageUnknownError(f"there is no schema for {message}") from None
    found: type[Any] = module.Document
    return found


_SHAPES: dict[type[Any], _Shape] = {}
"""What was made of a class, once: as many as the messages in use have."""


def _shape(cls: type[Any]) -> _Shape:
    known = _SHAPES.get(cls)
    if known is None:
        known = _SHAPES[cls] = _made(cls)
    return known


def _made(cls: type[Any]) -> _Shape:
    hints = get_type_hints(cls)
    elements: dict[str, tuple[int, _Slot]] = {}
    attributes: dict[str, _Slot] = {}
    text: _Slot | None = None
    wild = False
    for position, each in enumerate(fields(cls)):
        facets = dict(each.metadata)
        kind = facets.pop("type", "Text")
        name = facets.pop("name", each.name)
        hint, many = hints[each.name], False
        if get_origin(hint) is list:
            hint, many = get_args(hint)[0], True
        options = [option for option in get_args(hint) if option is not NoneType] or [hint]
        required = bool(facets.get("required") or facets.get("min_occurs"))
        slot = _Slot(name, kind, options[0], many, required, facets)
        if kind == "Element":
            elements[name] = (position, slot)
        elif kind == "Attribute":
            attributes[name] = slot
        elif kind == "Wildcard":
            wild = True
        else:
            text = slot
    return _Shape(elements, attributes, text, wild, bool(_CHOICE.fullmatch(cls.__name__)))


def open_document(content: bytes) -> Node:
    """Read a file and give its Document, also out of an envelope (a business application header beside it).

    Raises XmlRefusedError for what is no XML that we read, MessageUnknownError when there is not exactly one document.
    """
    root = parse(content)
    if root.name == "Document":
        return root
    found = [node for child in root.children for node in (child, *child.children) if node.name == "Document"]
    if len(found) != 1:
        raise MessageUnknownError(f"{root.name[:40]} holds {len(found)} documents, not one")
    return found[0]


# --- checking -------------------------------------------------------------------------------------


def check(document: Node) -> list[Finding]:
    """Say everything in which a document is not its schema's. Raises MessageUnknownError for a foreign one."""
    cls = document_class(message_of(document.namespace))
    if document.name != "Document":
        return [Finding(document.name, document.line, "the first element must be Document")]
    checker = _Checker(document.namespace)
    checker.node(document, cls, document.name)
    return checker.findings


class _Checker:
    def __init__(self, namespace: str) -> None:
        self.namespace = namespace
        self.findings: list[Finding] = []

    def say(self, path: str, line: int, words: str) -> None:
        if len(self.findings) < FINDINGS_MAX:
            self.findings.append(Finding(path, line, words))

    def node(self, node: Node, cls: type[Any], path: str) -> None:
        shape = _shape(cls)
        self.attributes(node, shape, path)
        if shape.text is not None:
            if node.children:
                self.say(path, node.line, f"{node.children[0].name} is not expected inside")
            self.value(node.text, shape.text, path, node.line)
            return
        if shape.wild:
            return
        if node.text.strip():
            self.say(path, node.line, "has text, which belongs into its elements")
        self.elements(node, shape, path)

    def attributes(self, node: Node, shape: _Shape, path: str) -> None:
        for name, text in node.attributes.items():
            slot = shape.attributes.get(name)
            if slot is None:
                self.say(path, node.line, f"attribute {name} is unknown")
            else:
                self.value(text, slot, f"{path}@{name}", node.line)
        for name, slot in shape.attributes.items():
            if slot.required and name not in node.attributes:
                self.say(path, node.line, f"attribute {name} is missing")

    def elements(self, node: Node, shape: _Shape, path: str) -> None:
        counts: dict[str, int] = {}
        last = -1
        for child in node.children:
            known = shape.elements.get(child.name)
            if known is None or child.namespace != self.namespace:
                self.say(f"{path}/{child.name}", child.line, "is not expected here")
                continue
            position, slot = known
            counts[child.name] = counts.get(child.name, 0) + 1
            below = f"{path}/{child.name}[{counts[child.name]}]" if slot.many else f"{path}/{child.name}"
            if position < last:
                self.say(below, child.line, "is not in its place")
            last = max(last, position)
            most = slot.facets.get("max_occurs") if slot.many else 1
            if most is not None and counts[child.name] > most:
                self.say(below, child.line, f"may stand {most} times at most")
            if is_dataclass(slot.type):
                self.node(child, slot.type, below)  # type: ignore[arg-type]
            elif child.children or child.attributes:
                self.say(below, child.line, "has elements or attributes, not only a value")
            else:
                self.value(child.text, slot, below, child.line)
        for name, (_, slot) in shape.elements.items():
            if slot.required and not counts.get(name):
                self.say(path, node.line, f"{name} is missing")
        if shape.choice and len(counts) != 1:
            self.say(path, node.line, f"needs exactly one of {', '.join(shape.elements)}")

    def value(self, text: str, slot: _Slot, path: str, line: int) -> None:
        words = _fault(text, slot.type, slot.facets)
        if words:
            self.say(path, line, words)


def _fault(text: str, kind: Any, facets: Mapping[str, Any]) -> str:
    """What is wrong with a value; "" when nothing is."""
    shown = repr(text if len(text) <= 60 else text[:60] + "…")
    if kind is Decimal:
        return _decimal_fault(text.strip(), shown, facets)
    if isinstance(kind, type) and issubclass(kind, Enum):
        known = {str(member.value) for member in kind}
        return "" if text.strip() in known else f"{shown} is not in its code list"
    if kind is bool:
        return "" if text.strip() in {"true", "false", "1", "0"} else f"{shown} is neither true nor false"
    reader = _READERS.get(kind)
    if reader is not None:
        try:
            reader(text.strip())
        except ValueError:
            return f"{shown} is no {kind.__name__.removeprefix('Xml').lower()}"
        return ""
    least, most = facets.get("min_length"), facets.get("max_length")
    if least is not None and len(text) < least:
        return "is empty" if not text else f"{shown} is shorter than {least} characters"
    if most is not None and len(text) > most:
        return f"{shown} is longer than {most} characters"
    pattern = facets.get("pattern")
    if pattern is not None and _pattern(pattern).fullmatch(text) is None:
        return f"{shown} does not have the form {pattern}"
    return ""


_READERS: dict[Any, Callable[[str], Any]] = {
    XmlDate: XmlDate.from_string,
    XmlDateTime: XmlDateTime.from_string,
    XmlTime: XmlTime.from_string,
}


@cache
def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(text, re.ASCII)


def _decimal_fault(text: str, shown: str, facets: Mapping[str, Any]) -> str:
    if len(text) > 64 or _DECIMAL.fullmatch(text) is None:
        return f"{shown} is no decimal number"
    whole, _, part = text.lstrip("+-").partition(".")
    part = part.rstrip("0")
    total, fraction = facets.get("total_digits"), facets.get("fraction_digits")
    if fraction is not None and len(part) > fraction:
        return f"{shown} has more than {fraction} decimals"
    if total is not None and len(whole.lstrip("0")) + len(part) > total:
        return f"{shown} has more than {total} digits"
    least = facets.get("min_inclusive")
    return f"{shown} is below {least}" if least is not None and Decimal(text) < least else ""


# --- building -------------------------------------------------------------------------------------


def build(message: str, root: str, body: Mapping[str, Any]) -> bytes:
    """Write a message: `body` is the content of `root` by XML names.

    A dict is an element with elements (and, under "@Name", attributes; under "", text), a list repeats, None is left
    out. Raises ValueError with path and words if the result is not its schema's.
    """
    cls = document_class(message)
    document = _built(cls, {root: body}, "Document")
    serializer = XmlSerializer(config=SerializerConfig(indent="  "))
    content = serializer.render(document, ns_map={None: cls.Meta.namespace}).encode()
    findings = check(parse(content))
    if findings:
        raise ValueError(f"{findings[0].path}: {findings[0].words}")
    return content


def _built(cls: type[Any], body: Mapping[str, Any], path: str) -> Any:
    shape = _shape(cls)
    by_name = {dict(each.metadata).get("name", each.name): each.name for each in fields(cls)}
    values: dict[str, Any] = {}
    for name, value in body.items():
        if value is None:
            continue
        slot = shape.text if not name else shape.attributes.get(name[1:]) if name[0] == "@" else None
        if name and name[0] != "@":
            slot = shape.elements.get(name, (0, None))[1]
        if slot is None:
            raise ValueError(f"{path}/{name}: is not expected here")
        below = f"{path}/{name}"
        many = value if slot.many else [value]
        made = [_one(each, slot, below) for each in many]
        values[by_name[slot.name]] = made if slot.many else made[0]
    needed = [s.name for _, s in shape.elements.values() if s.required and by_name[s.name] not in values]
    if needed:
        raise ValueError(f"{path}: {needed[0]} is missing")
    return cls(**values)


def _one(value: Any, slot: _Slot, path: str) -> Any:
    if is_dataclass(slot.type):
        return _built(slot.type, value, path)  # type: ignore[arg-type]
    if isinstance(slot.type, type) and issubclass(slot.type, Enum):
        try:
            return slot.type(value)
        except ValueError:
            raise ValueError(f"{path}: {value!r} is not in its code list") from None
    reader = _READERS.get(slot.type)
    if reader is not None:
        return reader(value if isinstance(value, str) else value.isoformat())
    return value
