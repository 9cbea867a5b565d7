"""How far an import has come, on disk: what a restart begins from, and the rows that were refused.

Two files beside the data: FILE.import.json and FILE.refused.csv. Refused rows are written before the progress that
covers them, each time both durably, so a restart loses none; it may repeat rows, which their ids make harmless.
"""

import csv
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from server.cli.common import CommandError, file_error

VERSION = 1


@dataclass(slots=True)
class Progress:
    """Counts of the rows before `rows`; all of them are settled."""

    sha256: str
    options: str
    rows: int = 0
    created: int = 0
    repeated: int = 0
    refused: int = 0
    finished: bool = False


class ImportState:
    """The two files of one import."""

    def __init__(self, state: Path, refused: Path, sha256: str, options: str, *, restart: bool) -> None:
        """Read what an earlier run left; CommandError when it was about another file or other options."""
        self.state = state
        self.refused = refused
        self.progress = Progress(sha256, options)
        self._known: set[int] = set()
        if restart:
            state.unlink(missing_ok=True)
            refused.unlink(missing_ok=True)
        elif state.exists():
            self.progress = self._read(sha256, options)
        try:
            self._file = self._open()
        except OSError as error:
            raise file_error(refused, error) from None
        self._writer = csv.writer(self._file, lineterminator="\n")
        if self._file.tell() == 0:
            self._writer.writerow(["line", "id", "status", "message"])

    def _read(self, sha256: str, options: str) -> Progress:
        try:
            values: dict[str, Any] = json.loads(self.state.read_text("utf-8"))
            version = values.pop("version")
            progress = Progress(**values)
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise CommandError(f"{self.state}: cannot be read ({error}); --restart begins anew") from None
        if version != VERSION:
            raise CommandError(f"{self.state}: is of version {version}; --restart begins anew")
        if progress.sha256 != sha256:
            raise CommandError(
                f"{self.state}: the data file has changed since this import began. Rows without an id have ids made "
                "from the file's content, so they would be posted again. If that is meant, give --restart"
            )
        if progress.options != options:
            raise CommandError(f"{self.state}: this import was begun with other options; --restart begins anew")
        return progress

    def _open(self) -> Any:
        """Open the file of refused rows behind its last whole line, and remember which rows it has."""
        file = self.refused.open("a+", encoding="utf-8", newline="")
        file.seek(0)
        text = file.read()
        whole = text.rfind("\n") + 1
        if whole < len(text):  # torn by a kill
            file.truncate(len(text[:whole].encode("utf-8")))
        for cells in csv.reader(text[:whole].splitlines()[1:]):
            self._known.add(int(cells[0]))
        file.seek(0, os.SEEK_END)
        return file

    def refuse(self, line: int, id_: object, status: str, message: str = "") -> None:
        """Note a refused row; the first note about a line stays, since a repeat cannot know the first reason."""
        self.progress.refused += 1
        if line not in self._known:
            self._known.add(line)
            self._writer.writerow([line, id_, status, message])

    def save(self) -> None:
        """Make everything noted so far durable."""
        self._file.flush()
        os.fsync(self._file.fileno())
        temporary = self.state.with_name(self.state.name + ".writing")
        try:
            with temporary.open("w", encoding="utf-8") as file:
                json.dump({"version": VERSION, **asdict(self.progress)}, file)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(self.state)
        except OSError as error:
            raise file_error(self.state, error) from None

    def close(self) -> None:
        """Close the files; without a refused row there is none of them."""
        self._file.close()
        if not self._known:
            self.refused.unlink(missing_ok=True)
