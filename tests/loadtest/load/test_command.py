"""`tongbao load` as its user meets it: figures, files, verdicts, exit codes."""

import json
import time
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("hdrh")
pytest.importorskip("matplotlib")

from hdrh.histogram import HdrHistogram

from loadtest.load.command import app
from loadtest.load.judging import figures
from loadtest.load.result import decoded, encoded, read
from server.cli.common import CommandError
from tests.loadtest.double import serving

SHORT = ("--seconds", "1.2", "--warm-up", "0.2", "--rest", "0", "--accounts", "200")


def load(*arguments: str) -> int:
    return int(app(arguments))


def test_a_closed_loop_and_all_it_writes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = {name: tmp_path / f"a.{name}" for name in ("json", "html", "hgrm")}
    with serving() as (port, engine):
        code = load(
            *("--port", str(port), "-c", "2", "-d", "8", *SHORT, "--check", "errors=0", "--check", "p99<=5s"),
            *("-o", str(files["json"]), "--html", str(files["html"]), "--hgrm", str(files["hgrm"])),
            *("--plots", str(tmp_path / "a.png"), "--note", "the double"),
        )
        sent = engine.transfers
    assert code == 0
    found = read(files["json"])
    measured = found["measured"]
    assert measured["statuses"] == {"created": sent}
    assert found["run"] | {"workload": "transfers", "connections": 2, "depth": 8} == found["run"]
    assert found["machine"]["cores"] >= 1
    assert found["note"] == "the double"
    # The file's histogram is that of the run, to three digits.
    known = figures(found)[""]
    assert known.timed == measured["requests"] == measured["latency_us"]["count"]
    for percent, name in ((50, "p50"), (99, "p99"), (99.9, "p99_9")):
        assert known.percentile(percent) == pytest.approx(measured["latency_us"][name] / 1e3, rel=0.002)
    line = files["hgrm"].read_text().splitlines()
    assert line[0].split() == ["Value", "Percentile", "TotalCount", "1/(1-Percentile)"]
    assert str(known.timed) in "".join(line[-4:])
    page = files["html"].read_text()
    assert page.count("<svg") == 1
    for known_name in ("http://www.w3.org", "http://purl.org", "http://creativecommons.org"):
        page = page.replace(known_name, "")  # names of what an SVG is made of, which nobody loads
    assert "http" not in page
    assert (tmp_path / "a-percentiles.png").read_bytes().startswith(b"\x89PNG")
    assert "holds  errors=0" in capsys.readouterr().out


def test_a_check_that_does_not_hold(capsys: pytest.CaptureFixture[str]) -> None:
    with serving() as (port, _):
        assert load("--port", str(port), *SHORT, "--check", "p50<=1us") == 3
    assert "FAILS  p50<=1us" in capsys.readouterr().out


def test_a_pause_of_the_server_is_in_the_percentiles_of_an_open_loop(tmp_path: Path) -> None:
    began: list[float] = []
    paused = []

    def pause(data: bytes, _: int) -> bytes:
        began.append(time.monotonic())
        if not paused and began[-1] - began[0] > 0.6:
            paused.append(True)
            time.sleep(0.4)
        return data

    out = tmp_path / "a.json"
    with serving(pause) as (port, _):
        assert load("--port", str(port), "-c", "1", "-r", "1000", *SHORT, "-o", str(out)) == 0
    known = figures(read(out))[""]
    # Of a second some 400 requests were due while it stood still; a closed loop would have seen one.
    assert known.percentile(80) > 50
    assert known.max > 350


def test_a_sweep_finds_the_rate_that_is_served(tmp_path: Path) -> None:
    def slow(data: bytes, _: int) -> bytes:
        time.sleep(0.004 * data.count(b"\n"))  # 250 a second, whatever is asked
        return data

    out = tmp_path / "sweep.json"
    rates = ("-r", "30", "--sweep-to", "1000", "--sweep-factor", "2", "--check", "p99<=250ms")
    with serving(slow) as (port, _):
        options = ("--seconds", "0.8", "--warm-up", "0.1", "--rest", "0.1", "--accounts", "3")
        assert (
            load("--port", str(port), "-c", "2", *rates, *options, "-o", str(out), "--plots", str(tmp_path / "s.png"))
            == 0
        )
    found = read(out)
    assert 30 <= found["knee"] <= 300
    steps = {step["run"]["rate"]: step["served"] for step in found["steps"]}
    assert steps[30]
    assert not steps[max(steps)]
    assert len(steps) == len(found["steps"])
    assert (tmp_path / "s-sweep.png").exists()


def test_two_thousand_connections(tmp_path: Path) -> None:
    out = tmp_path / "a.json"
    with serving() as (port, engine):
        options = ("-d", "1", "-n", "4000", "--warm-up", "0", "--seconds", "40", "--rest", "0", "--accounts", "3")
        assert load("--port", str(port), "-c", "2000", *options, "-o", str(out)) == 0
        assert engine.transfers == 4_000
    assert read(out)["run"]["connections"] == 2_000


def result(values: dict[int, int], **run: Any) -> dict[str, Any]:
    count = sum(values.values())
    measured = {"requests": count, "seconds": 1.0, "requests_failed": 0, "requests_unexpected": 0, "replies_wrong": 0}
    asked = {"workload": "transfers", "accounts": 1, "spread": "uniform", "shape": "single", "items": 1} | run
    return {
        "format": "tongbao-load/1",
        "machine": {"cpu": "one", "cores": 2},
        "run": asked | {"connections": 1, "depth": 1, "rate": 0},
        "measured": measured | {"transfers_per_second": count, "statuses": {}},
        "histograms": encoded({"": sorted(values.items())}),
    }


@pytest.mark.parametrize(
    ("before", "after", "code", "worse"),
    [
        ({1_000_000: 900, 5_000_000: 100}, {1_000_000: 900, 5_000_000: 100}, 0, []),
        ({1_000_000: 900, 5_000_000: 100}, {1_000_000: 900, 9_000_000: 100}, 3, ["p99"]),
        ({1_000_000: 900, 5_000_000: 100}, {500_000: 900, 5_000_000: 100}, 0, []),
        ({1_000_000: 1_000}, {1_000_000: 800}, 3, ["requests a second"]),
        ({1_000_000: 10_000, 2_000_000: 1}, {1_000_000: 10_000, 90_000_000: 1}, 0, []),
    ],
)
def test_two_results_are_compared(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    before: dict[int, int],
    after: dict[int, int],
    code: int,
    worse: list[str],
) -> None:
    for name, values in (("old", before), ("new", after)):
        (tmp_path / f"{name}.json").write_text(json.dumps(result(values)))
    assert load("compare", str(tmp_path / "old.json"), str(tmp_path / "new.json"), "--json") == code
    assert json.loads(capsys.readouterr().out)["worse"] == worse


def test_what_is_not_alike_is_not_compared(tmp_path: Path) -> None:
    for name, spread in (("old", "uniform"), ("new", "hot")):
        (tmp_path / f"{name}.json").write_text(json.dumps(result({1_000: 5}, spread=spread)))
    files = (str(tmp_path / "old.json"), str(tmp_path / "new.json"))
    with pytest.raises(CommandError, match="not alike: spread: uniform and hot"):
        load("compare", *files)
    assert load("compare", *files, "--anyway", "--plots", str(tmp_path / "c.png")) == 0
    assert (tmp_path / "c-percentiles.png").exists()


@pytest.mark.parametrize(("text", "words"), [("{", "not JSON"), ("{}", "not a result"), (None, "No such file")])
def test_a_file_that_is_no_result_is_named(tmp_path: Path, text: str | None, words: str) -> None:
    path = tmp_path / "x.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(CommandError, match=f"x.json: {words}"):
        load("report", str(path))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--check", "p99"), "--check: 'p99' is not like"),
        (("--sweep-to", "5"), "--sweep-to: more than --rate"),
        (("--seconds", "1", "--warm-up", "1"), "--seconds: more than --warm-up"),
        (("--accounts", "2"), "--accounts: 2 is not between"),
        (("-r", "10", "--sweep-to", "50", "--hgrm", "x"), "--hgrm: a sweep has no single"),
        (("--connections", "0"), "--connections and --depth: at least 1"),
        (("nothing",), "workload: 'nothing' is none of"),
    ],
)
def test_wrong_usage_names_the_option(options: tuple[str, ...], words: str) -> None:
    with pytest.raises(CommandError, match=words):
        load(*options, "--rest", "0")


def test_no_server(capsys: pytest.CaptureFixture[str]) -> None:
    assert load("--port", "1", *SHORT) == 1
    assert "Connection refused" in capsys.readouterr().err


def test_an_own_server_that_does_not_come_up(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TONGBAO_PROFILE", "nonsense")
    assert load("--own-server", "--rest", "0") == 1
    assert "'nonsense' is not one of" in capsys.readouterr().err


def test_the_facts_are_those_of_before_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "a.json"
    with serving() as (port, engine):
        monkeypatch.setattr("os.getloadavg", lambda: (float(engine.transfers), 0.0, 0.0))
        assert load("--port", str(port), *SHORT, "-o", str(out)) == 0
        assert engine.transfers
    assert read(out)["machine"]["load_average_before"] == 0


def test_histograms_survive_their_file() -> None:
    counts = [(1, 3), (999, 1), (123_456, 70), (2**36, 2)]
    made = decoded(encoded({"": counts})[""])
    assert isinstance(made, HdrHistogram)
    assert made.get_total_count() == 76
    assert made.get_value_at_percentile(50) == pytest.approx(123_456, rel=0.001)
    assert made.get_max_value() == pytest.approx(2**36, rel=0.001)


def test_orders_and_a_bank_day_on_a_real_server(tmp_path: Path) -> None:
    """On a server of its own, each reply judged; by kind, and all kinds together are all."""
    for name in ("orders", "bank-day", "reads"):
        out = tmp_path / f"{name}.json"
        options = ("-c", "3", "-d", "8", "-n", "1200", "--warm-up", "0", "--seconds", "20", "--accounts", "200")
        assert load(name, "--own-server", "--rest", "0", *options, "-o", str(out)) == 0
        known = figures(read(out))
        assert known[""].timed == sum(each.timed for kind, each in known.items() if kind) >= 1_000
        assert read(out)["measured"]["ok"]
