"""Bytes inside order commands: `make fuzz`, or WORLDS=… make fuzz. See `tests/engine/order_bytes.py`.

A crash of the process names its world, too: its number is written before it begins.
"""

import argparse
import faulthandler
import secrets
import sys
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.engine import order_bytes

STEPS = 60


def main() -> int:
    """Run worlds; return 1 at the first that goes wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--worlds", type=int, default=5_000, help="worlds to try (default: %(default)s)")
    parser.add_argument("--first", type=int, default=secrets.randbits(40), help="seed of the first world (by chance)")
    parser.add_argument("--steps", type=int, default=STEPS, help="batches of a world (default: %(default)s)")
    arguments = parser.parse_args()
    faulthandler.enable()
    began = time.monotonic()
    seen: Counter[str] = Counter()
    for world in range(arguments.first, arguments.first + arguments.worlds):
        print(f"\rworld {world}", end="", file=sys.stderr, flush=True)
        try:
            seen += order_bytes.run(world, arguments.steps)
        except Exception as error:  # noqa: BLE001 - whatever it is, the world is what matters
            print(f"\nworld {world}: {error!r}\nagain: --first {world} --worlds 1", flush=True)
            return 1
    print(f"\n{arguments.worlds} worlds in {time.monotonic() - began:.0f} s, nothing found")
    for what, count in sorted(seen.items()):
        print(f"{count:>10,}  {what}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
