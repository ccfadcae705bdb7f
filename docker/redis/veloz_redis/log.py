"""Lines of this program's own, beside those of Redis."""

import sys
import time


def log(text: str) -> None:
    print(f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())} veloz-redis: {text}", file=sys.stderr, flush=True)
