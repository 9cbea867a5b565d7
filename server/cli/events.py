"""`tongbao events …`: how far the targets of events are, asked of the targets themselves."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, Parameter

from server.cli.common import CommandError, Exit, Json, print_json, print_table

if TYPE_CHECKING:
    from server.events.position import State

app = App(name="events", help="The events that a follower publishes: how far each target is.")


@app.command
def status(
    *,
    redis_url: Annotated[str, Parameter(env_var="TONGBAO_REDIS_URL", show_default=False)] = "",
    redis_prefix: Annotated[str, Parameter(env_var="TONGBAO_REDIS_PREFIX")] = "tongbao",
    data_dir: Annotated[Path | None, Parameter(show_default=False)] = None,
    parquet_dir: Annotated[Path | None, Parameter(env_var="TONGBAO_PARQUET_DIR", show_default=False)] = None,
    json: Json = False,
) -> int:
    """Say how far each target is, and what it holds. It asks the targets; no follower need run.

    Exit codes: 0 said, 2 a setting is wrong, 4 a target is away, 13 what is there is not ours.

    Parameters
    ----------
    redis_url
        Redis of the streams.
    redis_prefix
        What the names of the streams begin with.
    data_dir
        The follower's directory, where its webhooks stand.
    parquet_dir
        Directory of the Parquet files.
    json
        Print one JSON document.
    """
    if not redis_url and data_dir is None and parquet_dir is None:
        raise CommandError("--redis-url: without it, a --data-dir or a --parquet-dir there is nothing to look at")
    said: dict[str, dict[str, Any]] = {}
    if redis_url:
        said["redis"] = asyncio.run(_redis(redis_url, redis_prefix))
    if data_dir is not None:
        said |= _webhooks(data_dir)
    if parquet_dir is not None:
        said["parquet"] = _parquet(parquet_dir)
    if json:
        print_json(said)
        return Exit.OK
    for target, facts in said.items():
        streams = facts.pop("streams", {})
        rows = [(name, "nothing yet" if value is None else value) for name, value in facts.items()]
        print_table("", ("", target), rows)
        if streams:
            print_table(
                "", ("stream", "entries", "last"),
                [(name, f"{entry['entries']:,}", entry["last"]) for name, entry in streams.items()], right=["entries"],
            )  # fmt: skip
    return Exit.OK


def _webhooks(data_dir: Path) -> dict[str, dict[str, Any]]:
    """What stands in the files of webhooks."""
    if not data_dir.is_dir():
        raise CommandError(f"--data-dir: {data_dir} is not there")
    found = {}
    for path in sorted((data_dir / "webhooks").glob("*.json")):
        state = _state(path)
        seq = state.mark.seq if state.mark is not None else None
        found[f"webhook:{path.stem}"] = {"seq": seq, "dead": state.dead, "disabled": state.disabled or "no"}
    return found


def _parquet(directory: Path) -> dict[str, Any]:
    """What stands in the position of a directory of files."""
    if not directory.is_dir():
        raise CommandError(f"--parquet-dir: {directory} is not there")
    state = _state(directory / "_position.json")
    return {
        "seq": state.mark.seq if state.mark is not None else None,
        "files": sum(1 for _ in directory.glob("*/date=*/*.parquet")),
    }


def _state(path: Path) -> "State":
    from server.events.errors import EventsError  # noqa: PLC0415
    from server.events.position import read_state  # noqa: PLC0415
    from server.process import Exit as ProcessExit  # noqa: PLC0415

    try:
        return read_state(path)
    except EventsError as error:
        raise CommandError(str(error), ProcessExit.EVENTS) from None


async def _redis(url: str, prefix: str) -> dict[str, Any]:
    from server.events.errors import EventsError  # noqa: PLC0415 - an optional dependency behind it
    from server.process import Exit as ProcessExit  # noqa: PLC0415

    try:
        from redis.exceptions import RedisError  # noqa: PLC0415

        from server.events.streams import Streams  # noqa: PLC0415
    except ImportError as error:
        raise CommandError(f"--redis-url: needs the package {error.name}: pip install 'tongbao[events]'") from None
    try:
        streams = Streams(url, prefix, 0)
        try:
            return await streams.status()
        finally:
            await streams.close()
    except ValueError as error:
        raise CommandError(f"--redis-url: {error}") from None
    except EventsError as error:
        raise CommandError(str(error), ProcessExit.EVENTS) from None
    except (OSError, RedisError) as error:
        raise CommandError(f"--redis-url: {type(error).__name__}: {error}", ProcessExit.DATABASE) from None
