"""What the kernel is told of memory-mapped arrays."""

import mmap

import numpy as np


def advise(array: np.ndarray, advice: str) -> None:
    """Tell the kernel how a memory-mapped array is read; nothing for one that is in memory.

    advice: RANDOM (read no more than is asked for), DONTNEED (what was read leaves this process's
    resident memory; it stays in the page cache).
    """
    owner: object = array
    while owner is not None and not isinstance(owner, mmap.mmap):
        owner = getattr(owner, "base", None)
    if owner is not None and hasattr(mmap, f"MADV_{advice}"):
        owner.madvise(getattr(mmap, f"MADV_{advice}"))
