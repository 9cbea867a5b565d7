"""The example of events: everything is killed on the way, and the consumer's books are the server's."""

import shutil

import pytest

from examples.events.__main__ import main


@pytest.mark.skipif(shutil.which("redis-server") is None, reason="there is no redis-server")
def test_the_consumers_books_are_the_servers(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["4000"]) == 0
    assert "the consumer's books are the server's" in capsys.readouterr().out
