"""`tongbao snapshot`: ask the running server for a snapshot."""

import asyncio
from typing import Any

from server.cli.common import CommandError, Exit, Json, Target, out, print_json, run

POLL_SECONDS = 0.1


def snapshot(*, target: Target = Target(), wait: float = 600.0, json: Json = False) -> int:  # noqa: B008
    """Have the running server write a snapshot, and wait until it is verified on disk.

    The server goes on serving meanwhile. Needs a channel with the permission `admin` (or a --dev server).

    Exit codes: 0 it is there, 1 not reachable or not there in time, 2 wrong usage, 4 refused.

    Parameters
    ----------
    wait
        Seconds to wait for it; 0 returns as soon as it has been asked for.
    json
        Print one JSON document.
    """
    answer = run(_take(target, wait))
    if json:
        print_json(answer)
    elif answer["done"]:
        out().print(f"snapshot after log entry {answer['seq']:,}", highlight=False)
    else:
        out().print("snapshot asked for", highlight=False)
    return Exit.OK


async def _take(target: Target, wait: float) -> dict[str, Any]:
    async with target.client() as client:
        asked = await client.call("take_snapshot", {}, safe=True)
        if wait <= 0:
            return {"done": False, "log_seq": asked["log_seq"], "seq": asked["snapshot_seq"]}
        try:
            async with asyncio.timeout(wait):
                while True:
                    newest = (await client.call("server_status", {}, safe=True))["snapshot"]
                    if newest["seq"] >= asked["log_seq"] and not newest["running"]:
                        return {"done": True, "log_seq": asked["log_seq"], **newest}
                    await asyncio.sleep(POLL_SECONDS)
        except TimeoutError:
            raise CommandError(f"the snapshot was not there after {wait:g} s", Exit.UNREACHABLE) from None
