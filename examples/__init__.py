"""Runnable examples. Each adds one idea to the one before: see README.md in this folder."""

import sys
from pathlib import Path

# Examples import their shared helpers as `common`, as they do when run as a script or a notebook.
sys.path.insert(0, str(Path(__file__).parent))
