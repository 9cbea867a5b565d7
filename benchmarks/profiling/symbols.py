"""Names of functions as people know them, and whose code they are."""

import re
from typing import NamedTuple

OWNERS = ("kernel", "Tongbao", "CPython", "uvloop", "zstd and hashes", "other")


class Frame(NamedTuple):
    """One function of a stack."""

    name: str
    owner: str


_CYTHON = re.compile(r"^__pyx_(?:fuse_\d+)?(?:f|pw|pf|tp_\w+?|gb|specialmethod_\w*?|getprop|setprop|unpickle)_(?=\d)")
_TAIL = re.compile(r"\.(?:constprop|isra|part|cold|lto_priv)\.?\d*")
_OURS = re.compile(r"/(engine|server|loadtest|benchmarks)/[^ ]*\.so$")


def owner(symbol: str, module: str) -> str:
    """Whose code a function is, by the file that it was loaded from."""
    if module.startswith("[kernel") or module.endswith(".ko") or (module == "[unknown]" and symbol.startswith("do_")):
        return "kernel"
    if "/uvloop/" in module:
        return "uvloop"
    if "/zstandard/" in module or "_sha2" in module or "_hashlib" in module or "libcrypto" in module:
        return "zstd and hashes"
    if _OURS.search(module) and "/site-packages/" not in module:
        return "Tongbao"
    if re.search(r"/(libpython|python)3[^/]*$", module) or "/lib-dynload/" in module:
        return "CPython"
    if module.startswith("/tmp/perf-") or module == "[JIT]":
        return "Tongbao"  # Numba's kernels
    return "other"


def readable(symbol: str) -> str:
    """Undo Cython's names: __pyx_f_6engine_7machine_6Engine_apply is engine.machine.Engine.apply."""
    symbol = _TAIL.sub("", symbol)
    found = _CYTHON.match(symbol)
    if found is None:
        return symbol
    words, rest = [], symbol[found.end() :]
    while number := re.match(r"\d+", rest):
        length, behind = int(number[0]), rest[number.end() :]
        if len(behind) <= length or behind[length] != "_":
            # The last word of what Python calls: its number, and its name, of any length.
            rest = behind
            break
        words.append(behind[:length])
        rest = behind[length + 1 :]
    return ".".join([*words, rest])


def frame(symbol: str, module: str) -> Frame:
    """Return the frame of one function."""
    whose = owner(symbol, module)
    if symbol in {"[unknown]", ""}:
        return Frame(f"[{module.rpartition('/')[2].strip('[]') or 'unknown'}]", whose)
    return Frame(readable(symbol), whose)


INTERPRETER = Frame("Python", "CPython")


def tidy(stack: list[Frame]) -> tuple[Frame, ...]:
    """Take a stack (root first) down to what says something.

    What starts the loop goes. Of several frames of the interpreter in a row there stays one, and the last function
    when nothing follows it.
    """
    for place, each in enumerate(stack):
        if each.name == "uv_run":
            stack = stack[place + 1 :]
            break
    kept: list[Frame] = []
    for place, each in enumerate(stack):
        if each.owner != "CPython":
            kept.append(each)
            continue
        if not kept or kept[-1] != INTERPRETER:
            kept.append(INTERPRETER)
        if place == len(stack) - 1 and each.name not in {"_PyEval_EvalFrameDefault", "_PyEval_EvalFrame"}:
            kept.append(each)
    return tuple(kept)
