"""One thread for qulacs: its idle ones would spin on cores that other tests are using."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
