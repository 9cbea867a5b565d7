"""`tongbao status`: is the server ready, and what is it doing."""

import asyncio
import json
from typing import Any

from rich.text import Text

from server.cli.common import CommandError, Exit, Json, Target, out, print_json, run
from server.client.errors import ClientError, ConnectionLost, NotLoggedOn, NotPermitted, RequestError

HTTP_SECONDS = 3.0
PING_SECONDS = 3.0


def status(*, target: Target = Target(), http_port: int = 7421, json: Json = False) -> int:  # noqa: B008
    """Say whether the server is ready, how far its log is, and what it holds.

    The TCP port answers when everything acknowledged is recovered and writes are possible. Before that, the health
    port tells how far the recovery is. Details need a channel with the permission `admin` (or a --dev server).

    Exit codes: 0 ready, 1 not reachable, 2 wrong usage, 3 runs but is not ready, 4 the logon was refused.

    Parameters
    ----------
    http_port
        Health port of the server, on the same host.
    json
        Print one JSON document.
    """
    report = run(_ask(target, http_port))
    if json:
        print_json(report)
    else:
        _print(report)
    return {"ready": Exit.OK, "unreachable": Exit.UNREACHABLE}.get(report["status"], Exit.NOT_READY)


async def _ask(target: Target, http_port: int) -> dict[str, Any]:
    report: dict[str, Any] = {"address": target.connect, "status": "unreachable"}
    try:
        async with target.client(deadline_s=min(target.timeout, PING_SECONDS)) as client:
            report["time"] = await client.ping()
            report["status"] = "ready"
            try:
                report["server"] = await client.call("server_status", {}, safe=True)
            except (NotLoggedOn, NotPermitted):
                report["note"] = "details need a channel with the permission admin"
            return report
    except RequestError:
        raise
    except ConnectionLost as error:
        report["reason"] = str(error)
    except ClientError as error:
        report["status"] = "silent"
        report["reason"] = str(error)
    host, _ = target.address()
    health = await _health(host, http_port)
    if health is not None:
        report["health"] = health
        if not health.get("ready") and report["status"] == "unreachable":
            report["status"] = str(health.get("state", "starting"))
    return report


async def _health(host: str, port: int) -> dict[str, Any] | None:
    """Ask the health port; None when nobody is there."""
    if not 0 < port < 65536:
        raise CommandError(f"--http-port: {port} is not a port")
    try:
        async with asyncio.timeout(HTTP_SECONDS):
            reader, writer = await asyncio.open_connection(host, port)
            try:
                writer.write(f"GET /health/ready HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
                answer = await reader.read(65536)
                while chunk := await reader.read(65536):
                    answer += chunk
            finally:
                writer.close()
        body = json.loads(answer.partition(b"\r\n\r\n")[2])
    except (OSError, TimeoutError, ValueError):
        return None
    return body if isinstance(body, dict) else None


def _print(report: dict[str, Any]) -> None:
    console = out()
    good = report["status"] == "ready"
    console.print(Text.assemble(f"{report['address']}  ", (report["status"], "bold green" if good else "bold red")))
    for name in ("reason", "note"):
        if name in report and not (name == "reason" and "health" in report and report["status"] != "silent"):
            console.print(Text(f"  {report[name]}"))
    for name, value in _flat({**report.get("health", {}), **report.get("server", {})}):
        console.print(Text(f"  {name:<28}{value}"))


def _flat(values: dict[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Give nested members one under the other, as `log.seq`."""
    lines = []
    for name, value in values.items():
        if isinstance(value, dict):
            lines += _flat(value, f"{prefix}{name}.")
        else:
            text = f"{value:,}" if type(value) is int and "port" not in name and name != "pid" else str(value)
            lines.append((prefix + name, text))
    return lines
