"""Many galaxies: one folder each, on Dask workers; what fails is reported and stops nothing, what is done is skipped.

A worker takes one galaxy at a time. Files are opened where the work is done: on a cluster, folders and outputs must lie
on a file system that all workers see. A result is written to a temporary name and renamed, so that at any moment it is
there completely or not at all. What computes and draws is loaded where that is done: the caller only waits for workers.
"""

from __future__ import annotations

import queue
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_sfh.batch import cluster
from napari_sfh.batch.rerun import check_run_outputs, describe_input_files, explain_rerun
from napari_sfh.batch.result_files import write_galaxy_result
from napari_sfh.decisions import configure_run
from napari_sfh.errors import Cancelled, ComputeError, SfhInputError
from napari_sfh.io.atomic import ensure_folder, remove_stale_parts
from napari_sfh.io.outputs import summary_page_path
from napari_sfh.io.results import read_result
from napari_sfh.jobs import ReportProgress, raise_if_cancelled, report_progress
from napari_sfh.types import Progress, Result

if TYPE_CHECKING:
    from distributed import Client, Future

#: Seconds between two looks at the cancel event.
_POLL = 0.5
#: Seconds without any worker after which those of this machine count as lost.
LOST_AFTER_S = 300.0
#: Seconds that workers have to come to an end after a cancel.
STOP_TIMEOUT_S = 15.0


@dataclass(frozen=True)
class GalaxyJob:
    """One galaxy to be run."""

    folder: Path
    output: Path
    options: Mapping[str, Any] = field(default_factory=dict)  # keyword arguments of `decisions.configure_run`

    @property
    def name(self) -> str:
        """By which the user knows it: its folder's name."""
        return self.folder.resolve().name


@dataclass(frozen=True)
class GalaxyOutcome:
    """What became of one galaxy."""

    name: str
    folder: str
    output: str
    status: str  # done, skipped, failed, interrupted
    message: str  # why it was run, or why it was not, one line
    n_bins: int = 0
    redshift: float = float("nan")
    model_sha256: str = ""
    seconds: float = 0.0


def save_summary_page(result: Result, output: Path) -> Path:
    """Draw a result's page beside its file.

    Parameters
    ----------
    result : Result
    output : Path
        The result file.

    Returns
    -------
    Path
        The page.

    Raises
    ------
    ComputeError
        The page cannot be written.
    """
    from napari_sfh.figures.files import save_figure
    from napari_sfh.figures.summary import PAGE_DPI, draw_summary_page

    return save_figure(draw_summary_page(result), summary_page_path(output), PAGE_DPI)


def run_galaxy_job(job: GalaxyJob, say: Callable[[str], None], cancel: threading.Event | None = None) -> GalaxyOutcome:
    """Run one galaxy unless it is done already.

    Parameters
    ----------
    job : GalaxyJob
    say : callable
        Told the stage when it changes.
    cancel : Event, optional

    Raises
    ------
    SfhInputError, ComputeError
        As `pipeline.run_pipeline`.
    Cancelled
        Nothing was written.
    """
    from napari_sfh.pipeline import run_pipeline

    start = time.monotonic()
    say("looking for files")
    config = configure_run(job.folder, **job.options)
    check_run_outputs(config, job.output)
    why = explain_rerun(config, job.output)
    if not why:
        return _skipped(job)
    ensure_folder(job.output.parent)
    inputs = describe_input_files(config)
    try:
        result = run_pipeline(config, _tell_new_stages(say), cancel)
        raise_if_cancelled(cancel)
    except Cancelled:
        raise Cancelled from None  # without what was reached: it would travel through the network
    say("writing the result")
    write_galaxy_result(result, config, job.output, inputs)
    save_summary_page(result, job.output)
    return GalaxyOutcome(
        name=job.name,
        folder=str(job.folder),
        output=str(job.output),
        status="done",
        message=f"{result.bins.n_bins} bins; run because: {why}",
        n_bins=result.bins.n_bins,
        redshift=result.redshift,
        model_sha256=result.model_sha256,
        seconds=time.monotonic() - start,
    )


def _skipped(job: GalaxyJob) -> GalaxyOutcome:
    """A galaxy whose result is there; a page that is missing is drawn again."""
    made = read_result(job.output)
    if not summary_page_path(job.output).exists():
        save_summary_page(made, job.output)
    return GalaxyOutcome(
        name=job.name,
        folder=str(job.folder),
        output=str(job.output),
        status="skipped",
        message="done before: same files, settings and weights",
        n_bins=made.bins.n_bins,
        redshift=made.redshift,
        model_sha256=made.model_sha256,
    )


def _tell_new_stages(say: Callable[[str], None]) -> ReportProgress:
    """A ``progress`` that tells a stage when it begins."""
    last = ""

    def tell(step: Progress) -> None:
        nonlocal last
        if step.stage != last:
            last = step.stage
            say(last)

    return tell


#: Cancel events of the runs that this process works for, by the run's token.
_cancels: dict[str, threading.Event] = {}


def _cancel_event(token: str) -> threading.Event:
    return _cancels.setdefault(token, threading.Event())


async def _request_stop(token: str) -> None:
    """On every worker: ask the galaxies of a run to stop. Workers refuse a plain function that is not waited for."""
    _cancel_event(token).set()


def _run_on_worker(job: GalaxyJob, index: int, token: str) -> GalaxyOutcome:
    from distributed import get_worker

    worker = get_worker()
    return run_galaxy_job(
        job, lambda stage: worker.log_event(token, {"index": index, "stage": stage}), _cancel_event(token)
    )


def run_galaxies(
    jobs: Sequence[GalaxyJob],
    scheduler: str = cluster.LOCAL,
    workers: int | None = None,
    finished: Callable[[GalaxyOutcome], None] = lambda outcome: None,
    progress: ReportProgress | None = None,
    cancel: threading.Event | None = None,
) -> list[GalaxyOutcome]:
    """Run galaxies on Dask workers.

    Parameters
    ----------
    jobs : sequence of GalaxyJob
        With outputs that differ.
    scheduler : str
        Address of a Dask scheduler, or `cluster.LOCAL`.
    workers : int, optional
        Galaxies at a time: by default 1 on a local scheduler, else one on each worker there is.
    finished : callable
        Told of every galaxy at its end, in the order of the ends.
    progress : callable, optional
        Told the stages as ``NAME: stage``; done and total count galaxies.
    progress, cancel : optional
        See `jobs.report_progress`.

    Returns
    -------
    list of GalaxyOutcome
        In the order of ``jobs``.

    Raises
    ------
    SfhInputError
        Two galaxies have one output, or less than one worker.
    ComputeError
        No scheduler answers at the address, or workers of this machine ended and do not come back.
    """
    _check_outputs(jobs)
    begin = "starting workers" if scheduler == cluster.LOCAL else "connecting to the scheduler"
    report_progress(Progress(begin, 0, len(jobs)), progress)
    outcomes: list[GalaxyOutcome] = []
    try:
        with cluster.connect_scheduler(scheduler, 1 if workers is None else workers) as client:
            # On a cluster, workers may wait in a queue for hours.
            lost_after = LOST_AFTER_S if scheduler == cluster.LOCAL else float("inf")
            outcomes = _GalaxyScheduler(client, jobs, workers, finished, lost_after).run(progress, cancel)
    finally:
        done = {o.output for o in outcomes if o.status in ("done", "skipped")}
        for job in jobs:
            if str(job.output) not in done:
                _remove_partial_files(job.output)
    return outcomes


def _check_outputs(jobs: Sequence[GalaxyJob]) -> None:
    seen: dict[Path, GalaxyJob] = {}
    for job in jobs:
        other = seen.setdefault(job.output.absolute(), job)
        if other is not job:
            raise SfhInputError(
                f"{job.folder} and {other.folder}: both would be written to {job.output}; rename one, or run them apart"
            )


class _GalaxyScheduler:
    """Galaxies on the workers of one client; never more of them than workers."""

    def __init__(
        self,
        client: Client,
        jobs: Sequence[GalaxyJob],
        workers: int | None,
        finished: Callable[[GalaxyOutcome], None],
        lost_after: float,
    ) -> None:
        self.client = client
        self.jobs = jobs
        self.limit = workers
        self.finished = finished
        self.lost_after = lost_after
        self.last_worker = time.monotonic()
        self.token = f"napari-sfh-{uuid.uuid4().hex}"
        self.waiting = list(range(len(jobs)))
        self.running: dict[int, Future[GalaxyOutcome]] = {}
        self.started: dict[int, float] = {}
        self.outcomes: dict[int, GalaxyOutcome] = {}
        #: (index, its stage, or None where it ended); filled by the client's threads
        self.events: queue.Queue[tuple[int, str | None]] = queue.Queue()
        client.subscribe_topic(self.token, self._heard)

    def _heard(self, event: tuple[float, Mapping[str, Any]]) -> None:
        self.events.put((event[1]["index"], event[1]["stage"]))

    def run(self, progress: ReportProgress | None, cancel: threading.Event | None) -> list[GalaxyOutcome]:
        try:
            stage = "waiting for workers"
            deadline = float("inf")
            while (self.waiting or self.running) and time.monotonic() < deadline:
                if cancel is not None and cancel.is_set() and deadline == float("inf"):
                    deadline = time.monotonic() + STOP_TIMEOUT_S
                    stage = "stopping"
                    self._ask_to_stop()
                self._submit()
                report_progress(Progress(stage, len(self.outcomes), len(self.jobs)), progress)
                stage = self._next_stage() or stage
        finally:
            self.client.unsubscribe_topic(self.token)
            self._give_up()
        return [self.outcomes[i] for i in range(len(self.jobs))]

    def _submit(self) -> None:
        """Keep every worker busy, with one galaxy each."""
        room = len(self.client.nthreads())
        if room:
            self.last_worker = time.monotonic()
        elif time.monotonic() - self.last_worker > self.lost_after:
            raise ComputeError("the workers ended and do not come back; run again, with fewer `workers`")
        room = room if self.limit is None else min(room, self.limit)
        while self.waiting and len(self.running) < room:
            index = self.waiting.pop(0)
            self.started[index] = time.monotonic()
            future = self.client.submit(_run_on_worker, self.jobs[index], index, self.token, pure=False)
            self.running[index] = future
            future.add_done_callback(partial(self._ended, index))

    def _ended(self, index: int, _: Future[GalaxyOutcome]) -> None:
        self.events.put((index, None))

    def _next_stage(self) -> str:
        """What the next event says, for a person; empty where nothing happened."""
        try:
            index, stage = self.events.get(timeout=_POLL)
        except queue.Empty:
            return ""
        if stage is None and index in self.running:
            outcome = self._outcome(index, self.running.pop(index))
            self._end(index, outcome)
            return f"{outcome.name}: {outcome.status}, {outcome.message}"
        return "" if stage is None or index not in self.running else f"{self.jobs[index].name}: {stage}"

    def _outcome(self, index: int, future: Future[GalaxyOutcome]) -> GalaxyOutcome:
        if future.status == "finished":
            return future.result()
        error = None if future.cancelled() else future.exception()
        stopped = _cancel_event(self.token).is_set()
        return self._not_done(index, "interrupted" if stopped else "failed", _explain_worker_error(error))

    def _not_done(self, index: int, status: str, message: str) -> GalaxyOutcome:
        job = self.jobs[index]
        now = time.monotonic()
        seconds = now - self.started.get(index, now)
        return GalaxyOutcome(job.name, str(job.folder), str(job.output), status, message, seconds=seconds)

    def _end(self, index: int, outcome: GalaxyOutcome) -> None:
        self.outcomes[index] = outcome
        self.finished(outcome)

    def _ask_to_stop(self) -> None:
        _cancel_event(self.token).set()
        self.client.run(_request_stop, self.token, wait=False, on_error="ignore")
        for index in self.waiting:
            self._end(index, self._not_done(index, "interrupted", "not begun"))
        self.waiting = []

    def _give_up(self) -> None:
        """What still runs is let go: after a cancel it had its time."""
        if self.running:
            _cancel_event(self.token).set()
            self.client.cancel(list(self.running.values()), force=True)
        for index in [*self.running, *self.waiting]:
            self._end(index, self._not_done(index, "interrupted", "stopped"))
        self.running = {}


def _explain_worker_error(error: BaseException | None) -> str:
    """A worker's error as one line."""
    from distributed.scheduler import KilledWorker

    if error is None:
        return "the scheduler lost it; run again"
    if isinstance(error, KilledWorker):
        return "its worker was killed, most likely for want of memory; give fewer `workers`, or more memory"
    if isinstance(error, Cancelled):
        return "interrupted; nothing was written"
    text = (str(error).strip().splitlines() or [""])[0]
    if isinstance(error, SfhInputError | ComputeError | OSError):
        return text
    return f"{type(error).__name__}: {text}: this is a fault of the program or a library"


def _remove_partial_files(output: Path) -> None:
    """Remove what a worker that was killed was writing."""
    for path in (output, summary_page_path(output)):
        remove_stale_parts(path)
