"""Fill-in exercises: the backward pass of recurrent nets in plain NumPy, with a checker."""

import sys
from pathlib import Path

# Exercises import `checking` from this folder, as they do when run as a script.
sys.path.insert(0, str(Path(__file__).parent))
