"""A consumer that acts on each event once: books in SQLite, moved with the entry's id in one transaction.

Redis delivers at least once. Entry ids are places in the log and only grow, so the id of the last entry that was
booked, committed with the booking, tells what was booked before.
"""

import json
import sqlite3
import sys
from pathlib import Path
from typing import Any

from redis import Redis, RedisError, ResponseError

STREAM, GROUP = "tongbao:transfers", "books"
SCHEMA = """
CREATE TABLE IF NOT EXISTS books (account INTEGER PRIMARY KEY, debits INTEGER NOT NULL, credits INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS position (one INTEGER PRIMARY KEY CHECK (one = 1), seq INTEGER, place INTEGER);
INSERT OR IGNORE INTO position VALUES (1, 0, 0);
"""
POST = """
INSERT INTO books VALUES (?, ?, ?) ON CONFLICT (account) DO UPDATE SET
debits = debits + excluded.debits, credits = credits + excluded.credits
"""


def open_books(path: Path) -> sqlite3.Connection:
    """Open the consumer's database."""
    books = sqlite3.connect(path, isolation_level=None)
    books.executescript("PRAGMA journal_mode = WAL;" + SCHEMA)
    return books


def book(books: sqlite3.Connection, entries: list[tuple[bytes, dict[bytes, bytes]]]) -> int:
    """Book what was not booked before; return how much that was."""
    done = 0
    books.execute("BEGIN IMMEDIATE")
    last = books.execute("SELECT seq, place FROM position").fetchone()
    for entry, fields in entries:
        seq, place = (int(part) for part in entry.split(b"-"))
        if (seq, place) <= last:
            continue
        last = (seq, place)
        transfer = json.loads(fields[b"event"])["data"]
        if transfer["status"] == "posted":
            books.execute(POST, (transfer["debit_account_id"], transfer["amount"], 0))
            books.execute(POST, (transfer["credit_account_id"], 0, transfer["amount"]))
        done += 1
    books.execute("UPDATE position SET seq = ?, place = ?", last)
    books.execute("COMMIT")
    return done


def consume(url: str, path: Path) -> None:
    """Read for ever: first what this reader was given and has not acknowledged, then what is new."""
    books = open_books(path)
    start = "0"
    while True:
        try:
            with Redis.from_url(url) as redis:
                try:
                    redis.xgroup_create(STREAM, GROUP, id="0", mkstream=False)
                except ResponseError as error:
                    if "BUSYGROUP" not in str(error):
                        raise
                while True:
                    found: Any = redis.xreadgroup(GROUP, "reader-1", {STREAM: start}, count=500, block=500)
                    entries = found[0][1] if found else []
                    if entries:
                        book(books, entries)
                        redis.xack(STREAM, GROUP, *(entry for entry, _ in entries))
                    elif start == "0":
                        start = ">"
        except RedisError:  # away, or nothing has been published yet
            start = "0"


if __name__ == "__main__":
    consume(sys.argv[1], Path(sys.argv[2]))
