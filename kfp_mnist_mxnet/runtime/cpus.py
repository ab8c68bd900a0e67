"""CPUs that this process may use."""

import os
import pathlib


def available_cpus(cgroup: str = "/sys/fs/cgroup") -> int:
    """Return how many CPUs this process may use: its affinity, cut by the container's quota.

    Source: cgroup v2 cpu.max, cgroup v1 cpu.cfs_quota_us and cpu.cfs_period_us (Linux kernel,
    Documentation/admin-guide/cgroup-v2.rst and scheduler/sched-bwc.rst).
    """
    affinity = getattr(os, "sched_getaffinity", None)  # Linux only
    cpus = len(affinity(0)) if affinity else os.cpu_count() or 1
    for files in (["cpu.max"], ["cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us"]):
        try:
            texts = (pathlib.Path(cgroup, name).read_text() for name in files)
            quota, period = " ".join(texts).split()
        except (OSError, ValueError):
            continue
        if quota not in ("max", "-1"):
            cpus = min(cpus, max(1, int(quota) // int(period)))
    return cpus
