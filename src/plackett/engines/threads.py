"""How many threads this process may use."""

import math
import os
from pathlib import Path


def usable_threads(root: Path = Path("/")) -> int:
    """The cores that the affinity of this process allows, and not more than its cgroups' quota of time; at least 1.

    A container limited to 1.5 cores on a machine of 64 may start 64 threads, but they would stand in each other's way:
    the quota is rounded up. `root` is where /proc and /sys are.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min([cores, *(math.ceil(quota) for quota in _quotas(root))]))


def _quotas(root: Path) -> list[float]:
    """Cores' worth of time that each cgroup around this process may use."""
    quotas = []
    for line in _read(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        # Version 2 has one hierarchy, of no named controller. Inside of a container paths may be those of the host:
        # then the group is what is mounted at the top.
        mounts = (f"sys/fs/cgroup/{controllers}", "sys/fs/cgroup/cpu") if controllers else ("sys/fs/cgroup",)
        parts = Path(path.lstrip("/")).parts
        for mount in mounts:
            folders = (root / mount / Path(*parts[:depth]) for depth in range(len(parts) + 1))
            quotas += [quota for folder in folders if (quota := _quota(folder)) is not None]
    return quotas


def _quota(folder: Path) -> float | None:
    """Quota over period, of version 2 or 1; None without a limit."""
    numbers = _read(folder / "cpu.max").split() or [
        *_read(folder / "cpu.cfs_quota_us").split(),
        *_read(folder / "cpu.cfs_period_us").split(),
    ]
    try:
        quota, period = map(int, numbers)  # "max" is no number, and stands for none
    except ValueError:
        return None
    return quota / period if quota > 0 and period > 0 else None


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return ""
