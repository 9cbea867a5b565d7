"""XML from outside, read without trust: no document type, no entities, UTF-8 only, and a cap on everything.

A document type declaration is refused where it begins, so no entity can be declared, expanded or fetched (CWE-611,
CWE-776). What is left for an attacker is size; every dimension of it has a limit that is enforced while parsing.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from xml.parsers import expat

BYTES_MAX = 32 * 2**20
"""Some 30,000 payments; larger files come in parts, as ISO 20022 provides."""
NODES_MAX = 1_000_000
DEPTH_MAX = 64
"""The deepest of the messages read here has fewer than 20 levels."""
ATTRIBUTES_MAX = 16
TEXT_MAX = 64 * 2**10
"""Characters of one element."""
_CHUNK = 64 * 2**10
_NAMESPACES_MAX = 64


class XmlRefusedError(ValueError):
    """Not XML, or not XML that we read. The message says where: a line, counted from 1."""

    def __init__(self, line: int, words: str) -> None:
        super().__init__(f"line {line}: {words}")
        self.line = line


@dataclass(slots=True)
class Node:
    """An element: local name, namespace, attributes (without namespaced ones), text, children, line."""

    name: str
    namespace: str
    attributes: dict[str, str]
    line: int
    text: str = ""
    children: list["Node"] = field(default_factory=list)

    def find(self, path: str) -> "Node | None":
        """Give the first element at a path of local names, "GrpHdr/MsgId"; None when there is none."""
        node: Node | None = self
        for name in path.split("/"):
            node = next((child for child in node.children if child.name == name), None) if node is not None else None
        return node

    def all(self, name: str) -> Iterator["Node"]:
        """Children of a name, in order."""
        return (child for child in self.children if child.name == name)

    def value(self, *paths: str) -> str:
        """Text at the first of the paths that exists, without blanks around it; "" when none does."""
        for path in paths:
            found = self.find(path)
            if found is not None:
                return found.text.strip()
        return ""


def parse(content: bytes) -> Node:
    """Read a document; XmlRefusedError for what is not well formed or not allowed."""
    if len(content) > BYTES_MAX:
        raise XmlRefusedError(1, f"{len(content)} bytes are more than {BYTES_MAX}")
    if content[:2] in {b"\xff\xfe", b"\xfe\xff"}:
        raise XmlRefusedError(1, "the encoding is UTF-16; only UTF-8 is read")
    return _Builder().read(content)


class _Builder:
    def __init__(self) -> None:
        parser = expat.ParserCreate(encoding="UTF-8", namespace_separator=" ")
        parser.SetParamEntityParsing(expat.XML_PARAM_ENTITY_PARSING_NEVER)
        parser.buffer_text = True
        parser.ordered_attributes = True
        parser.XmlDeclHandler = self.declaration
        parser.StartDoctypeDeclHandler = self.doctype
        parser.StartNamespaceDeclHandler = self.namespace
        parser.StartElementHandler = self.start
        parser.EndElementHandler = self.end
        parser.CharacterDataHandler = self.characters
        self.parser = parser
        self.open: list[Node] = []
        self.lengths: list[int] = []
        self.texts: list[list[str]] = []
        self.root: Node | None = None
        self.nodes = 0
        self.namespaces = 0

    def read(self, content: bytes) -> Node:
        try:
            for at in range(0, len(content), _CHUNK):
                self.parser.Parse(content[at : at + _CHUNK], False)
            self.parser.Parse(b"", True)
        except expat.ExpatError as error:
            raise XmlRefusedError(error.lineno, expat.ErrorString(error.code) or "not XML") from None
        if self.root is None:
            raise XmlRefusedError(1, "no element found")
        return self.root

    def refuse(self, words: str) -> None:
        raise XmlRefusedError(self.parser.CurrentLineNumber, words)

    def declaration(self, _version: str, encoding: str | None, _standalone: int) -> None:
        if encoding is not None and encoding.upper() not in {"UTF-8", "UTF8", "US-ASCII"}:
            self.refuse(f"the encoding is {encoding[:40]}; only UTF-8 is read")

    def doctype(self, *_: object) -> None:
        self.refuse("a document type declaration is not allowed")

    def namespace(self, _prefix: str | None, _uri: str | None) -> None:
        self.namespaces += 1
        if self.namespaces > _NAMESPACES_MAX:
            self.refuse(f"more than {_NAMESPACES_MAX} namespaces are declared")

    def start(self, tag: str, attributes: list[str]) -> None:
        self.nodes += 1
        if self.nodes > NODES_MAX:
            self.refuse(f"more than {NODES_MAX} elements")
        if len(self.open) >= DEPTH_MAX:
            self.refuse(f"deeper than {DEPTH_MAX} elements")
        if len(attributes) > 2 * ATTRIBUTES_MAX:
            self.refuse(f"more than {ATTRIBUTES_MAX} attributes")
        namespace, _, name = tag.rpartition(" ")
        plain = {key: value for key, value in zip(attributes[::2], attributes[1::2], strict=True) if " " not in key}
        node = Node(name, namespace, plain, self.parser.CurrentLineNumber)
        if self.open:
            self.open[-1].children.append(node)
        else:
            self.root = node
        self.open.append(node)
        self.lengths.append(0)
        self.texts.append([])

    def characters(self, text: str) -> None:
        self.lengths[-1] += len(text)
        if self.lengths[-1] > TEXT_MAX:
            self.refuse(f"an element with more than {TEXT_MAX} characters")
        self.texts[-1].append(text)

    def end(self, _tag: str) -> None:
        self.lengths.pop()
        self.open.pop().text = "".join(self.texts.pop())
