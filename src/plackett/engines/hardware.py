"""The processor's name and instruction sets, and the number of threads this process may use, as Linux reports them."""

import functools
import math
import os
import platform
from pathlib import Path

CPUINFO = Path("/proc/cpuinfo")

BF16 = ("avx512_bf16", "amx_bf16")
"""Instructions, each of which multiplies bf16 at twice the speed of fp32. Without them bf16 is the slower one."""

INT8 = ("avx512_vnni", "avx_vnni", "amx_int8")
"""Instructions, each of which multiplies int8 at several times the speed of fp32."""

RELEVANT = ("avx2", "fma", "avx512f", *BF16, *INT8, "asimddp", "i8mm", "bf16")
"""Instructions that decide the speed of a reranker; the last three are of ARM."""


@functools.cache
def instructions() -> frozenset[str]:
    """Linux's names of all instruction sets, `avx512_bf16` say; none where the system does not tell."""
    return frozenset((_field("flags") or _field("Features")).split())


@functools.cache
def name() -> str:
    """The processor's name, as far as the system tells."""
    return _field("model name") or platform.processor() or platform.machine()


def _field(wanted: str) -> str:
    """The value of a field, of the first core that has it."""
    try:
        lines = CPUINFO.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    fields = (line.partition(":") for line in lines)
    return next((value.strip() for field, _, value in fields if field.strip() == wanted), "")


def usable_threads(root: Path = Path("/")) -> int:
    """The cores that the affinity of this process allows, and not more than its cgroups' quota of time; at least 1.

    A container limited to 1.5 cores on a machine of 64 may start 64 threads, but they would block each other:
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
