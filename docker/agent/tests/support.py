"""Makes `veloz_agent` importable from wherever the tests are run."""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
