"""The threads that a process may use."""

import os
import subprocess
import sys

import pytest

from plackett._hardware import usable_threads

CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def tree(root, files):
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


@pytest.fixture
def many_cores(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(64)), raising=False)


V2 = "0::/pod/box\n"
V1 = "12:pids:/docker/abc\n5:cpu,cpuacct:/docker/abc\n1:name=systemd:/docker/abc\n"


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, 64),
        ({"proc/self/cgroup": V2, "sys/fs/cgroup/pod/box/cpu.max": "max 100000\n"}, 64),
        ({"proc/self/cgroup": V2, "sys/fs/cgroup/pod/box/cpu.max": "200000 100000\n"}, 2),
        ({"proc/self/cgroup": V2, "sys/fs/cgroup/pod/box/cpu.max": "150000 100000\n"}, 2),  # rounded up
        ({"proc/self/cgroup": V2, "sys/fs/cgroup/pod/box/cpu.max": "10000 100000\n"}, 1),
        ({"proc/self/cgroup": V2, "sys/fs/cgroup/pod/cpu.max": "300000 100000\n"}, 3),  # the group around it
        ({"proc/self/cgroup": V2, "sys/fs/cgroup/cpu.max": "400000 100000\n"}, 4),  # seen from inside of a container
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "9000000 100000\n"}, 64),  # more than there is
        ({"proc/self/cgroup": V2, "sys/fs/cgroup/pod/box/cpu.max": "nonsense\n"}, 64),
        (
            {
                "proc/self/cgroup": V1,
                "sys/fs/cgroup/cpu,cpuacct/docker/abc/cpu.cfs_quota_us": "250000\n",
                "sys/fs/cgroup/cpu,cpuacct/docker/abc/cpu.cfs_period_us": "100000\n",
            },
            3,
        ),
        (
            {
                "proc/self/cgroup": V1,
                "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "50000\n",
                "sys/fs/cgroup/cpu/cpu.cfs_period_us": "50000\n",
            },
            1,
        ),
        (
            {
                "proc/self/cgroup": V1,
                "sys/fs/cgroup/cpu/docker/abc/cpu.cfs_quota_us": "-1\n",
                "sys/fs/cgroup/cpu/docker/abc/cpu.cfs_period_us": "100000\n",
            },
            64,
        ),
    ],
)
def test_quotas_of_control_groups(tmp_path, many_cores, files, expected):
    assert usable_threads(tree(tmp_path, files)) == expected


def test_the_affinity_counts_where_it_is_the_smaller(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {3, 5}, raising=False)
    files = {"proc/self/cgroup": V2, "sys/fs/cgroup/pod/box/cpu.max": "800000 100000\n"}
    assert usable_threads(tree(tmp_path, files)) == 2


@pytest.mark.process
@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system has no affinity")
def test_a_process_bound_to_one_core():
    code = """
import os
from plackett._hardware import usable_threads
os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])
print(usable_threads())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout == "1\n", done.stderr
    assert 1 <= usable_threads() <= CORES
