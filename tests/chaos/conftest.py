"""Chaos takes minutes of a whole machine: it is run by itself, with CHAOS_JOBS=2000."""

import os

collect_ignore = [] if os.environ.get("CHAOS_JOBS") else ["test_chaos_real.py"]
