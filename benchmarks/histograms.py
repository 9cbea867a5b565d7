"""What a server's own histograms say about a stretch of time: the difference of two looks at its metrics."""

import json
import re
import urllib.request
from pathlib import Path

Buckets = dict[float, float]
"""Upper edge of each bucket: how many observations were not above it."""


def scrape(data_dir: Path, name: str) -> Buckets:
    """Return a histogram of the server or follower that works in `data_dir`."""
    where = json.loads((data_dir / "server.json").read_text())
    with urllib.request.urlopen(f"http://127.0.0.1:{where['http_port']}/metrics", timeout=10) as page:
        text = page.read().decode()
    lines = re.findall(rf'^{name}_bucket\{{le="([^"]+)"\}} (\S+)$', text, re.MULTILINE)
    return {float(edge): float(count) for edge, count in lines}


def quantile(before: Buckets, after: Buckets, part: float) -> float:
    """Return a quantile of what was observed in between, linear within a bucket as Prometheus does it."""
    counts = [(edge, after[edge] - before.get(edge, 0.0)) for edge in sorted(after)]
    wanted = part * counts[-1][1]
    low, below = 0.0, 0.0
    for edge, count in counts:
        if count >= wanted:
            if edge == float("inf") or count == below:
                return low
            return low + (edge - low) * (wanted - below) / (count - below)
        low, below = edge, count
    return low
