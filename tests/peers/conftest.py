"""What the comparisons share: files that import a peer are left alone where it is missing."""

import importlib.util

if importlib.util.find_spec("torch") is None:
    collect_ignore = ["numpy_torch.py"]
