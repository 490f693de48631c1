"""The processor, and the threads and memory that this process may use, as Linux reports them."""

import functools
import math
import os
import platform
from collections.abc import Iterator
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


def usable_memory(root: Path = Path("/")) -> int | None:
    """Bytes that this process can still take: what the system has available, and at most what its cgroups leave.

    None where the system does not report it. Pages of files that a cgroup keeps do not count as taken: they are
    dropped when memory is needed.
    """
    left = [room for folder in _groups(root, "memory") if (room := _room(folder)) is not None]
    for line in _read(root / "proc/meminfo").splitlines():
        if line.startswith("MemAvailable:"):
            left.append(int(line.split()[1]) * 1024)
    return max(0, min(left)) if left else None


def _room(folder: Path) -> int | None:
    """Limit less use, of version 2 or 1; None without a limit."""
    limit = _read(folder / "memory.max") or _read(folder / "memory.limit_in_bytes")
    used = _read(folder / "memory.current") or _read(folder / "memory.usage_in_bytes")
    try:
        taken = int(used) - _of_files(_read(folder / "memory.stat"))
        return int(limit) - max(0, taken)
    except ValueError:  # "max" is no number, nor is a file that is missing
        return None


def _of_files(statistics: str) -> int:
    """Bytes of files in memory; version 1 counts those of the groups inside under `total_`."""
    counts = dict(line.split() for line in statistics.splitlines())
    prefix = "total_" if "total_active_file" in counts else ""
    return int(counts.get(f"{prefix}active_file", 0)) + int(counts.get(f"{prefix}inactive_file", 0))


def _quotas(root: Path) -> list[float]:
    """Cores' worth of time that each cgroup around this process may use."""
    return [quota for folder in _groups(root, "cpu") if (quota := _quota(folder)) is not None]


def _groups(root: Path, controller: str) -> Iterator[Path]:
    """The folders of the cgroups around this process that limit what `controller` controls."""
    for line in _read(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        # Version 2 has one hierarchy, of no named controller. Inside of a container paths may be those of the host:
        # then the group is what is mounted at the top.
        mounts = (f"sys/fs/cgroup/{controllers}", f"sys/fs/cgroup/{controller}") if controllers else ("sys/fs/cgroup",)
        parts = Path(path.lstrip("/")).parts
        for mount in mounts:
            yield from (root / mount / Path(*parts[:depth]) for depth in range(len(parts) + 1))


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
