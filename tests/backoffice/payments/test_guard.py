import time

import pytest

from backoffice.payments.iso20022 import guard
from backoffice.payments.iso20022.guard import XmlRefusedError, parse

LAUGHS = (
    b'<!DOCTYPE x [<!ENTITY a "ha">'
    + b"".join(b'<!ENTITY a%d "%s">' % (n, b"&a%s;" % (str(n - 1).encode() if n else b"") * 10) for n in range(10))
    + b"]><x>&a9;</x>"
)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (LAUGHS, "document type"),
        (b'<!DOCTYPE x SYSTEM "file:///etc/passwd"><x/>', "document type"),
        (b'<!DOCTYPE x [<!ENTITY e SYSTEM "http://127.0.0.1/">]><x>&e;</x>', "document type"),
        (b"<!DOCTYPE x><x/>", "document type"),
        (b"<x>&undeclared;</x>", "undefined entity"),
        (b'<?xml version="1.0" encoding="GB18030"?><x/>', "only UTF-8"),
        (b'<?xml version="1.0" encoding="utf-7"?><x/>', "only UTF-8"),
        ("<x/>".encode("utf-16"), "UTF-16"),
        (b"<x>\xff</x>", "not well-formed"),
        (b"<x>\x00</x>", "not well-formed"),
        (b"<x>", "no element found"),
        (b"", "no element found"),
        (b"<x/><y/>", "junk after document element"),
        (b"<a:x/>", "unbound prefix"),
        (b'<x a="1" a="2"/>', "duplicate attribute"),
        (b"<x>" * 65 + b"</x>" * 65, "deeper than 64"),
        (b"<x " + b" ".join(b'a%d="1"' % n for n in range(17)) + b"/>", "more than 16 attributes"),
        (b"<x " + b" ".join(b'xmlns:a%d="u"' % n for n in range(65)) + b"/>", "more than 64 namespaces"),
        (b"<x>" + b"a" * 65_537 + b"</x>", "more than 65536 characters"),
    ],
)
def test_what_is_refused(content: bytes, words: str) -> None:
    with pytest.raises(XmlRefusedError, match=words):
        parse(content)


def test_a_bomb_costs_no_time() -> None:
    begin = time.perf_counter()
    with pytest.raises(XmlRefusedError):
        parse(LAUGHS)
    assert time.perf_counter() - begin < 0.5


def test_caps_of_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "BYTES_MAX", 100)
    with pytest.raises(XmlRefusedError, match="101 bytes are more than 100"):
        parse(b"<x>" + b" " * 94 + b"</x>")
    monkeypatch.setattr(guard, "BYTES_MAX", 1_000_000)
    monkeypatch.setattr(guard, "NODES_MAX", 1_000)
    assert len(parse(b"<x>" + b"<y/>" * 999 + b"</x>").children) == 999
    with pytest.raises(XmlRefusedError, match="more than 1000 elements"):
        parse(b"<x>" + b"<y/>" * 1_000 + b"</x>")


def test_what_is_read() -> None:
    root = parse(
        b'<?xml version="1.0"?>\n<n:x xmlns:n="u" a="1" n:b="2">\n <n:y>&lt;\xe5\xae\x9d<![CDATA[&]]></n:y><n:y/></n:x>'
    )
    assert (root.name, root.namespace, root.attributes, root.line) == ("x", "u", {"a": "1"}, 2)
    assert [(node.text, node.line) for node in root.all("y")] == [("<宝&", 3), ("", 3)]
    assert root.value("nothing", "y") == "<宝&"
    assert root.find("y/z") is None


@pytest.mark.parametrize("size", [65_535, 65_536, 65_537, 131_072])
def test_text_across_chunks(size: int) -> None:
    """The parser is fed in pieces; a sign of three bytes may lie across two of them."""
    content = b"<x><!--" + b"-=" * ((size - 20) // 2) + b"--><y>" + "宝".encode() * 20_000 + b"</y></x>"
    assert parse(content).value("y") == "宝" * 20_000
