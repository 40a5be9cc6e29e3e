"""Threads: safe after a fork, few for little work, one where sums must repeat."""

from __future__ import annotations

import functools
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from threadpoolctl import LibController, ThreadpoolController

__all__ = ["one_at_a_time", "one_blas_thread", "suited_threads"]

#: Multiplications per step below which a second thread gains nothing: sharing out the
#: work takes longer, and on a busy machine the threads wait for each other.
SMALL_STEP = 2**25

_alone, _busy = threading.RLock(), False


def _after_fork() -> None:
    """Make a forked child usable: it has one thread, and no lock held by others."""
    global _alone, _busy, _blas
    _alone, _busy, _blas = threading.RLock(), False, _OneBlasThread()
    torch.set_num_threads(1)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


@functools.cache
def _libraries() -> tuple[list[LibController], ...]:
    """Return OpenMP's libraries; BLAS limited per thread; BLAS limited per process."""
    every = ThreadpoolController().lib_controllers
    openmp = [one for one in every if one.user_api == "openmp"]
    blas = [one for one in every if one.user_api == "blas"]
    of_thread = [one for one in blas if _layer(one) == "openmp"]
    of_process = [one for one in blas if _layer(one) != "openmp"]
    return openmp, of_thread, of_process


def _layer(library: LibController) -> str | None:
    return getattr(library, "threading_layer", None)


def _set_threads(library: LibController, number: int) -> None:
    """Set a library's number of threads.

    From its version 3.8 on, threadpoolctl does so only in the thread that was the
    first, and under a lock, for which a signal handler that interrupts this would wait
    for ever. This module has a lock of its own.
    """
    set_it = getattr(library, "_real_set_num_threads", library.set_num_threads)
    set_it(number)


@contextmanager
def _one_thread(libraries: list[LibController]) -> Iterator[None]:
    """Limit libraries whose number of threads is the calling thread's own."""
    before = [(one, one.get_num_threads()) for one in libraries]
    try:
        for one in libraries:
            _set_threads(one, 1)
        yield
    finally:
        for one, number in before:
            _set_threads(one, number)


@contextmanager
def suited_threads(multiplications: int) -> Iterator[None]:
    """Let torch compute on one thread where a step is small.

    Only the calling thread is limited, so that fits in other threads are not.

    Parameters
    ----------
    multiplications : int
        Approximate number of multiplications in the forward pass of a step.
    """
    if multiplications >= SMALL_STEP:
        yield
        return
    openmp, _, _ = _libraries()
    with _one_thread(openmp):
        yield


class _OneBlasThread:
    """The limit of libraries whose number is the process's, while any caller needs it.

    The first caller sets it and the last one removes it. The lock is held for that
    alone: code within the limit may be anybody's, may take long, and may come here
    again. So may a signal handler, at any point; one that comes while the limit is
    being changed leaves it alone.
    """

    def __init__(self) -> None:
        self.lock, self.changing = threading.RLock(), False
        self.within: set[object] = set()
        self.before: list[tuple[LibController, int]] = []

    def enter(self, who: object) -> None:
        with self._change() as may:
            if not may:
                return
            libraries = _libraries()[2]
            # they are there if an interrupt kept the last one from bringing them back
            self.before = self.before or [(o, o.get_num_threads()) for o in libraries]
            self.within.add(who)
            for one in libraries:
                _set_threads(one, 1)

    def leave(self, who: object) -> None:
        with self._change() as may:
            if not may:
                return
            self.within.discard(who)
            if not self.within:
                for one, number in self.before:
                    _set_threads(one, number)
                self.before = []

    @contextmanager
    def _change(self) -> Iterator[bool]:
        with self.lock:
            if self.changing:
                yield False
                return
            self.changing = True
            try:
                yield True
            finally:
                self.changing = False


_blas = _OneBlasThread()


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Run numpy's and scipy's linear algebra on one thread.

    A BLAS splits its sums among its threads, so their number shows in the last bits.
    One thread gives the same bits in a worker process as at home. Other threads do not
    wait: where the limit holds for the whole process, it does while any needs it.
    """
    _, of_thread, _ = _libraries()
    blas, me = _blas, object()
    with _one_thread(of_thread):
        try:
            blas.enter(me)
            yield
        finally:
            blas.leave(me)


@contextmanager
def one_at_a_time() -> Iterator[None]:
    """Keep other threads out of code that is not safe with threads.

    No other code runs meanwhile, but that of a signal handler.

    Raises
    ------
    RuntimeError
        For a signal handler that comes here meanwhile.
    """
    global _busy
    with _alone:
        if _busy:
            raise RuntimeError(
                "A signal handler called this while the same call was running. Call it "
                "once the handler has returned."
            )
        _busy = True
        try:
            yield
        finally:
            _busy = False
