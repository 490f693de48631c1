"""The processor, and the threads and memory that this process may use, as Linux reports them."""

import functools
import math
import os
import platform
from collections.abc import Iterator
from pathlib import Path

CPUINFO = Path("/proc/cpuinfo")

BF16 = ("avx512_bf16", "amx_bf16")
"""Instructions that multiply bf16 at twice the speed of fp32. Without any of them, bf16 is slower than fp32."""

INT8 = ("avx512_vnni", "avx_vnni", "amx_int8")
"""Instructions that multiply int8 at several times the speed of fp32."""

RELEVANT = ("avx2", "fma", "avx512f", *BF16, *INT8, "asimddp", "i8mm", "bf16")
"""Instructions that matter for the speed of a reranker; the last three are ARM's."""


@functools.cache
def instructions() -> frozenset[str]:
    """Return Linux's names of all instruction sets, such as `avx512_bf16`; empty if the system does not report them."""
    return frozenset((_field("flags") or _field("Features")).split())


@functools.cache
def name() -> str:
    """Return the processor's name, as far as the system reports it."""
    return _field("model name") or platform.processor() or platform.machine()


def _field(wanted: str) -> str:
    """Return the value of a field from the first core that has it."""
    try:
        lines = CPUINFO.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    fields = (line.partition(":") for line in lines)
    return next((value.strip() for field, _, value in fields if field.strip() == wanted), "")


def usable_threads(root: Path = Path("/")) -> int:
    """Return the number of cores allowed by this process's affinity and by its cgroups' quota; at least 1.

    A container limited to 1.5 cores on a machine with 64 may start 64 threads, but they would block each other. The
    quota is rounded up. `root` is the parent of /proc and /sys.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min([cores, *(math.ceil(quota) for quota in _quotas(root))]))


def usable_memory(root: Path = Path("/")) -> int | None:
    """Return the bytes that this process can still allocate, limited by the system and by its cgroups.

    None if the system does not report it. Cached file pages of a cgroup count as free, because they are dropped when
    memory is needed.
    """
    left = [room for folder in _groups(root, "memory") if (room := _room(folder)) is not None]
    for line in _read(root / "proc/meminfo").splitlines():
        if line.startswith("MemAvailable:"):
            left.append(int(line.split()[1]) * 1024)
    return max(0, min(left)) if left else None


def gigabytes(count: int) -> str:
    """Format a number of bytes for display."""
    return f"{count / 1e9:.1f} GB" if count >= 1e8 else f"{count / 1e6:.1f} MB"


def _room(folder: Path) -> int | None:
    """Return limit minus usage, in version 2 or 1; None without a limit."""
    limit = _read(folder / "memory.max") or _read(folder / "memory.limit_in_bytes")
    used = _read(folder / "memory.current") or _read(folder / "memory.usage_in_bytes")
    try:
        taken = int(used) - _of_files(_read(folder / "memory.stat"))
        return int(limit) - max(0, taken)
    except ValueError:  # "max", or a missing file
        return None


def _of_files(statistics: str) -> int:
    """Return the bytes of cached file pages; version 1 includes nested groups under `total_`."""
    counts = dict(line.split() for line in statistics.splitlines())
    prefix = "total_" if "total_active_file" in counts else ""
    return int(counts.get(f"{prefix}active_file", 0)) + int(counts.get(f"{prefix}inactive_file", 0))


def _quotas(root: Path) -> list[float]:
    """Yield the number of cores that each enclosing cgroup may use."""
    return [quota for folder in _groups(root, "cpu") if (quota := _quota(folder)) is not None]


def _groups(root: Path, controller: str) -> Iterator[Path]:
    """Yield the folders of the enclosing cgroups that have this `controller`."""
    for line in _read(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        # Version 2 has one hierarchy without named controllers. Inside a container, paths may be the host's: then the
        # group is mounted at the top.
        mounts = (f"sys/fs/cgroup/{controllers}", f"sys/fs/cgroup/{controller}") if controllers else ("sys/fs/cgroup",)
        parts = Path(path.lstrip("/")).parts
        for mount in mounts:
            yield from (root / mount / Path(*parts[:depth]) for depth in range(len(parts) + 1))


def _quota(folder: Path) -> float | None:
    """Return quota / period, in version 2 or 1; None without a limit."""
    numbers = _read(folder / "cpu.max").split() or [
        *_read(folder / "cpu.cfs_quota_us").split(),
        *_read(folder / "cpu.cfs_period_us").split(),
    ]
    try:
        quota, period = map(int, numbers)  # "max" means no quota
    except ValueError:
        return None
    return quota / period if quota > 0 and period > 0 else None


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return ""
