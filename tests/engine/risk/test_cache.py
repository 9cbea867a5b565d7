"""Compiled code survives a restart, and is not believed where others could have written it. Each start is a process."""

import ctypes
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from engine.risk import cache

START = """
import json, sys, time, warnings
from pathlib import Path
import numpy as np
begun = time.perf_counter()
import numba
imported = time.perf_counter()
from engine import risk
from engine.risk import cache
{before}
with warnings.catch_warnings(record=True) as met:
    warnings.simplefilter("always")
    {checks}
    risk.warm(Path(sys.argv[1]))
    from engine.risk.compiled import kernels
    kernels().all()
from engine._core.risk_records import EXPOSURE, FINDING, LIMITS, RISK_ORDER
order, limits, exposures = np.zeros(1, RISK_ORDER), np.zeros(4, LIMITS), np.zeros(4, EXPOSURE)
limits["kill_switch"][2] = 1
rows = [row for scope in range(4) for row in (limits[scope], exposures[scope])]
print(json.dumps({{
    "from_cache": kernels().from_cache, "directory": str(kernels().directory), "warm": time.perf_counter() - imported,
    "verdict": kernels().decide(order[0], *rows, np.zeros(1, FINDING)[0]),
    "warnings": [str(each.message) for each in met if issubclass(each.category, cache.CacheWarning)],
}}))
"""
KERNELS = 7
KILL_SWITCH = 25

USER = 65534


def obey() -> None:
    """Root, too, is bound by a directory's mode from now on: CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH are gone."""
    drop = 24  # PR_CAPBSET_DROP
    for capability in (1, 2):
        if os.geteuid() == 0 and ctypes.CDLL(None, use_errno=True).prctl(drop, capability, 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "prctl")


def start(directory: Path, *, before: str = "", checks: str = "") -> dict[str, Any]:
    """A process that warms the kernels and says what happened."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("NUMBA")}
    done = subprocess.run(
        [sys.executable, "-c", START.format(before=before, checks=checks), str(directory)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env=environment | {"HOME": "/nonexistent"},
        cwd=Path(__file__).parents[3],
        preexec_fn=obey,
    )
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    assert answer["verdict"] == KILL_SWITCH, "whatever the cache does, the kernel works"
    return answer


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache directory after a first start, and what that start said."""
    base = tmp_path_factory.mktemp("kernels") / "below" / "numba"
    first = start(base)
    assert first["from_cache"] == 0
    assert first["warnings"] == []
    assert Path(first["directory"]).parent == base
    assert (base.stat().st_mode & 0o777, Path(first["directory"]).stat().st_mode & 0o777) == (0o700, 0o700)
    return base


def files(base: Path) -> list[Path]:
    return sorted(base.glob("*/*"))


def test_a_second_start_compiles_nothing(filled: Path) -> None:
    assert len(files(filled)) == KERNELS
    assert {path.stat().st_mode & 0o777 for path in files(filled)} == {0o600}
    again = start(filled)
    assert (again["from_cache"], again["warnings"]) == (KERNELS, [])


def test_a_damaged_file_is_compiled_anew(filled: Path) -> None:
    path = files(filled)[0]
    content = path.read_bytes()
    path.write_bytes(content[:-7] + b"1234567")
    damaged = start(filled)
    assert damaged["from_cache"] == KERNELS - 1
    assert [path.name in message and "damaged" in message for message in damaged["warnings"]] == [True]
    path.write_bytes(b"")
    assert start(filled)["from_cache"] == KERNELS - 1
    assert start(filled)["from_cache"] == KERNELS


def test_another_version_has_its_own_directory(filled: Path) -> None:
    """And leaves that of the version before as it is, which another process may still use."""
    before = "facts = cache.versions(); cache.versions = lambda: {**facts, 'tongbao': 'next'}"
    upgraded = start(filled, before=before)
    assert upgraded["from_cache"] == 0
    assert start(filled, before=before)["from_cache"] == KERNELS
    assert start(filled)["from_cache"] == KERNELS


def test_a_directory_that_can_only_be_read_is_read(filled: Path) -> None:
    """An image may bring compiled kernels along. Nothing is written, nor when there is something to compile."""
    places = [filled, *filled.glob("*")]
    before = [(path, path.stat().st_mtime_ns) for path in files(filled)]
    for path in places:
        path.chmod(0o555)
    try:
        read = start(filled)
        damaged = next(Path(read["directory"]).iterdir())  # there is a directory of another version beside it
        content = damaged.read_bytes()
        damaged.write_bytes(b"")
        partly = start(filled)
        damaged.write_bytes(content)
    finally:
        for path in places:
            path.chmod(0o700)
    assert (read["from_cache"], read["warnings"]) == (KERNELS, [])
    assert partly["from_cache"] == KERNELS - 1
    assert [path for path, _ in before] == files(filled)
    assert [each for each in before if each[0] != damaged] == [
        (path, path.stat().st_mtime_ns) for path in files(filled) if path != damaged
    ]


def test_a_directory_that_cannot_be_made_changes_nothing(tmp_path: Path) -> None:
    tmp_path.chmod(0o555)
    alone = start(tmp_path / "numba")
    tmp_path.chmod(0o700)
    assert (alone["from_cache"], alone["directory"], alone["warnings"]) == (0, "None", [])
    assert not (tmp_path / "numba").exists()


def test_what_root_has_written_is_believed_by_everybody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: USER)
    assert cache.fault_of(Path("/usr")) == ""


def test_a_file_in_the_way_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / "numba").write_text("not a directory")
    assert cache.directory_for(tmp_path / "numba", "key") is None


@pytest.mark.parametrize("mode", [0o770, 0o707, 0o777, 0o1777])
@pytest.mark.parametrize("which", ["base", "key", "above"])
def test_what_others_can_write_is_not_believed(tmp_path: Path, mode: int, which: str) -> None:
    base = tmp_path / "above" / "numba"
    (base / "key").mkdir(mode=0o700, parents=True)
    {"base": base, "key": base / "key", "above": base.parent}[which].chmod(mode)
    if which != "key" and mode & 0o1000:  # as /tmp: nobody can put another directory in its place
        assert cache.directory_for(base, "key") == base / "key"
        return
    with pytest.warns(cache.CacheWarning, match="can be written by others"):
        assert cache.directory_for(base, "key") is None


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give away a directory")
@pytest.mark.parametrize("which", ["base", "key", "above"])
def test_what_belongs_to_another_is_not_believed(tmp_path: Path, which: str) -> None:
    base = tmp_path / "above" / "numba"
    (base / "key").mkdir(mode=0o700, parents=True)
    os.chown({"base": base, "key": base / "key", "above": base.parent}[which], USER, USER)
    with pytest.warns(cache.CacheWarning, match=f"belongs to user {USER}, not to 0"):
        assert cache.directory_for(base, "key") is None


def test_a_link_in_place_of_the_directory_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "numba").mkdir(mode=0o700)
    (tmp_path / "numba" / "key").symlink_to(tmp_path / "elsewhere")
    with pytest.warns(cache.CacheWarning, match="is not a directory"):
        assert cache.directory_for(tmp_path / "numba", "key") is None


def test_a_start_without_trust_works_and_says_why(filled: Path, tmp_path: Path) -> None:
    open_to_all = tmp_path / "numba"
    open_to_all.mkdir()
    open_to_all.chmod(0o777)
    warned = start(open_to_all)
    assert (warned["from_cache"], warned["directory"]) == (0, "None")
    assert "can be written by others" in warned["warnings"][0]


OWN = """
from engine import risk
{constant}
@risk.check(reasons={{1: "too_large"}})
def own(order, limits, exposure):
    return 1 if order["quantity"] > MOST else risk.ACCEPT
"""


def test_a_constant_of_a_check_is_part_of_what_is_kept(tmp_path: Path) -> None:
    """Numba's own cache looks at the file's content, and would take the old code when a number came from elsewhere."""
    path = tmp_path / "own.py"
    path.write_text(OWN.format(constant="import os\nMOST = int(os.environ['MOST'])"))
    program = START.format(before="", checks=f"risk.load_checks([{str(path)!r}])") + (
        "\nimport ctypes\norder['quantity'] = 10\n"
        "own = ctypes.CFUNCTYPE(ctypes.c_int64, *[ctypes.c_void_p] * 4)(risk.registered()[0].address)\n"
        "print(own(order.ctypes.data, limits.ctypes.data, exposures.ctypes.data, None))\n"
    )
    said = []
    for most in ("9", "10", "9"):
        done = subprocess.run(
            [sys.executable, "-c", program, str(tmp_path / "numba")],
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
            env=os.environ | {"MOST": most},
            cwd=Path(__file__).parents[3],
        )
        assert done.returncode == 0, done.stderr
        said.append(int(done.stdout.splitlines()[-1]))
    assert said == [1, 0x5AFE, 1]
    assert len([each for each in files(tmp_path / "numba") if each.name.startswith("guarded")]) == 2


def test_every_fact_is_part_of_the_key() -> None:
    facts = cache.versions()
    wanted = {"tongbao", "sources", "layout", "reasons", "python", "numpy", "numba", "llvmlite", "machine", "processor"}
    assert set(facts) == wanted
    keys = {cache.key_of(facts | {name: "another"}) for name in facts}
    assert len(keys | {cache.key_of(facts)}) == len(facts) + 1


def test_the_default_is_the_users_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache.default_base() == tmp_path / "tongbao" / "numba"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache.default_base() == tmp_path / ".cache" / "tongbao" / "numba"


def test_importing_the_engine_does_not_import_numba() -> None:
    program = "import sys, engine, engine.risk, engine.risk.doors; sys.exit('numba' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False, timeout=60).returncode == 0
