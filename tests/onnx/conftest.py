"""These tests are left alone where onnx is missing."""

import importlib.util

if importlib.util.find_spec("onnx") is None:
    collect_ignore_glob = ["*.py"]
