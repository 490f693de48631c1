"""How many threads this process may use."""

import math
import os
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")


def usable_threads() -> int:
    """Processors that this process may run on, within the quota of its control group (v2 or v1), rounded up."""
    affinity = getattr(os, "sched_getaffinity", None)  # not on every system
    processors = len(affinity(0)) if affinity else os.cpu_count() or 1
    quota = _quota_v2() or _quota_v1()
    return max(1, min(processors, math.ceil(quota)) if quota else processors)


def _quota_v2() -> float | None:
    words = _read("cpu.max").split()
    return _share(*words) if len(words) == 2 else None


def _quota_v1() -> float | None:
    return _share(_read("cpu/cpu.cfs_quota_us"), _read("cpu/cpu.cfs_period_us"))


def _share(quota: str, period: str) -> float | None:
    """Processors, None where there is no limit: "max" in version 2, -1 in version 1."""
    return int(quota) / int(period) if quota.isdigit() and period.isdigit() and int(period) else None


def _read(name: str) -> str:
    try:
        return (CGROUPS / name).read_text().strip()
    except OSError:
        return ""
