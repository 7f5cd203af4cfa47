"""The benchmarks, with one BLAS thread, so that the figures say what the code costs."""

import os

# Read by the BLAS libraries when NumPy and PyTorch are imported, which comes after this.
for library in ("OPENBLAS", "MKL", "OMP"):
    os.environ.setdefault(f"{library}_NUM_THREADS", "1")
