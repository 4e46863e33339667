"""The targets of the shipped weights: histories in 16 age bins."""

import torch

from napari_sfh.model.calibration import PosteriorCalibration
from napari_sfh.model.targets import HistoryTargets

HISTORY = HistoryTargets()
SCALARS, VECTORS, N_TARGET, N_AGE = HISTORY.scalars, HISTORY.vectors, HISTORY.size, HISTORY.n_age


def pack_history(light, mh, tau_ism, tau_bc, slope) -> torch.Tensor:
    """The label vector of the parts of histories."""
    return HISTORY.pack({"light_frac": light, "mh": mh, "tau_ism": tau_ism, "tau_bc": tau_bc, "slope": slope})


def make_history_calibration() -> PosteriorCalibration:
    """A calibration of histories that changes nothing yet."""
    return PosteriorCalibration(SCALARS, VECTORS, N_AGE)
