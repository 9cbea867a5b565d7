"""What a user can do wrong: one line, the right exit code, never a traceback."""

from pathlib import Path

import pytest

from examples.local_server import free_port
from server.cli.common import Exit
from tests.server.cli.conftest import Tongbao, process

COMMANDS = [
    ["serve"], ["status"], ["verify"], ["snapshot"], ["channel"], ["transfer"], ["transfers"],
    ["accounts", "list"], ["accounts", "lookup"], ["accounts", "create"], ["accounts", "update"],
    ["accounts", "history"], ["import", "accounts"], ["import", "transfers"], ["export", "accounts"],
    ["export", "transfers"], ["export", "balances"],
]  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_help_says_what_it_does_and_how_it_ends(tongbao: Tongbao, command: list[str]) -> None:
    outcome = tongbao(*command, "--help")
    assert outcome.code == 0
    assert f"Usage: tongbao {' '.join(command)}" in outcome.out
    assert "Exit codes" in outcome.out
    # Every parameter has a sentence of its own: an empty one would end right after its type.
    for line in outcome.out.splitlines():
        assert not line.rstrip(" │").endswith((" INT", " STR", " PATH", " FLOAT", " UUID")), line


def test_the_commands_are_listed(tongbao: Tongbao) -> None:
    outcome = tongbao("--help")
    for command in COMMANDS:
        assert f" {command[0]} " in outcome.out
    assert tongbao("--version").out.strip().count(".") >= 1


WRONG: list[tuple[list[str], int, str]] = [
    (["frobnicate"], 2, "Unknown command"),
    (["status", "--frob"], 2, "Unknown option"),
    (["status", "--connect", "nowhere"], 2, "--connect: 'nowhere' is not HOST:PORT"),
    (["status", "--connect", "localhost:99999"], 2, "not HOST:PORT"),
    (["status", "--timeout", "0"], 2, "--timeout: 0.0 is not positive"),
    (["status", "--channel", "x"], 2, "needs its key"),
    (["status", "--channel", "x", "--key-file", "/does/not/exist"], 2, "--key-file: /does/not/exist: No such file"),
    (["status", "--ca", "/does/not/exist"], 2, "--ca: "),
    (["transfer", "--debit", "x"], 2, "unable to convert"),
    (["transfer", "--debit", "1", "--credit", "2"], 2, "amount: may be left out for a post or a void only"),
    (["transfer", "--amount", "-5"], 2, "amount: -5"),
    (["transfer", "--amount", "5", "--flag", "pendng"], 2, "there is no transfer flag 'pendng'"),
    (["transfers"], 2, "give an account, or --id"),
    (["accounts", "create", "0", "--ledger", "1", "--code", "1"], 2, "id: 0 is not an integer from 1"),
    (["accounts", "update", "1"], 2, "give --overdraft-limit"),
    (["channel", "bad name"], 2, "not a channel's name"),
    (["channel", "x", "--permission", "all"], 2, "'all' is not one of"),
    (["channel", "x", "--accounts", "1-5"], 2, "go together"),
    (["import", "transfers", "/does/not/exist.csv"], 2, "/does/not/exist.csv: No such file"),
    (["export", "accounts", "--json"], 2, "--json needs --out"),
    (["verify", "--data-dir", "/does/not/exist"], 2, "holds no private PostgreSQL"),
    (["serve"], 2, "--channels: without a file of channels"),
    (["serve", "--dev", "--port", "70000"], 2, "--port: 70000 is more than 65535"),
    (["serve", "--dev", "--host", "0.0.0.0"], 2, "--host: 0.0.0.0 is not loopback"),
]


@pytest.mark.parametrize(("arguments", "code", "words"), WRONG, ids=lambda value: str(value)[:40])
def test_wrong_usage(tongbao: Tongbao, arguments: list[str], code: int, words: str) -> None:
    outcome = tongbao(*arguments)
    assert outcome.code == code
    assert words in " ".join((outcome.out + outcome.err).replace("│", "").split())
    assert "Traceback" not in outcome.err


@pytest.mark.parametrize(
    "arguments",
    [
        ["status"],
        ["snapshot"],
        ["transfer", "--debit", "1", "--credit", "2", "--amount", "1", "--ledger", "1", "--code", "1"],
        ["transfers", "1"],
        ["accounts", "list"],
        ["accounts", "lookup", "1"],
        ["accounts", "history", "1"],
        ["accounts", "create", "1", "--ledger", "1", "--code", "1"],
        ["accounts", "update", "1", "--frozen"],
        ["export", "accounts"],
    ],
    ids=lambda arguments: " ".join(arguments[:2]),
)
def test_nobody_there(tongbao: Tongbao, arguments: list[str]) -> None:
    extra = ["--http-port", str(free_port())] if arguments == ["status"] else []
    outcome = tongbao(*arguments, *extra, "--connect", f"127.0.0.1:{free_port()}")
    assert outcome.code == Exit.UNREACHABLE
    assert "cannot reach" in outcome.out + outcome.err
    assert (outcome.out + outcome.err).count("\n") <= 2


def test_an_import_keeps_its_progress_when_nobody_is_there(tongbao: Tongbao, tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text("id,ledger,code\n1,156,10\n")
    outcome = tongbao("import", "accounts", file, "--connect", f"127.0.0.1:{free_port()}")
    assert outcome.code == Exit.UNREACHABLE
    assert "the same command goes on from there" in outcome.err


def test_a_reader_that_goes_away_is_no_error(tmp_path: Path) -> None:
    with process("channel", "x") as child:
        assert child.stdout is not None
        assert child.stderr is not None
        child.stdout.close()
        assert "Traceback" not in child.stderr.read()
