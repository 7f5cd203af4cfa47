"""The benchmarks, with one thread everywhere, so that the figures say what the code costs."""

import os

# Read by the BLAS libraries when NumPy and PyTorch are imported, and by jax when it first computes
# (NPROC, the size of its pool; XLA_FLAGS no longer limits it); both come after this.
for variable in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS", "NPROC"):
    os.environ[variable] = "1"
os.environ.setdefault("JAX_PLATFORMS", "cpu")
