"""Where a target is that cannot say so itself: a small file, replaced as a whole."""

import contextlib
import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from server.events.errors import EventsError
from server.events.publisher import Mark
from server.journal.cluster import sync_directory


@dataclass(slots=True)
class State:
    """What stands in the file."""

    mark: Mark | None = None
    dead: int = 0
    disabled: str = ""
    extra: dict[str, Any] = field(default_factory=dict)


def read_state(path: Path) -> State:
    """Read where an endpoint is. Raises EventsError for a file that is not one of ours."""
    try:
        document = json.loads(path.read_text("utf-8"))
        mark = document["mark"]
        return State(
            Mark(bytes.fromhex(mark["log_id"]), int(mark["seq"]), bytes.fromhex(mark["hash"]), int(mark["part"])),
            int(document["dead"]),
            str(document["disabled"]),
            {name: value for name, value in document.items() if name not in {"mark", "dead", "disabled"}},
        )
    except FileNotFoundError:
        return State()
    except (ValueError, KeyError, TypeError) as error:
        raise EventsError(f"events: {path} cannot be read: {type(error).__name__}") from None


def write_state(path: Path, state: State) -> None:
    """Replace the file; after a crash there is the old one or the new one."""
    assert state.mark is not None
    mark = state.mark
    document = {
        "mark": {"log_id": mark.log_id.hex(), "seq": mark.seq, "hash": mark.hash.hex(), "part": mark.part},
        "dead": state.dead,
        "disabled": state.disabled,
        **state.extra,
    }
    temporary = path.with_suffix(".writing")
    with temporary.open("w", encoding="utf-8") as file:
        json.dump(document, file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    with contextlib.suppress(OSError):
        sync_directory(path.parent)
