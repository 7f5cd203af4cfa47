"""A path of runnable examples, each one idea beyond the one before: see README.md beside this."""

import sys
from pathlib import Path

# An example imports what it shares with others from beside it, as a script and a notebook do.
sys.path.insert(0, str(Path(__file__).parent))
