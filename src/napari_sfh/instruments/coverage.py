"""Which part of an instrument's rest-frame grid a cube or spectrum covers."""

from __future__ import annotations

from pathlib import Path

from napari_sfh.arrays import F64
from napari_sfh.errors import SfhInputError
from napari_sfh.instruments.instrument import SpectrumGrid

#: Share of the grid that data must cover for weights whose card says nothing of it: training hides ranges of up to
#: 400 AA, never half of a spectrum.
DEFAULT_MIN_COVERAGE: float = 0.9
#: Share of the normalisation window that must be covered.
MIN_WINDOW_COVERAGE: float = 0.5


def find_missing_rest_range(wave_aa: F64, redshift: float, grid: SpectrumGrid) -> list[tuple[float, float]]:
    """Parts of a grid's range that observed wavelengths lack.

    Parameters
    ----------
    wave_aa : array (n,)
        Observed wavelengths, Angstrom, rising.
    redshift : float
    grid : SpectrumGrid
        Rest frame.

    Returns
    -------
    list of (float, float)
        First and last wavelength of each part, rest-frame Angstrom.
    """
    lo, hi = wave_aa[0] / (1 + redshift), wave_aa[-1] / (1 + redshift)
    first, last = grid.wave_aa[0], grid.wave_aa[-1]
    parts = [(first, min(lo, last)), (max(hi, first), last)]
    return [(float(a), float(b)) for a, b in parts if b > a]


def measure_rest_coverage(wave_aa: F64, redshift: float, grid: SpectrumGrid) -> float:
    """Share of a grid's range that observed wavelengths cover.

    Parameters
    ----------
    wave_aa : array (n,)
        Observed wavelengths, Angstrom, rising.
    redshift : float
    grid : SpectrumGrid
        Rest frame.

    Returns
    -------
    float
        0 to 1.
    """
    missing = sum(b - a for a, b in find_missing_rest_range(wave_aa, redshift, grid))
    return max(0.0, 1.0 - missing / float(grid.wave_aa[-1] - grid.wave_aa[0]))


def check_rest_range(wave_aa: F64, redshift: float, grid: SpectrumGrid, min_coverage: float, path: Path) -> None:
    """Refuse a redshift at which too little of the grid, or of its normalisation window, lies on the data.

    Parameters
    ----------
    wave_aa : array (n,)
        Observed air wavelengths.
    redshift : float
    grid : SpectrumGrid
        Of the weights' instrument.
    min_coverage : float
        Share of the grid that the weights need (`model.bundle.Bundle.min_coverage`).
    path : Path
        Of the data, for the message.

    Raises
    ------
    SfhInputError
        Says which rest-frame range is missing, and how much is needed.
    """
    share = measure_rest_coverage(wave_aa, redshift, grid)
    lo, hi = (edge * (1 + redshift) for edge in grid.norm_window_aa)
    window = max(0.0, min(hi, wave_aa[-1]) - max(lo, wave_aa[0])) / (hi - lo)
    if share >= min_coverage and window >= MIN_WINDOW_COVERAGE:
        return
    needed = f"{grid.wave_aa[0]:.0f}-{grid.wave_aa[-1]:.0f} AA"
    covers = f"{path}: covers {wave_aa[0]:.1f}-{wave_aa[-1]:.1f} AA and at redshift {redshift:g}"
    if share >= min_coverage:
        window_text = "{:.0f}-{:.0f} AA".format(*grid.norm_window_aa)
        raise SfhInputError(
            f"{covers} holds {100 * window:.0f} % of the rest-frame window {window_text} that normalises spectra; "
            f"{100 * MIN_WINDOW_COVERAGE:.0f} % are needed; check `redshift` or choose other weights"
        )
    raise SfhInputError(
        f"{covers} lacks rest-frame {describe_ranges(find_missing_rest_range(wave_aa, redshift, grid))} of {needed}: "
        f"{100 * share:.0f} % is there, these weights need {100 * min_coverage:.0f} %; check `redshift`, give data "
        "that cover more, or choose other weights"
    )


def describe_missing_range(wave_aa: F64, redshift: float, grid: SpectrumGrid) -> str:
    """A note on what of a grid observed wavelengths lack.

    Parameters
    ----------
    wave_aa : array (n,)
        Observed wavelengths, Angstrom, rising.
    redshift : float
    grid : SpectrumGrid
        Rest frame.

    Returns
    -------
    str
        Empty where they lack nothing.
    """
    missing = find_missing_rest_range(wave_aa, redshift, grid)
    return f"lacks rest-frame {describe_ranges(missing)}: masked" if missing else ""


def describe_ranges(parts: list[tuple[float, float]]) -> str:
    """Ranges in words."""
    return " and ".join(f"{a:.0f}-{b:.0f} AA" for a, b in parts) or "nothing"
