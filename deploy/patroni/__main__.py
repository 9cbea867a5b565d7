"""`python -m deploy.patroni`: the cluster on this machine, to try it out or to measure how long a failover takes.

python -m deploy.patroni --namespaces                  three machines in network namespaces (root), until Ctrl-C
python -m deploy.patroni --namespaces --trials 20      kill the primary so often under load, and say how long it took
"""

import argparse
import json
import signal
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path

from deploy.patroni.local import Cluster, ClusterError, missing
from deploy.patroni.trials import KINDS, trial
from examples.local_server import LocalServer


def main() -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m deploy.patroni", description=__doc__.splitlines()[0])
    parser.add_argument("--directory", type=Path, help="where the machines' data are (default: a temporary one)")
    parser.add_argument("--namespaces", action="store_true", help="a network namespace for each machine; needs root")
    parser.add_argument("--asynchronous", action="store_true", help="without synchronous standbys: loses commits")
    parser.add_argument("--ttl", type=int, default=20, help="seconds after which a silent primary is replaced")
    parser.add_argument("--trials", type=int, default=0, help="measure so many failovers, then end")
    parser.add_argument("--kind", choices=KINDS, default=KINDS[0], help="what is done to the primary in a trial")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    options = parser.parse_args()
    # Whoever ends us ends the cluster, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    if lacks := missing(namespaces=options.namespaces):
        print(f"this machine cannot run the cluster: {lacks}", file=sys.stderr)
        return 2
    try:
        with Cluster(
            options.directory,
            namespaces=options.namespaces,
            synchronous=not options.asynchronous,
            ttl=options.ttl,
        ) as cluster:
            return _measure(cluster, options) if options.trials else _stay(cluster)
    except ClusterError as error:
        print(str(error), file=sys.stderr)
        return 1


def _stay(cluster: Cluster) -> int:
    for member in cluster.members():
        print(f"{member['name']:6} {member['host']:14} {member['role']}")
    print(f"\nexport DATABASE_URL='{cluster.dsn}'\n\nCtrl-C ends it.")
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    ended.wait()
    return 0


def _measure(cluster: Cluster, options: argparse.Namespace) -> int:
    pauses: list[float] = []
    count = 0
    with tempfile.TemporaryDirectory(prefix="tongbao-trials-") as directory:
        server = LocalServer(Path(directory) / "data", "--database-url", cluster.dsn, "--queue-delay-ms-max", "60000")
        server.start()
        try:
            for number in range(options.trials):
                pause, done = trial(cluster, server.port, options.kind)
                pauses.append(pause)
                count += done
                print(f"{number + 1}/{options.trials}: {pause:.2f} s without service", file=sys.stderr)
        finally:
            server.stop()
    ordered = sorted(pauses)
    figures = {
        "kind": options.kind,
        "ttl": options.ttl,
        "trials": len(pauses),
        "p50": round(statistics.median(ordered), 2),
        "p90": round(ordered[min(len(ordered) - 1, int(0.9 * len(ordered)))], 2),
        "max": round(ordered[-1], 2),
        "acknowledged": count,
        "lost": 0,
        "at": time.strftime("%Y-%m-%d"),
    }
    print(json.dumps(figures) if options.json else "  ".join(f"{name} {value}" for name, value in figures.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
