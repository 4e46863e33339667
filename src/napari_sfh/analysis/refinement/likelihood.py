"""How likely a spectrum and its bands are, given a model: what is not trusted is integrated out.

Spectrum: pixels off the gas lines, averaged in pairs, which are still narrower than the stars' dispersion. data =
model (1 + sum_k c_k P_k), with Legendre polynomials P_k and normal c_k, so that a wrong flux calibration costs little;
the integral over the c_k is exact, as they enter linearly. The errors are those that came with the data, and
`TEMPLATE_FLOOR` of the flux, times a factor that is sampled. Neighbours are not independent, since prep has broadened
the spectra. Errors of white noise that was smoothed stay those before the smoothing, so that chi2 of P pairs is P over
the correlation length of the residuals: that many count.

Bands: their own errors, `BAND_FLOOR` of the flux, and `BAND_OFFSET` common to all bands, as apertures differ.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch

from napari_sfh.errors import SfhInputError
from napari_sfh.physics.lines import find_stellar_pixels
from napari_sfh.types import F64, Observation

#: Relative errors of bands: of each, and of all against the spectrum.
BAND_FLOOR, BAND_OFFSET = 0.03, 0.05
#: Relative error of the templates, pair by pair of pixels: what libraries of different stars differ by.
TEMPLATE_FLOOR = 0.01
_LEAST_PIXELS, _MOST_LAGS, _LEAST_CORRELATION = 100, 6, 0.05


@dataclass(frozen=True)
class DataLikelihood:
    """One object's data: P pairs of pixels off the gas lines, B usable bands, k polynomials. Models are for these."""

    pairs: torch.Tensor  # (W, P) weights of the instrument's pixels
    flux: torch.Tensor  # (P,)
    error: torch.Tensor  # (P,)
    polynomials: torch.Tensor  # (k, P)
    prior_precision: torch.Tensor  # (k,) of the polynomials' factors
    bands: torch.Tensor  # (B,) indices
    phot: torch.Tensor  # (B,)
    phot_error: torch.Tensor  # (B,)
    correlation: float = 1.0  # pairs that count as one

    @cached_property
    def products(self) -> torch.Tensor:
        """Products of any two polynomials (P, k * k)."""
        return (self.polynomials[:, None] * self.polynomials).flatten(0, 1).T.contiguous()

    def log_prob(self, model: torch.Tensor, model_phot: torch.Tensor, ln_scale: torch.Tensor) -> torch.Tensor:
        """Natural logarithm (C,) up to a constant, of models (C, P), (C, B) and errors times exp(``ln_scale``) (C,)."""
        precision = 1 / (torch.exp(ln_scale)[:, None] * self.error) ** 2
        squares, ln_volume = self._integrate_polynomials(model, precision)
        count = len(self.flux) / self.correlation
        return -0.5 * (squares + ln_volume) - count * ln_scale + self._log_prob_bands(model_phot)

    def _integrate_polynomials(self, model: torch.Tensor, precision: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Least squares (C,) and the logarithm of the factors' volume (C,)."""
        away = self.flux - model
        factors, matrix = self._solve_polynomials(model, precision, away)
        # A sum of squares, and no difference of large numbers: of a model far from the data that would be negative.
        left = ((away - model * (factors @ self.polynomials)) ** 2 * precision).sum(1)
        left = left + (factors**2 * self.prior_precision).sum(1)
        return left, torch.linalg.slogdet(matrix)[1] - self.prior_precision.log().sum()

    def _project(self, model: torch.Tensor, precision: torch.Tensor, away: torch.Tensor) -> torch.Tensor:
        return (model * precision * away) @ self.polynomials.T

    def _solve_polynomials(
        self, model: torch.Tensor, precision: torch.Tensor, away: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Best factors (C, k), and the matrix of which they are the solution (C, k, k)."""
        k = len(self.polynomials)
        matrix = (model**2 * precision @ self.products).unflatten(1, (k, k)) + torch.diag(self.prior_precision)
        right = self._project(model, precision, away)
        return torch.linalg.solve(matrix, right[..., None])[..., 0], matrix

    def fit_calibration(self, model: torch.Tensor) -> torch.Tensor:
        """The best smooth factor (C, P) on models (C, P), minus one."""
        precision = (1 / self.error**2).expand_as(model)
        return self._solve_polynomials(model, precision, self.flux - model)[0] @ self.polynomials

    def measure_residuals(self, model: torch.Tensor) -> torch.Tensor:
        """Data less calibrated models (C, P), over the errors, (C, P)."""
        return (self.flux - model * (1 + self.fit_calibration(model))) / self.error

    def with_correlation(self, model: torch.Tensor) -> DataLikelihood:
        """The same with the correlation length of the residuals of one model (1, P)."""
        residual = self.measure_residuals(model)[0].numpy()
        return replace(self, correlation=measure_correlation_length(residual))

    def measure_band_squares(self, model_phot: torch.Tensor) -> torch.Tensor:
        """chi2 (C,) of the bands of models (C, B)."""
        return self._integrate_offset(model_phot)[0]

    def measure_curvature(
        self,
        model: torch.Tensor,
        model_phot: torch.Tensor,
        ln_scale: torch.Tensor,
        slopes: torch.Tensor,
        phot_slopes: torch.Tensor,
    ) -> torch.Tensor:
        """Gauss-Newton curvature (C, D, D) of -`log_prob` for D parameters, the error scale aside.

        Parameters
        ----------
        model, model_phot : tensors (C, P), (C, B)
        ln_scale : tensor (C,)
        slopes, phot_slopes : tensors (C, D, P), (C, D, B)
            Derivatives of the models.
        """
        precision = 1 / (torch.exp(ln_scale)[:, None] * self.error) ** 2
        _, matrix = self._solve_polynomials(model, precision, self.flux - model)
        common = ((model * precision)[:, None] * self.polynomials) @ slopes.transpose(1, 2)  # (C, k, D)
        found = (slopes * precision[:, None]) @ slopes.transpose(1, 2)
        found = found - common.transpose(1, 2) @ torch.linalg.solve(matrix, common)
        if not len(self.bands):
            return found
        bands, slopes = model_phot[:, self.bands], phot_slopes[..., self.bands]
        precision, offset, growth = self._weigh_bands(bands)
        shared = (slopes * (offset * precision)[:, None]).sum(-1)
        found = found + (slopes * precision[:, None]) @ slopes.transpose(1, 2)
        return found - shared[:, :, None] * shared[:, None] / growth[:, None, None]

    def _log_prob_bands(self, model_phot: torch.Tensor) -> torch.Tensor:
        if not len(self.bands):
            return torch.zeros(len(model_phot))
        squares, ln_volume = self._integrate_offset(model_phot)
        return -0.5 * (squares + ln_volume)

    def _integrate_offset(self, model_phot: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """chi2 and the logarithm of the errors' volume, (C,) each, the bands' common offset integrated out."""
        model = model_phot[:, self.bands]
        away = self.phot - model
        precision, common, growth = self._weigh_bands(model)
        squares = (away**2 * precision).sum(1) - (common * precision * away).sum(1) ** 2 / growth
        return squares, growth.log() - precision.log().sum(1)

    def _weigh_bands(self, model: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Weights (C, B), the offset common to all (C, B), and what it adds to the volume (C,)."""
        precision = 1 / (self.phot_error**2 + (BAND_FLOOR * model) ** 2)
        # Sherman & Morrison (1950): a rank-one term, the offset common to all bands.
        common = BAND_OFFSET * model
        return precision, common, 1 + (common**2 * precision).sum(1)


def make_likelihood(data: Observation, row: int, order: int = 12, calibration: float = 0.02) -> DataLikelihood:
    """The likelihood of one object.

    Parameters
    ----------
    data : Observation
        With a spectrum.
    row : int
        0..N-1.
    order : int
        Of the highest polynomial: waves down to about twice the spectrum's length over it.
    calibration : float
        Scatter of the flux calibration that is expected, relative.

    Raises
    ------
    SfhInputError
        Fewer than a hundred usable pixels off the gas lines.
    """
    wave = data.instrument.wave_aa
    good = data.mask[row] & find_stellar_pixels(wave) & np.isfinite(data.flux[row]) & (data.error[row] > 0)
    if good.sum() < _LEAST_PIXELS:
        raise SfhInputError(f"refinement needs {_LEAST_PIXELS} usable pixels off the gas lines; here are {good.sum()}")
    pairs, error = _pair_pixels(np.where(good, data.error[row], np.inf).astype(float))
    flux = np.where(good, data.flux[row], 0.0) @ pairs
    polynomials = np.polynomial.legendre.legvander(np.linspace(-1.0, 1.0, len(wave)) @ pairs, order).T
    # Every polynomial adds the same share of the scatter: the mean square of P_k is 1 / (2 k + 1).
    sigma = calibration * np.sqrt((2 * np.arange(order + 1) + 1) / (order + 1))
    seen = data.phot_mask[row] & (data.phot[row] > 0)

    def tensor(array: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(np.array(array, np.float32))

    return DataLikelihood(
        tensor(pairs),
        tensor(flux),
        tensor(np.hypot(error, TEMPLATE_FLOOR * flux)),
        tensor(polynomials),
        tensor(1 / sigma**2),
        torch.from_numpy(np.flatnonzero(seen)),
        tensor(data.phot[row][seen]),
        tensor(data.phot_error[row][seen]),
    )


def _pair_pixels(error: F64) -> tuple[F64, F64]:
    """Weights (W, P) of the pixels of each pair by their errors (W,), infinite where not usable, and its error (P,)."""
    weight = 1 / error**2
    onto = (np.arange(len(error))[:, None] // 2 == np.arange((len(error) + 1) // 2)) * weight[:, None]
    onto = onto[:, onto.sum(0) > 0]
    return onto / onto.sum(0), 1 / np.sqrt(onto.sum(0))


def measure_correlation_length(residual: np.ndarray) -> float:
    """Pixels that count as one: 1 + 2 sum of the autocorrelation, up to the first lag at which it is small.

    Parameters
    ----------
    residual : array (n,)
        Of neighbouring pixels.

    Returns
    -------
    float
        At least 1.
    """
    away = residual - residual.mean()
    variance = float((away**2).mean())
    total = 1.0
    for lag in range(1, _MOST_LAGS + 1):
        correlation = float((away[lag:] * away[:-lag]).mean()) / variance
        if correlation < _LEAST_CORRELATION:
            break
        total += 2 * correlation
    return total
