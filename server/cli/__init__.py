"""The command `tongbao`. See docs/CLI.md."""

import sys
from collections.abc import Sequence
from importlib.metadata import entry_points, version

from cyclopts import App
from rich.text import Text

from server.cli import (
    accounts,
    backup,
    channel,
    events,
    export,
    failover,
    follow,
    importing,
    limits,
    losses,
    orders,
    projection,
    serve,
    sessions,
    snapshot,
    status,
    transfers,
    verify,
)
from server.cli.common import CommandError, Exit, err
from server.client.errors import ClientError, ConnectionLost, DeadlineExceeded, RequestError

app = App(
    name="tongbao",
    help="The ledger server, and everything to run it, look into it, and move data in and out.",
    version=lambda: version("tongbao"),
    help_format="markdown",
    result_action="return_value",
)
app.command(serve.serve, name="serve")
app.command(follow.follow, name="follow")
app.command(failover.servers, name="servers")
app.command(failover.promote, name="promote")
app.command(losses.accept_loss, name="accept-loss")
app.command(projection.app, name="projection")
app.command(events.app, name="events")
app.command(status.status, name="status")
app.command(verify.verify, name="verify")
app.command(backup.backup, name="backup")
app.command(backup.restore, name="restore")
app.command(snapshot.snapshot, name="snapshot")
app.command(channel.channel, name="channel")
app.command(accounts.app, name="accounts")
app.command(transfers.transfer, name="transfer")
app.command(transfers.transfers, name="transfers")
app.command(orders.orders, name="orders")
app.command(orders.book, name="book")
app.command(orders.trades, name="trades")
app.command(sessions.session, name="session")
app.command(sessions.sessions, name="sessions")
app.command(sessions.end_of_day, name="end-of-day")
app.command(limits.app, name="limits")
app.command(limits.kill, name="kill")
app.command(limits.approve, name="approve")
app.command(importing.app, name="import")
app.command(export.app, name="export")
for plugin in sorted(entry_points(group="tongbao.commands"), key=lambda found: found.name):
    # Commands of packages that stand above the server and that it does not know; loaded when they are called.
    app.command(plugin.value, name=plugin.name)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; what the user can cause ends in one line, not in a traceback."""
    try:
        code = app(arguments)
    except CommandError as error:
        return _end(str(error), error.code)
    except RequestError as error:
        return _end(f"the server refused the request: {error}", Exit.REQUEST_REFUSED)
    except (ConnectionLost, DeadlineExceeded) as error:
        return _end(str(error), Exit.UNREACHABLE)
    except ClientError as error:
        return _end(str(error), Exit.UNREACHABLE)
    except ValueError as error:
        return _end(str(error), Exit.USAGE)
    except KeyboardInterrupt:
        return _end("interrupted", Exit.INTERRUPTED)
    except BrokenPipeError:
        # Who read our output has had enough; keep the interpreter from complaining at its end.
        sys.stdout = None
        return Exit.OK
    return int(code) if code is not None else Exit.OK


def _end(message: str, code: int) -> int:
    err().print(Text(f"tongbao: {message}"), soft_wrap=True)
    return int(code)


if __name__ == "__main__":
    sys.exit(main())
