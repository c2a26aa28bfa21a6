"""Tests run side by side, one process for each core: libraries of linear algebra get one thread, set before numpy."""

import os

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")
