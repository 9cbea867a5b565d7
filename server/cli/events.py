"""`tongbao events …`: how far the targets of events are, asked of the targets themselves."""

import asyncio
from typing import Annotated, Any

from cyclopts import App, Parameter

from server.cli.common import CommandError, Exit, Json, print_json, print_table

app = App(name="events", help="The events that a follower publishes: how far each target is.")


@app.command
def status(
    *,
    redis_url: Annotated[str, Parameter(env_var="TONGBAO_REDIS_URL", show_default=False)] = "",
    redis_prefix: Annotated[str, Parameter(env_var="TONGBAO_REDIS_PREFIX")] = "tongbao",
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
    json
        Print one JSON document.
    """
    if not redis_url:
        raise CommandError("--redis-url: without it there is nothing to look at")
    said = {"redis": asyncio.run(_redis(redis_url, redis_prefix))}
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
