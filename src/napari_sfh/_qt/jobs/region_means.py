"""Means of regions with many bins, made in a thread: with those of 10 000 the window would stand still for 0.2 s."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial

import numpy as np
from numpy.typing import NDArray

from napari_sfh._qt.jobs.latest import LatestJob
from napari_sfh._qt.session import Session
from napari_sfh.analysis.regions import Spread, Weight
from napari_sfh.errors import SfhInputError
from napari_sfh.jobs import ReportProgress, raise_if_cancelled

#: Bins of regions together that are averaged in the main thread, which takes 20 ms.
MANY_BINS = 1000


class RegionMeans:
    """Has a session's regions averaged before they are shown.

    Parameters
    ----------
    session : Session
        Its ``prepare_means`` becomes `prepare`.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._jobs: dict[str, LatestJob] = {}
        session.prepare_means = _make_weak_prepare(self)

    @property
    def running(self) -> bool:
        """True while an act waits for its means."""
        return any(job.running for job in self._jobs.values())

    def prepare(
        self,
        who: str,
        regions: Sequence[NDArray[np.integer]],
        weight: Weight,
        spread: Spread,
        act: Callable[[], object],
    ) -> None:
        """Call an act when the means that it needs are there; a later one of the same ``who`` takes its place.

        Parameters
        ----------
        who : str
        regions : sequence of int arrays
            Bins of each region, rows 0..N-1.
        weight : {"mass", "light"}
        spread : {"scatter", "error"}
        act : callable
            Called at once where the bins are few.
        """
        job = self._jobs.get(who)
        if sum(rows.size for rows in regions) <= MANY_BINS:
            if job is not None:
                job.drop()
            act()
            return
        if job is None:
            job = self._jobs[who] = LatestJob(_call, _ignore)
        job.ask(partial(self._average, regions=regions, weight=weight, spread=spread, act=act))

    def _average(
        self,
        progress: ReportProgress,
        cancel: threading.Event,
        regions: Sequence[NDArray[np.integer]],
        weight: Weight,
        spread: Spread,
        act: Callable[[], object],
    ) -> Callable[[], object]:
        """In the thread: the means; what is to be done then, unless another result has come."""
        result = self._session.result
        for rows in regions:
            raise_if_cancelled(cancel)
            with suppress(SfhInputError, LookupError):  # said by the act
                self._session.average(rows, weight, spread)
        return partial(self._act, result, act)

    def _act(self, result: object, act: Callable[[], object]) -> None:
        if result is self._session.result:
            act()

    def abandon(self) -> None:
        """Call nobody back: for a window that is closing."""
        for job in self._jobs.values():
            job.abandon()


def _make_weak_prepare(means: RegionMeans) -> Callable[..., None]:
    """`RegionMeans.prepare` for the session, which does not keep the means of a window that has gone."""
    reference = weakref.ref(means)

    def prepare(
        who: str,
        regions: Sequence[NDArray[np.integer]],
        weight: Weight,
        spread: Spread,
        act: Callable[[], object],
    ) -> None:
        target = reference()
        if target is None:
            act()
        else:
            target.prepare(who, regions, weight, spread, act)

    return prepare


def _call(act: Callable[[], object]) -> None:
    act()


def _ignore(_: Exception) -> None:
    """The act says what is wrong."""
