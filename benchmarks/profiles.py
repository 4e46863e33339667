"""Where the processor time of inference, of a run and of a training step goes: for `performance`.

Named functions are timed while a work runs. A profiler would charge Python's calls more than the kernels; and what runs
in other threads meanwhile is charged to the function that waits for it.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import wraps
from itertools import chain, repeat
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from demo_galaxy import DemoGalaxy

from napari_sfh import demo, pipeline
from napari_sfh.batch import many_galaxies
from napari_sfh.batch.rerun import describe_input_files
from napari_sfh.model import inference
from napari_sfh.model.batches import make_sender
from napari_sfh.model.calibration import PosteriorCalibration
from napari_sfh.model.ood import OodDetector
from napari_sfh.model.posterior import Posterior, make_base_points
from napari_sfh.model.sfh_model import SfhModel
from napari_sfh.model.targets import make_targets
from napari_sfh.training.fitting import point_network, spectra_sources
from napari_sfh.training.fitting.recipe import load_recipe
from napari_sfh.training.libraries.basis import make_template_basis
from napari_sfh.training.prior.prior_config import load_prior
from napari_sfh.training.simulator.simulation import prepare_prior

#: What a part is called, and the functions that it is: their owner and name.
Parts = Mapping[str, tuple[tuple[Any, str], ...]]
#: Objects of the training set whose batches are profiled.
HELD = 1024
INFERENCE_PARTS: Parts = {
    "spectra and bands encoded": ((inference, "encode_observation"),),
    "network": ((SfhModel, "predict_centre"),),
    "draws of the flow": ((Posterior, "draw"),),
    "quantities of the draws": ((SfhModel, "derive"),),
    "calibrated quantiles": ((PosteriorCalibration, "quantiles"),),
    "out-of-distribution score": ((inference, "compute_ood_statistics"), (OodDetector, "score")),
}
RUN_PARTS: Parts = {
    "files looked for": ((demo, "make_demo_config"),),
    "files opened": ((pipeline, "open_inputs"), (pipeline, "find_redshift")),
    "bins": ((pipeline, "bin_galaxy"),),
    "spectra, kinematics, bands": (
        (pipeline, "prepare_spectra"),
        (pipeline, "measure_photometry"),
        (pipeline, "join_observation"),
    ),
    "prediction": ((pipeline, "predict_bins"),),
    "gas lines": ((pipeline, "flag_other_gas"),),
    "result file": ((many_galaxies, "write_galaxy_result"),),
    "page (PNG)": ((many_galaxies, "save_summary_page"),),
}


@dataclass(frozen=True)
class Profile:
    """Shares of the processor time of a work; what they lack of 1 is the rest."""

    what: str
    seconds: float
    shares: dict[str, float]


@contextmanager
def time_parts(parts: Parts) -> Iterator[dict[str, float]]:
    """Processor seconds of parts while the context lasts; a function within another of the same part counts once."""
    spent, inside = dict.fromkeys(parts, 0.0), dict.fromkeys(parts, 0)

    def timed(part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def run(*args: Any, **options: Any) -> Any:
            inside[part] += 1
            start = time.process_time()
            try:
                return function(*args, **options)
            finally:
                inside[part] -= 1
                spent[part] += 0.0 if inside[part] else time.process_time() - start

        return run

    with ExitStack() as stack:
        for part, functions in parts.items():
            for owner, name in functions:
                stack.enter_context(mock.patch.object(owner, name, timed(part, getattr(owner, name))))
        yield spent


def profile_work(what: str, work: Callable[[], object], parts: Parts, calls: int = 5) -> Profile:
    """The quickest of some calls of a work; a first one is not counted."""
    work()
    best, shares = np.inf, {}
    for _ in range(calls):
        with time_parts(parts) as spent:
            start = time.process_time()
            work()
            took = time.process_time() - start
        if took < best:
            best, shares = took, {part: round(seconds / took, 3) for part, seconds in spent.items()}
    return Profile(what, round(best, 4), shares)


def profile_inference(galaxy: DemoGalaxy) -> list[Profile]:
    """A batch of the posterior, and a batch of points."""
    bundle, cpu = galaxy.bundle, torch.device("cpu")
    placed = inference.place_on_device(bundle, make_base_points(400, bundle.targets.size), cpu)
    part = make_sender(galaxy.some_bins(64), cpu)(np.arange(64)).receive()
    points = galaxy.some_bins(1024)
    return [
        profile_work("posterior of 64 bins, 400 draws", lambda: inference.predict_batch(part, placed), INFERENCE_PARTS),
        profile_work(
            "point inference of 1024 bins",
            lambda: inference.predict_point_values(points, bundle, "cpu"),
            {k: INFERENCE_PARTS[k] for k in ("spectra and bands encoded", "network", "quantities of the draws")},
        ),
    ]


def profile_run() -> list[Profile]:
    """The demo from its files to its files; imports are not counted."""
    with tempfile.TemporaryDirectory() as folder:

        def run() -> None:
            config = demo.make_demo_config("cpu")
            result, output = pipeline.run_pipeline(config), Path(folder) / "sfh.fits"
            many_galaxies.write_galaxy_result(result, config, output, describe_input_files(config))
            many_galaxies.save_summary_page(result, output)

        return [profile_work("a run of the demo, files to files", run, RUN_PARTS, 3)]


def profile_training() -> list[Profile]:
    """A step of the paper's network, its objects held and its noise new."""
    recipe = load_recipe("galceran2026")
    prior = prepare_prior(load_prior(recipe.prior))
    held = spectra_sources.make_fresh_source(prior, HELD, 1)
    torch.manual_seed(0)
    basis = make_template_basis(prior.models[0].templates)
    model = SfhModel(recipe.model_config(), prior.instrument, make_targets("history"), basis)
    module = point_network.PointNetworkModule(model, recipe, HELD)
    optimiser = torch.optim.Adam(module.parameters(), fused=True)
    batches = spectra_sources.Batches(held, np.arange(HELD), recipe.fit.batch, recipe.augment, 1, lambda: 0)
    endless = chain.from_iterable(repeat(batches))

    class Step:
        def make_batch(self) -> Any:
            return next(endless)

        def backward(self, loss: torch.Tensor) -> None:
            optimiser.zero_grad()
            loss.backward()

        def __call__(self) -> None:
            self.backward(module.loss(self.make_batch()))
            optimiser.step()

    parts: Parts = {
        "new noise, encoded": ((Step, "make_batch"),),
        "network and loss": ((point_network.PointNetworkModule, "loss"),),
        "gradients": ((Step, "backward"),),
        "optimiser": ((torch.optim.Adam, "step"),),
    }
    step = Step()
    return [profile_work(f"a training step, batch {recipe.fit.batch}", lambda: step(), parts, 12)]
