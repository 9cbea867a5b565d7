"""Metrics: the text that Prometheus reads, and that the handbook lists every name."""

from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from server.metrics import GAUGES, Histogram, Metrics, names

OPERATIONS = Path(__file__).parents[3] / "docs" / "OPERATIONS.md"


def test_exposition_holds_what_was_counted() -> None:
    metrics = Metrics()
    metrics.items += 7
    metrics.batches["logged"] += 2
    metrics.commit_seconds.observe(0.0003)
    metrics.commit_seconds.observe(99)
    metrics.gauges |= {name: lambda: 3.5 for name in GAUGES}
    metrics.channel_requests = lambda: [("mobile", 2, 50)]
    samples = {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(metrics.exposition().decode())
        for sample in family.samples
    }
    assert samples["tongbao_items_total", ()] == 7
    assert samples["tongbao_batches_total", (("kind", "logged"),)] == 2
    assert samples["tongbao_batches_total", (("kind", "tick"),)] == 0
    assert samples["tongbao_commit_seconds_bucket", (("le", "0.0002"),)] == 0
    assert samples["tongbao_commit_seconds_bucket", (("le", "0.0005"),)] == 1
    assert samples["tongbao_commit_seconds_bucket", (("le", "+Inf"),)] == 2
    assert samples["tongbao_commit_seconds_count", ()] == 2
    assert samples["tongbao_log_seq", ()] == 3.5
    assert samples["tongbao_channel_requests_total", (("channel", "mobile"),)] == 50
    assert {name for name, _ in samples if name.startswith("process_")}


def test_histogram_bounds_are_inclusive() -> None:
    histogram = Histogram((1, 2, 4))
    for value in (0, 1, 2, 3, 4, 5):
        histogram.observe(value)
    assert histogram.buckets() == [("1", 2), ("2", 3), ("4", 5), ("+Inf", 6)]
    assert histogram.total == 15


def test_the_handbook_lists_every_metric() -> None:
    text = OPERATIONS.read_text("utf-8")
    for name, sentence in names().items():
        assert f"| `{name}` | {sentence} |" in text
