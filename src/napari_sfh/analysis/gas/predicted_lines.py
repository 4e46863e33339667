"""Emission lines that a prediction implies, held against those that are there.

Young stars ionise gas: a prediction that puts some per cent of the light into stars younger than 10 Myr puts lines of
several Angstrom into the model spectrum, at the basis's reference ionisation and with no photon lost. Gas may absorb
fewer photons than that, or sit elsewhere; where the measured lines are weaker than a quarter of the predicted ones by
more than noise allows, the young light is not to be believed.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from napari_sfh.analysis.gas.line_maps import HALPHA, HBETA, LINES, OIII, UNIT_CGS, LineFluxes
from napari_sfh.physics.lines import LINE_REACH_AA, measure_line_continuum
from napari_sfh.types import F32, F64, Bool, Observation, Prediction

#: Lines that are compared: the strongest of recombination and of doubly ionised oxygen.
COMPARED_LINES: tuple[str, ...] = (HBETA, OIII, HALPHA)
#: Median share of the V light in the youngest age bin from which lines are looked for: less hardly changes an age, and
#: is the prior's where nothing tells of it.
MIN_YOUNG_LIGHT = 0.01
#: Equivalent width in Angstrom that a predicted line needs to be missed.
MIN_PREDICTED_EW_AA = 0.3
#: Measured over predicted width below which a line is absent.
MAX_PRESENT_SHARE = 0.25
_SIGMAS = 3.0


class LineWidths(NamedTuple):
    """Equivalent widths of emission in Angstrom, rest frame, (N, lines) each; in the order of `COMPARED_LINES`."""

    predicted: F64
    measured: F64
    error: F64


def compare_line_widths(
    data: Observation, model_flux: F32, stars: F32, redshift: float, lines: LineFluxes
) -> LineWidths:
    """Equivalent widths of the emission in model and data; NaN of lines that the grid does not hold.

    Parameters
    ----------
    data : Observation
    model_flux, stars : arrays (N, W)
        The spectra that the prediction implies with gas and without, in the unit of ``data.flux``.
    redshift : float
    lines : LineFluxes
        Measured, by bin; of `line_fitting.fit_emission_lines`.
    """
    wave, pixel = data.instrument.wave_aa, data.instrument.grid.pixel_aa
    columns = []
    for name in COMPARED_LINES:
        away = np.abs(wave - LINES[name][1])
        near = away <= LINE_REACH_AA
        continuum = measure_line_continuum(stars, wave, LINES[name][1])
        predicted = ((model_flux[:, near] - stars[:, near]) * pixel[near]).sum(1) / continuum
        # Of a rest frame's Angstrom: the observed width is (1 + z) times as large.
        density = data.norm_cgs * (1 + redshift) * continuum / UNIT_CGS
        columns.append((predicted, lines.flux[name] / density, lines.error[name] / density))
    return LineWidths(*(np.stack(each, axis=1).astype(float) for each in zip(*columns, strict=True)))


def apply_median_youth(widths: LineWidths, prediction: Prediction) -> LineWidths:
    """The widths that follow from the posterior median of the youngest light, where the mean is more; none below 1 %.

    The posterior of a few per cent of young light is skewed: its mean is several times its median, and a galaxy
    without any has a mean that implies lines. Some tenths of a per cent, as galaxies of the prior have them, would
    make a line absent in every old galaxy of a high S/N.

    Parameters
    ----------
    widths : LineWidths
        Of the mean histories.
    prediction : Prediction
        Of histories.
    """
    mean = prediction.history("light_frac")[:, 0]
    median = prediction.median("light_frac")[:, 0]
    share = np.divide(median, mean, out=np.ones(mean.shape), where=mean > 0) * (median >= MIN_YOUNG_LIGHT)
    return widths._replace(predicted=widths.predicted * np.minimum(share, 1.0)[:, None])


def find_absent_lines(widths: LineWidths) -> Bool:
    """Bins (N,) in which a predicted line is absent; what was not measured is not absent."""
    with np.errstate(invalid="ignore"):
        predicted = widths.predicted > np.maximum(MIN_PREDICTED_EW_AA, _SIGMAS * widths.error)
        weak = widths.measured + _SIGMAS * widths.error < MAX_PRESENT_SHARE * widths.predicted
    return np.asarray((predicted & weak).any(1))
