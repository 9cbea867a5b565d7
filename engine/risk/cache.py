"""Where compiled kernels are kept between starts, and when what lies there is believed.

What is kept is machine code inside pickles, and whoever can write them can run anything in this process. So a
directory is used only when it, and every directory above it, can be written by nobody but this user and root; in any
other case there is a `CacheWarning`, kernels are compiled in memory, and nothing else changes. A directory that is
missing and cannot be made, or is read-only, is no reason to warn: what it holds is used, and nothing is written.

Each combination of versions has its own directory, `<base>/<key>`, so an upgrade neither finds old code nor disturbs
the process that still runs it. The key covers this package's version and sources, the records' layout, the versions of
Python, NumPy, Numba and llvmlite, and the processor. A file is named after what it was made from, is written under
another name first, and carries a hash; a damaged one is compiled anew.

Numba's own cache is not used: it is directed by the environment for the whole process, falls back to directories beside
the sources without looking at who may write there, needs a directory that can be written even for reading, and does not
notice when a constant changes.
"""

import hashlib
import os
import pickle
import platform
import stat
import tempfile
import warnings
from collections.abc import Callable
from functools import cache
from importlib import metadata
from pathlib import Path
from types import CodeType
from typing import Any

from engine._core.order_codes import NUMBERS
from engine._core.risk_records import SIZES

PRIVATE = 0o700
OTHERS_MAY_WRITE = stat.S_IWGRP | stat.S_IWOTH
DIGEST = 32


class CacheWarning(RuntimeWarning):
    """A directory of compiled kernels is not used, or what lies in it is not."""


def default_base() -> Path:
    """`tongbao/numba` in the user's cache directory (`XDG_CACHE_HOME`, else `~/.cache`)."""
    cached = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(cached) if Path(cached).is_absolute() else Path.home() / ".cache") / "tongbao" / "numba"


def versions() -> dict[str, str]:
    """Everything that compiled code depends on."""
    import llvmlite
    import llvmlite.binding
    import numba
    import numpy as np

    try:
        ours = metadata.version("tongbao")
    except metadata.PackageNotFoundError:
        ours = "none"
    sources = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        content = path.read_bytes()
        sources.update(f"{path.name} {len(content)}\n".encode() + content)
    layout = repr([(name, dtype.descr, size) for name, (dtype, size) in sorted(SIZES.items())])
    return {
        "tongbao": ours,
        "sources": sources.hexdigest(),
        "layout": layout,
        "reasons": repr(sorted(NUMBERS["Reason"].items())),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "numpy": np.__version__,
        "numba": numba.__version__,
        "llvmlite": llvmlite.__version__,
        "machine": platform.machine(),
        "processor": llvmlite.binding.get_host_cpu_name(),
    }


def key_of(facts: dict[str, str]) -> str:
    """The name of the directory for one combination of versions."""
    return hashlib.sha256(repr(sorted(facts.items())).encode()).hexdigest()[:32]


def fault_of(directory: Path) -> str:
    """Why nobody should run code from this directory; empty: there is no reason not to."""
    user = os.geteuid()
    for path in (directory, *directory.parents):
        facts = path.lstat()
        if not stat.S_ISDIR(facts.st_mode):
            return f"{path} is not a directory"
        if facts.st_uid not in {0, user}:
            return f"{path} belongs to user {facts.st_uid}, not to {user}"
        # In a sticky directory (/tmp) others may write, but not rename what is ours.
        if facts.st_mode & OTHERS_MAY_WRITE and (path == directory or not facts.st_mode & stat.S_ISVTX):
            return f"{path} can be written by others (mode {stat.S_IMODE(facts.st_mode):o})"
    return ""


def directory_for(base: Path, key: str) -> Path | None:
    """`base / key`, made if need be; None where there is none that can be trusted."""
    directory = Path(os.path.realpath(base)) / key
    try:
        directory.parent.mkdir(mode=PRIVATE, parents=True, exist_ok=True)
        directory.mkdir(mode=PRIVATE, exist_ok=True)
    except OSError:
        pass  # read-only; it may be there all the same
    try:
        fault = fault_of(directory)
    except OSError:
        return None
    if fault:
        warnings.warn(f"compiled kernels are not kept: {fault}", CacheWarning, stacklevel=2)
        return None
    return directory


@cache
def open_cache(base: Path | None = None) -> Path | None:
    """The directory of this process's versions below `base` (by default the user's), or None: compile in memory."""
    return directory_for(default_base() if base is None else base, key_of(versions()))


def described(code: CodeType) -> tuple[Any, ...]:
    """What a function does, as far as its own code says: constants too, unlike Numba's own key."""
    constants = tuple(described(each) if isinstance(each, CodeType) else repr(each) for each in code.co_consts)
    return code.co_code.hex(), constants, code.co_names, code.co_varnames, code.co_freevars


class FunctionCache:
    """Keeps the compiled forms of one function: what Numba's dispatchers ask of a cache, and no more.

    `names`: whatever else its code depends on, such as who may call it.
    """

    def __init__(self, directory: Path, function: Callable[..., Any], names: str = "") -> None:
        self.cache_path = str(directory)
        self.hits = 0
        self._directory = directory
        self._name = function.__name__
        self._made_from = repr((function.__qualname__, described(function.__code__), names))

    def path(self, signature: Any, codegen: Any) -> Path:
        """The file of one compiled form."""
        made_from = repr((self._made_from, str(signature), codegen.magic_tuple()))
        return self._directory / f"{self._name}-{hashlib.sha256(made_from.encode()).hexdigest()[:32]}.kernel"

    def load_overload(self, signature: Any, target_context: Any) -> Any:
        """The compiled function, or None."""
        from numba.core.compiler import CompileResult

        target_context.refresh()
        path = self.path(signature, target_context.codegen())
        try:
            content = path.read_bytes()
        except OSError:
            return None
        if hashlib.sha256(content[DIGEST:]).digest() != content[:DIGEST]:
            warnings.warn(f"{path} is damaged, and compiled anew", CacheWarning, stacklevel=2)
            return None
        reduced = pickle.loads(content[DIGEST:])  # noqa: S301 - see above
        found = CompileResult._rebuild(target_context, *reduced)  # type: ignore[no-untyped-call]  # noqa: SLF001
        self.hits += 1
        return found

    def save_overload(self, signature: Any, result: Any) -> None:
        """Keeps a compiled function, if that is possible."""
        from numba.core import serialize

        if result.lifted or result.library.has_dynamic_globals:
            return
        content = serialize.dumps(result._reduce())  # type: ignore[no-untyped-call]  # noqa: SLF001
        path = self.path(signature, result.library.codegen)
        try:
            descriptor, name = tempfile.mkstemp(dir=self._directory, prefix=".")
        except OSError:
            return  # read-only
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(hashlib.sha256(content).digest() + content)
            Path(name).replace(path)
        except OSError:  # the disk is full
            Path(name).unlink(missing_ok=True)

    def enable(self) -> None:
        """It always is."""

    def disable(self) -> None:
        """It never is."""

    def flush(self) -> None:
        """Nothing waits."""
