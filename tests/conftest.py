"""Hypothesis profiles: ``default`` at the desk, ``ci`` (derandomised), ``nightly`` (deeper).

Choose one with ``pytest --hypothesis-profile=nightly``; where the variable CI is set it is ``ci``.
"""

import os

from hypothesis import HealthCheck, settings

_slow_machine = [HealthCheck.too_slow, HealthCheck.data_too_large]
settings.register_profile("default", deadline=None, suppress_health_check=_slow_machine)
settings.register_profile("ci", settings.get_profile("default"), derandomize=True, max_examples=50)
settings.register_profile("nightly", settings.get_profile("default"), max_examples=2000)
settings.load_profile("ci" if os.environ.get("CI") else "default")

# The benchmarks are no tests, and some of them need PyTorch to be imported at all. The programs in
# ``types`` are read by type checkers, and never run.
collect_ignore = ["benchmarks", "types"]
