"""Threads: safe after a fork, few where little is to do, one where sums must repeat."""

from __future__ import annotations

import functools
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from threadpoolctl import ThreadpoolController

__all__ = ["one_at_a_time", "one_blas_thread", "suited_threads"]

#: Multiplications per step below which a second thread gains nothing: sharing out the
#: work takes longer, and on a busy machine the threads wait for each other.
SMALL_STEP = 2**24

_lock = threading.Lock()
_alone = threading.Lock()


def _after_fork() -> None:
    """Make a forked child usable: it has one thread, and no lock held by others."""
    global _lock, _alone
    _lock, _alone = threading.Lock(), threading.Lock()
    torch.set_num_threads(1)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


@functools.cache
def _controller() -> ThreadpoolController:
    return ThreadpoolController()


@contextmanager
def suited_threads(multiplications: int) -> Iterator[None]:
    """Let torch compute on one thread where a step is small.

    Only the calling thread is limited, so that fits in other threads are not.

    Parameters
    ----------
    multiplications : int
        About how many a step makes in its forward pass.
    """
    if multiplications >= SMALL_STEP:
        yield
        return
    with _controller().limit(limits=1, user_api="openmp"):
        yield


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Run numpy's and scipy's linear algebra on one thread.

    A BLAS splits its sums among its threads, so their number shows in the last bits.
    One thread gives the same bits in a worker process as at home. The limit holds for
    the whole process, hence the lock.
    """
    with _lock, _controller().limit(limits=1, user_api="blas"):
        yield


@contextmanager
def one_at_a_time() -> Iterator[None]:
    """Keep other threads out of what is done here, where it is not made for threads."""
    with _alone:
        yield
