"""Imports run one way: from what composes to what is composed. `python -m tests.test_imports` draws the graph.

Python and Cython alike (`import` and `cimport`) are read from the sources, imports inside functions too; imports for
annotations only (under TYPE_CHECKING, and in `.pyi` files) do not count.
"""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
HOUSE = ("engine", "server", "loadtest", "benchmarks", "examples", "tests", "backoffice")

RANKS = {
    "engine._core": 0,
    "engine.matching": 1,
    "engine.settlement": 1,
    "engine.risk": 1,
    "engine": 2,
    "server.wire": 3,
    "server.session": 3,
    "server.journal": 3,
    "server.client": 4,
    "server": 4,
    "server.cli": 5,
    "loadtest": 5,
    "loadtest.load.command": 5,
    "backoffice": 5,
    "benchmarks": 6,
    "examples": 6,
    "tests": 6,
}
"""Which rank a package or module has; the longest name that fits counts."""

KNOWS = {
    "engine._core": {"engine._core"},
    "engine.matching": {"engine.matching", "engine._core"},
    "engine.settlement": {"engine.settlement", "engine.matching", "engine._core"},
    "engine.risk": {"engine.risk", "engine.settlement", "engine.matching", "engine._core"},
    "engine": {"engine", "engine._core", "engine.matching", "engine.settlement", "engine.risk"},
    "server.wire": {"server.wire", "engine", "engine._core"},
    "server.journal": {"server.journal", "engine"},
    "server.session": {"server.wire", "engine", "server.channels"},
    "server.projection": {"server.projection", "server.journal", "server", "engine", "engine._core"},
    "server.client": {"server.client", "server.wire", "engine", "engine._core"},
    "loadtest": {"loadtest", "server.wire", "server.client", "engine", "engine._core"},
    "backoffice": {"backoffice", "server.client"},
    "loadtest.load.command": {"loadtest", "loadtest.load.command", "server.client", "server.cli"},
}
"""Who knows only these; the others know everything of their rank and below."""


def sources() -> dict[str, Path]:
    """Every module of the house, and its files (a `.pxd` beside a `.pyx` is one module with it)."""
    found = {}
    for package in HOUSE:
        for path in sorted((ROOT / package).rglob("*.p*")):
            if path.suffix in {".py", ".pyx", ".pxd"}:
                found[str(path.relative_to(ROOT))] = path
    return found


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_of(path) for path in sources().values()}


def python_imports(path: Path) -> Iterator[tuple[str, str]]:
    """(module, name) of each import; the name is empty for `import module`."""
    tree = ast.parse(path.read_text())
    ignored: set[ast.AST] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            ignored.update(inner for statement in node.body for inner in ast.walk(statement))
    for node in ast.walk(tree):
        if node in ignored:
            continue
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, ""
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                package = module_of(path).split(".")
                if path.stem != "__init__":
                    package = package[:-1]
                base = ".".join([*package[: len(package) - node.level + 1], *([base] if base else [])])
            for alias in node.names:
                yield base, alias.name


CYTHON_FROM = re.compile(r"^\s*from\s+([\w.]+)\s+c?import\s+(\([^)]*\)|[^\n]*)", re.MULTILINE)
CYTHON_IMPORT = re.compile(r"^\s*c?import\s+([\w., ]+)", re.MULTILINE)


def cython_imports(path: Path) -> Iterator[tuple[str, str]]:
    text = re.sub(r"#[^\n]*", "", path.read_text())
    text = re.sub(r"(\"\"\").*?\1", "", text, flags=re.DOTALL)
    for base, names in CYTHON_FROM.findall(text):
        for name in names.strip("() \n").split(","):
            if name.strip():
                yield base, name.split(" as ")[0].strip()
    for names in CYTHON_IMPORT.findall(text):
        for name in names.split(","):
            yield name.split(" as ")[0].strip(), ""


def resolved(base: str, name: str) -> str | None:
    """The module of the house that is imported, if it is one."""
    if f"{base}.{name}" in MODULES:
        return f"{base}.{name}"
    while base and base not in MODULES:
        base = base.rpartition(".")[0]
    return base if base.split(".")[0] in HOUSE else None


def graph() -> dict[str, set[str]]:
    """Which module imports which."""
    arrows: dict[str, set[str]] = defaultdict(set)
    for path in sources().values():
        imports = python_imports(path) if path.suffix == ".py" else cython_imports(path)
        for base, name in imports:
            target = resolved(base, name)
            if target is not None and target != module_of(path):
                arrows[module_of(path)].add(target)
    return dict(arrows)


def house(module: str, names: set[str]) -> str:
    """The longest of `names` that the module lies in."""
    fits = [name for name in names if module == name or module.startswith(name + ".")]
    return max(fits, key=len)


ARROWS = graph()


def arrows() -> list[tuple[str, str]]:
    return sorted((source, target) for source, targets in ARROWS.items() for target in targets)


def test_the_graph_is_seen() -> None:
    """Known arrows of every kind: import, cimport, from an `__init__`."""
    for source, target in (
        ("engine.machine", "engine._core.posting"),
        ("engine.machine", "engine.limits"),
        ("engine._core.posting", "engine._core.store"),
        ("engine", "engine.machine"),
        ("tests.engine.driver", "tests.engine.subjects"),
    ):
        assert target in ARROWS[source], f"{source} -> {target} is not seen"


def test_no_arrow_points_up() -> None:
    up = [
        f"{source} -> {target}"
        for source, target in arrows()
        if RANKS[house(target, set(RANKS))] > RANKS[house(source, set(RANKS))]
    ]
    assert not up, "\n".join(up)


def test_who_may_know_only_some_knows_only_those() -> None:
    houses = set(RANKS) | {"server.channels"}
    wrong = []
    for source, target in arrows():
        known = KNOWS.get(house(source, set(RANKS)))
        if known is not None and house(target, houses) not in known:
            wrong.append(f"{source} -> {target}")
    assert not wrong, "\n".join(wrong)


def test_nobody_uses_the_tests() -> None:
    for package in ("tests", "benchmarks", "examples"):
        users = [f"{source} -> {target}" for source, target in arrows() if target.split(".")[0] == package]
        known = {package, "tests"} | ({"benchmarks"} if package == "examples" else set())  # which time what examples do
        users = [user for user in users if user.split(".")[0] not in known]
        assert not users


def test_the_engine_imports_from_the_exact_module() -> None:
    """Never from `engine` itself, so that its own `__init__` cannot close a circle."""
    wrong = [
        source for source, target in arrows() if source.startswith("engine.") and target in {"engine", "engine._core"}
    ]
    assert not wrong


@pytest.mark.parametrize("package", ["engine", "server", "loadtest"])
def test_there_are_no_circles(package: str) -> None:
    done: set[str] = set()

    def walk(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, " -> ".join((*path[path.index(module) :], module))
        if module in done:
            return
        for target in sorted(ARROWS.get(module, ())):
            if target.split(".")[0] == package:
                walk(target, (*path, module))
        done.add(module)

    for module in sorted(MODULES):
        if module.split(".")[0] == package:
            walk(module, ())


def draw() -> str:
    """The graph for Graphviz, packages as boxes, lower ranks below."""
    lines = ["digraph imports {", "  rankdir=TB; node [shape=box, fontname=monospace];"]
    boxes: dict[str, list[str]] = defaultdict(list)
    for module in sorted(MODULES):
        if not module.startswith("tests"):
            boxes[house(module, set(RANKS))].append(module)
    for name, members in boxes.items():
        inside = "; ".join(f'"{member}"' for member in members)
        lines.append(f'  subgraph "cluster {name}" {{ label="{name} (rank {RANKS[name]})"; {inside} }}')
    lines += [f'  "{a}" -> "{b}";' for a, b in arrows() if not a.startswith("tests") and not b.startswith("tests")]
    return "\n".join([*lines, "}"])


if __name__ == "__main__":
    print(draw())
