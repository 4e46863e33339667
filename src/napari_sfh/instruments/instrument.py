"""An instrument: what a network is shown of an object, on which grid, at which resolution, in which bands.

The objects are made from a TOML file (`load_instrument`), or from the metadata of a weights bundle, which carries its
own: no other module holds a grid, a band list or a line-spread function. Wavelengths inside the package are in air and
at rest; a grid in vacuum is converted when it is read.

    name = "..."                      # [A-Za-z0-9._-]
    summary = "one line"
    [spectrum]                        # may be missing: photometry alone
    first_aa, last_aa                 # ends of the rest-frame grid
    step_aa | log_step                # Angstrom, or step of ln(wavelength)
    medium = "air" | "vacuum"         # of the numbers above
    sigma_kms                         # dispersion to which all spectra are brought
    norm_window_aa = [lo, hi]         # spectra and bands are divided by the mean flux here
    [spectrum.lsf] kind = "muse" | "constant_fwhm_aa" (fwhm_aa) | "constant_r" (r) | "table" (file, or table)
    [[band]]                          # may be missing: spectra alone
    name, curve = "F555W UVIS" | file # a known filter or a file of two columns (medium = "air" | "vacuum")
    substitute = "F555W ACS"          # of either: another camera's filter that stands in for the band
    pivot_aa                          # of a known filter: where the band is drawn
    name, centre_aa, fwhm_aa, edge_aa # or a trapezoid; edge_aa (default 0, a top hat) is the width of each flank
    [photometry] norm = "spectrum" | "median" | BAND
    [redshift] max                    # the largest redshift at which the bands are used
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_sfh.arrays import F64
from napari_sfh.errors import SfhInputError
from napari_sfh.instruments.line_spread import LineSpread
from napari_sfh.physics.filters import pivot_wavelength_aa
from napari_sfh.physics.wavelength import vacuum_to_air

#: Up to this redshift bands are taken for those of the rest frame.
REST_FRAME_REDSHIFT: float = 0.01


@dataclass(frozen=True)
class SpectrumGrid:
    """The spectral half of an instrument.

    Attributes
    ----------
    first_aa, last_aa : float
        Ends of the rest-frame grid, in ``medium``.
    step_aa, log_step : float
        One of them is above 0: the step in Angstrom, or that of the natural logarithm of the wavelength.
    medium : str
        air or vacuum.
    sigma_kms : float
        Velocity dispersion to which spectra are broadened.
    norm_window_aa : (float, float)
        Window in Angstrom (air) whose mean flux density is one, and in which S/N is measured.
    lsf : LineSpread
    """

    first_aa: float
    last_aa: float
    norm_window_aa: tuple[float, float]
    lsf: LineSpread
    step_aa: float = 0.0
    log_step: float = 0.0
    medium: Literal["air", "vacuum"] = "air"
    sigma_kms: float = 150.0

    def __post_init__(self) -> None:
        if (self.step_aa > 0) == (self.log_step > 0):
            raise SfhInputError("[spectrum]: give one of step_aa (Angstrom) and log_step, above 0")
        if not 0 < self.first_aa < self.last_aa:
            raise SfhInputError(f"[spectrum]: first_aa = {self.first_aa} must lie below last_aa = {self.last_aa}")
        if not 8 <= self._count <= 20000:
            raise SfhInputError(f"[spectrum]: the grid has {self._count} pixels; choose a step that gives 8 to 20000")
        if not 0 <= self.sigma_kms <= 1000:
            raise SfhInputError(f"[spectrum]: sigma_kms = {self.sigma_kms} must lie in 0-1000 km/s")
        lo, hi = self.norm_window_aa
        if not (self.wave_aa[0] - 1 <= lo < hi <= self.wave_aa[-1] + 1) or self.norm_pixels.sum() < 3:
            raise SfhInputError(
                f"[spectrum]: norm_window_aa = [{lo}, {hi}] must lie inside the grid, "
                f"{self.wave_aa[0]:.1f}-{self.wave_aa[-1]:.1f} AA, and hold three pixels"
            )

    @property
    def _count(self) -> int:
        if self.step_aa > 0:
            return int(np.floor((self.last_aa - self.first_aa) / self.step_aa + 1e-6)) + 1
        return int(np.floor(np.log(self.last_aa / self.first_aa) / self.log_step + 1e-6)) + 1

    @cached_property
    def wave_aa(self) -> F64:
        """Rest-frame air wavelengths in Angstrom, (W,), read-only."""
        index = np.arange(self._count, dtype=np.float64)
        linear = self.step_aa > 0
        own: F64 = self.first_aa + self.step_aa * index if linear else self.first_aa * np.exp(self.log_step * index)
        wave = vacuum_to_air(own) if self.medium == "vacuum" else own
        wave.flags.writeable = False
        return wave

    @cached_property
    def pixel_aa(self) -> F64:
        """Width of each pixel in Angstrom, (W,), read-only."""
        width = np.full(self._count, self.step_aa) if self._is_uniform else np.gradient(self.wave_aa)
        width.flags.writeable = False
        return width

    @property
    def _is_uniform(self) -> bool:
        return self.step_aa > 0 and self.medium == "air"

    @cached_property
    def norm_pixels(self) -> NDArray[np.bool_]:
        """Pixels inside the normalisation window, boolean (W,), read-only."""
        lo, hi = self.norm_window_aa
        inside = (self.wave_aa >= lo) & (self.wave_aa <= hi)
        inside.flags.writeable = False
        return inside

    @property
    def n_wave(self) -> int:
        """Number of pixels W."""
        return self._count

    @cached_property
    def fwhm_aa(self) -> F64:
        """FWHM of the line-spread function at the grid's pixels in Angstrom, (W,), read-only."""
        fwhm = self.lsf.fwhm_aa(self.wave_aa)
        fwhm.flags.writeable = False
        return fwhm

    def to_json(self) -> dict[str, Any]:
        """Plain values: the ``[spectrum]`` section."""
        step = {"step_aa": self.step_aa} if self.step_aa > 0 else {"log_step": self.log_step}
        return {
            "first_aa": self.first_aa,
            "last_aa": self.last_aa,
            **step,
            "medium": self.medium,
            "sigma_kms": self.sigma_kms,
            "norm_window_aa": list(self.norm_window_aa),
            "lsf": self.lsf.to_json(),
        }


@dataclass(frozen=True)
class Band:
    """A band of an instrument: a known filter's name or a file in ``curve``, or a trapezoid.

    ``table`` holds the rows (wavelength in Angstrom, throughput) of a file once it is read, so that an instrument does
    not depend on files that lie elsewhere. ``substitute`` names another camera's filter that stands in
    for the band. ``pivot_aa`` is the pivot wavelength of a known filter, where the band is drawn.
    """

    name: str
    curve: str = ""
    centre_aa: float = 0.0
    fwhm_aa: float = 0.0
    edge_aa: float = 0.0
    table: tuple[tuple[float, float], ...] = ()
    substitute: str = ""
    pivot_aa: float = 0.0

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Za-z0-9._+-]+", self.name):
            raise SfhInputError(f"[[band]] name = {self.name!r}; use letters, digits, '.', '_', '+' and '-' only")
        shape = self.centre_aa > 0 and self.fwhm_aa > 0
        if bool(self.curve or self.table) == shape:
            given = "not both" if shape else f"fwhm_aa = {self.fwhm_aa:g}, centre_aa = {self.centre_aa:g} are no band"
            raise SfhInputError(f"[[band]] {self.name}: give curve, or centre_aa and fwhm_aa above 0 Angstrom; {given}")
        if not 0 <= self.edge_aa <= max(self.fwhm_aa, 0):
            raise SfhInputError(f"[[band]] {self.name}: edge_aa = {self.edge_aa} must lie in 0-fwhm_aa")

    @property
    def drawn_at_aa(self) -> float:
        """Pivot wavelength in Angstrom, of a trapezoid its centre; NaN where it is not known."""
        if self.table:
            return pivot_wavelength_aa(*np.asarray(self.table, dtype=np.float64).T)
        return self.pivot_aa or self.centre_aa or np.nan

    def to_json(self) -> dict[str, Any]:
        """Plain values: one ``[[band]]`` section."""
        out: dict[str, Any] = {"name": self.name}
        for key in ("curve", "centre_aa", "fwhm_aa", "edge_aa", "substitute", "pivot_aa"):
            if getattr(self, key):
                out[key] = getattr(self, key)
        if self.table:
            out["table"] = [list(row) for row in self.table]
        return out


@dataclass(frozen=True)
class Instrument:
    """What a network is shown.

    Attributes
    ----------
    name, summary : str
    spectrum : SpectrumGrid or None
        None: photometry alone.
    bands : tuple of Band
        Empty: spectra alone.
    photometry_norm : str
        ``spectrum`` (bands are divided by the mean flux in the spectrum's window), ``median`` (by the median of the
        object's own usable bands) or the name of a band.
    redshift_max : float
        Largest redshift at which the bands are used.

    Examples
    --------
    >>> from napari_sfh.instruments.files import load_instrument
    >>> muse = load_instrument("muse-hst")
    >>> muse.spectrum.n_wave, muse.band_names
    (1761, ('F275W', 'F336W', 'F438W', 'F555W', 'F814W'))
    """

    name: str
    spectrum: SpectrumGrid | None = None
    bands: tuple[Band, ...] = ()
    photometry_norm: str = "spectrum"
    redshift_max: float = 0.01
    summary: str = ""

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Za-z0-9._-]+", self.name):
            raise SfhInputError(f"name = {self.name!r}; use letters, digits, '.', '_' and '-' only")
        if self.spectrum is None and not self.bands:
            raise SfhInputError(f"instrument {self.name}: has neither [spectrum] nor [[band]]; give one of them")
        names = self.band_names
        if twice := [n for n in names if names.count(n) > 1]:
            raise SfhInputError(f"instrument {self.name}: band {twice[0]!r} is there twice; rename one")
        if self.photometry_norm == "spectrum" and self.spectrum is None:
            raise SfhInputError(
                f"instrument {self.name}: [photometry] norm = 'spectrum' needs a [spectrum]; give 'median' or a band"
            )
        if self.photometry_norm not in ("spectrum", "median", *names):
            raise SfhInputError(
                f"instrument {self.name}: [photometry] norm = {self.photometry_norm!r} is no band; "
                "give 'spectrum', 'median' or a band's name"
            )
        if not 0 <= self.redshift_max <= 20:
            raise SfhInputError(f"instrument {self.name}: [redshift] max = {self.redshift_max} must lie in 0-20")

    @property
    def band_names(self) -> tuple[str, ...]:
        """Names of the bands, in the network's order."""
        return tuple(band.name for band in self.bands)

    @property
    def pivot_aa(self) -> F64:
        """Pivot wavelengths of the bands in Angstrom, (B,); NaN where it is not known."""
        return np.array([band.drawn_at_aa for band in self.bands], dtype=np.float64)

    def place_bands(self, pivot_aa: Sequence[float]) -> Instrument:
        """The same with pivot wavelengths in Angstrom, one a band, for the known filters that have none."""
        unplaced = [not np.isfinite(band.drawn_at_aa) for band in self.bands]
        placed = tuple(
            replace(band, pivot_aa=round(float(pivot), 1)) if there_is_none else band
            for band, pivot, there_is_none in zip(self.bands, pivot_aa, unplaced, strict=False)
        )
        return self if not any(unplaced) else replace(self, bands=placed)

    @property
    def n_bands(self) -> int:
        """Number of bands B."""
        return len(self.bands)

    @property
    def n_wave(self) -> int:
        """Number of spectral pixels W; 0 without a spectrum."""
        return self.spectrum.n_wave if self.spectrum else 0

    @property
    def wave_aa(self) -> F64:
        """Rest-frame air wavelengths in Angstrom, (W,); empty without a spectrum."""
        return self.spectrum.wave_aa if self.spectrum else np.empty(0)

    @property
    def norm_pixels(self) -> NDArray[np.bool_]:
        """Pixels inside the normalisation window, boolean (W,); empty without a spectrum."""
        return self.spectrum.norm_pixels if self.spectrum else np.zeros(0, dtype=np.bool_)

    @property
    def takes_redshift(self) -> bool:
        """Whether the redshift is an input of the network: bands sample other rest wavelengths than at z = 0."""
        return bool(self.bands) and self.redshift_max > REST_FRAME_REDSHIFT

    @property
    def norm_text(self) -> str:
        """What fluxes are divided by, in words."""
        if self.spectrum:
            lo, hi = self.spectrum.norm_window_aa
            return f"mean in {lo:.0f}-{hi:.0f} AA"
        return "median of the bands" if self.photometry_norm == "median" else self.photometry_norm

    @property
    def snr_text(self) -> str:
        """What S/N is measured in, in words."""
        if self.spectrum is None:
            return "median of the bands"
        lo, hi = self.spectrum.norm_window_aa
        middle = self.spectrum.pixel_aa[self.spectrum.norm_pixels].mean()
        return f"per {middle:.4g} AA pixel in {lo:.0f}-{hi:.0f} AA"

    @property
    def grid(self) -> SpectrumGrid:
        """The spectral half; raises `SfhInputError` where there is none."""
        if self.spectrum is None:
            raise SfhInputError(f"instrument {self.name}: has no spectrum; this needs one")
        return self.spectrum

    def describe(self) -> list[str]:
        """In words, a line each: for listings."""
        text = [f"{self.name}: {self.summary}"]
        if self.spectrum:
            grid = self.spectrum
            step = f"{grid.step_aa:g} AA" if grid.step_aa else f"{grid.log_step:g} in ln(wavelength)"
            lo, hi = grid.norm_window_aa
            text.append(
                f"spectrum: {grid.first_aa:g}-{grid.last_aa:g} AA in {grid.medium}, {grid.n_wave} pixels of {step}; "
                f"LSF {grid.lsf.describe()}; dispersion {grid.sigma_kms:g} km/s; mean flux in {lo:g}-{hi:g} AA is one"
            )
        for band in self.bands:
            shape = f"{band.centre_aa:g} AA, {band.fwhm_aa:g} AA wide" if band.centre_aa else band.curve or "own curve"
            if band.table:
                seen = [wave for wave, throughput in band.table if throughput > 0]
                shape += f", pivot {band.drawn_at_aa:.0f} AA, from {min(seen):.0f} to {max(seen):.0f} AA"
            substitute = f"; {band.substitute} stands in" if band.substitute else ""
            text.append(f"band {band.name}: {shape}{substitute}")
        if self.bands:
            text.append(f"bands: divided by {self.photometry_norm}; used up to redshift {self.redshift_max:g}")
        return text

    def to_json(self) -> dict[str, Any]:
        """Plain values with the sections and keys of the TOML file: for a bundle's metadata and a set's manifest."""
        out: dict[str, Any] = {"name": self.name, "summary": self.summary}
        if self.spectrum:
            out["spectrum"] = self.spectrum.to_json()
        if self.bands:
            out["band"] = [band.to_json() for band in self.bands]
            out["photometry"] = {"norm": self.photometry_norm}
        out["redshift"] = {"max": self.redshift_max}
        return out

    @cached_property
    def sha256(self) -> str:
        """Digest of everything that decides what a network is shown: all but summary and the bands' drawn positions."""
        content: dict[str, Any] = {k: v for k, v in self.to_json().items() if k != "summary"}
        content["band"] = [{k: v for k, v in row.items() if k != "pivot_aa"} for row in content.get("band", [])]
        return hashlib.sha256(json.dumps(_as_floats(content), sort_keys=True).encode()).hexdigest()


def _as_floats(value: Any) -> Any:
    """Plain values with every whole number as a float: 4000 and 4000.0 are one wavelength."""
    if isinstance(value, dict):
        return {k: _as_floats(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_as_floats(v) for v in value]
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value
