"""The simulated rail as a process: signed both ways, once for each reference, and whole after a kill."""

import http.server
import json
import random
import threading
import uuid
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from backoffice.payments.railfile import Format, read
from backoffice.rails.process import Journal, JournalError
from backoffice.rails.signing import Call, Keys, sign, verify
from backoffice.rails.wire import CallbackIn
from tests.backoffice.rails.conftest import RailProcess


class Receiver:
    """Takes callbacks as the office would, and checks their signatures; the first of each is refused if asked."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.bad = 0
        self.refuse_first = False
        self.keys: Keys | None = None
        self._seen: set[str] = set()
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                status = receiver.take(headers, self.path, body)
                content = json.dumps({"taken": True, "accepted": True}).encode()
                self.send_response(status)
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: Any) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    def take(self, headers: dict[str, str], path: str, body: bytes) -> int:
        assert self.keys is not None
        try:
            verify(self.keys, headers, Call("POST", path, body), datetime.now(UTC))
            event = CallbackIn.model_validate_json(body).event
        except ValueError:
            self.bad += 1
            return 401
        if self.refuse_first and event.id not in self._seen:
            self._seen.add(event.id)
            return 503
        self.events.append(event.id)
        return 200

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}/callbacks?x=1"

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.close()


def order(amount: int = 1_000, operation: str = "authorise", **more: Any) -> bytes:
    reference = str(uuid.uuid4())
    body = {"reference": reference, "operation": operation, "payment": f"P-{reference}", "amount_minor": amount}
    return json.dumps(body | more).encode()


def settled(process: RailProcess) -> list[str]:
    """Wait until the rail has no callback left, and say which events it has told of."""
    for _ in range(400):
        if httpx.get(f"{process.url}/health", trust_env=False).json()["untold"] == 0:
            return [line["event"] for line in journal(process) if line["do"] == "told"]
        threading.Event().wait(0.05)
    raise AssertionError("callbacks are left")


def journal(process: RailProcess) -> list[dict[str, Any]]:
    content = (process.directory / f"{process.kind}.jsonl").read_text()
    return [json.loads(line) for line in content.splitlines()]


def test_who_does_not_sign_is_not_heard(rail_process: Any) -> None:
    rail = rail_process("card")
    body = order()
    headers = sign(Keys.read(rail.keys_path), Call("POST", "/operations", body), datetime.now(UTC))
    headers["content-type"] = "application/json"
    target = f"{rail.url}/operations"
    first = httpx.post(target, content=body, headers=headers, trust_env=False)
    again = httpx.post(target, content=body, headers=headers, trust_env=False)
    none = httpx.post(target, content=body, headers={"content-type": "application/json"}, trust_env=False)
    assert [each.status_code for each in (first, again, none)] == [200, 401, 401]
    assert rail.ask("POST", "/operations", b'{"reference": 1}').status_code == 422
    assert rail.ask("GET", "/file?day=2026-13-01").status_code == 422
    assert len(rail.book()) == 1


def test_callbacks_come_signed_twice_and_in_any_order(rail_process: Any, receiver: Receiver) -> None:
    receiver.refuse_first = True
    rail = rail_process("wallet", callback=receiver.url, duplicates=0.5, delay=0.1, lost=0.2, seed=3)
    receiver.keys = Keys.read(rail.keys_path)
    for _ in range(15):
        assert rail.ask("POST", "/operations", order()).status_code == 200
    told = settled(rail)
    assert receiver.bad == 0
    counts = Counter(receiver.events)
    assert set(counts) == set(told)
    assert max(counts.values()) == 2
    assert len(told) < 30, "some are lost"
    assert receiver.events != sorted(receiver.events), "they overtake each other"


def test_failures_do_nothing_twice(rail_process: Any) -> None:
    """Whatever was answered: with the same reference until there is an answer, each payment is there once."""
    rail = rail_process("wallet", failures=0.6, hang=0.05, seed=5)
    bodies = [order(1_000 * number) for number in range(1, 16)]
    answers = []
    statuses: Counter[int] = Counter()
    for body in bodies:
        while True:
            response = rail.ask("POST", "/operations", body)
            statuses[response.status_code] += 1
            if response.status_code == 200:
                break
        answers.append(response.json())
    assert statuses[503] > 0
    assert statuses[500] > 0
    assert [answer["status"] for answer in answers] == ["done"] * 15
    assert len(rail.book()) == 15
    for answer in answers:
        assert rail.ask("GET", f"/operations/{answer['reference']}").json() == answer
    assert rail.ask("GET", "/operations/none").status_code == 404
    changed = json.loads(bodies[0]) | {"amount_minor": 7}
    while (response := rail.ask("POST", "/operations", json.dumps(changed).encode())).status_code in {500, 503}:
        pass
    assert response.status_code == 409


def test_killed_anywhere_it_is_what_it_was(rail_process: Any, receiver: Receiver) -> None:
    """kill -9 between any two requests, or within one: what was answered stands, and every event is told of."""
    rail = rail_process("qr", callback=receiver.url, delay=0.02)
    receiver.keys = Keys.read(rail.keys_path)
    chance = random.Random(7)
    answers: dict[str, Any] = {}
    for round_ in range(3):
        asked = 0
        last = chance.randrange(1, 6)
        stop = threading.Timer(chance.uniform(0.0, 0.03), rail.kill)
        while rail.process is not None:
            body = order()
            try:
                response = rail.ask("POST", "/operations", body, timeout=5.0)
                answers[json.loads(body)["reference"]] = response.json()
            except httpx.HTTPError:
                break
            asked += 1
            if asked == last:
                stop.start()
        stop.join()
        with (rail.directory / "qr.jsonl").open("ab") as file:
            file.write(b'{"do": "ask", "at"' * (round_ % 2))  # as after a cut in the middle of a line
        rail.start()
    assert answers
    for reference, answer in answers.items():
        assert rail.ask("GET", f"/operations/{reference}").json() == answer
    settled(rail)
    told = {event["id"] for answer in answers.values() for event in answer["events"]}
    assert told <= set(receiver.events)
    assert len(rail.book()) == len({line["request"]["payment"] for line in journal(rail) if line["do"] == "ask"})


def test_the_file_and_what_is_false_in_it(rail_process: Any) -> None:
    rail = rail_process("qr", plant=["missing", "amount"])
    for number in range(5):
        rail.ask("POST", "/operations", order(1_000 * (number + 1)))
    day = datetime.now(UTC).astimezone().date()
    for each in (day, day.replace(day=1)):
        response = rail.ask("GET", f"/file?day={each}")
        assert read(Format.CSV, response.content).sound
    days = {item["at"][:10] for item in journal(rail)}
    assert days
    found = [rail.ask("GET", f"/planted?day={each}").json() for each in _days()]
    assert [each["plant"] for day_ in found for each in day_] == ["missing", "amount"]


def _days() -> list[str]:
    """The day in China: near midnight, the next one too."""
    from datetime import timedelta

    from backoffice.payments.limits import day_of

    now = datetime.now(UTC)
    return sorted({str(day_of(now)), str(day_of(now - timedelta(minutes=5)))})


def test_a_journal_that_was_changed_is_not_believed(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(b'{"do": 1}\nxx\n{"do": 2}\n')
    journal_ = Journal(path)
    with pytest.raises(JournalError, match=r"x\.jsonl"):
        journal_.read()
    journal_.close()
