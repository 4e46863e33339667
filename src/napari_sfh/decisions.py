"""What a run does where it was not told: which files, redshift, bins, kinematics and bands.

The run (`pipeline`) and the look at its files beforehand (`preflight`) ask these functions, so that the one promises
what the other does.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from napari_sfh.arguments.checked_calls import check_arguments
from napari_sfh.config import RunConfig
from napari_sfh.errors import SfhInputError
from napari_sfh.instruments.bundle_header import read_bundle_header
from napari_sfh.instruments.instrument import Instrument
from napari_sfh.instruments.line_spread import LineSpread
from napari_sfh.io.identify import find_galaxy_files
from napari_sfh.prep.binning import BINNING_METHODS
from napari_sfh.prep.mosaics.psf import Psf
from napari_sfh.types import BinnedMaps, Cube

#: The note of a run without a Milky Way foreground.
NO_FOREGROUND = "Milky Way E(B-V) not given: no correction; give `ebv_mw`"
#: Share by which a given FWHM may differ from the instrument's without a warning.
_LSF_TOLERANCE = 0.2


class RedshiftChoice(NamedTuple):
    """The redshift that is known before anything is measured."""

    value: float | None  # None: it is to be measured from the spectra
    source: str  # for a person: given, MAPS, the cube's header


class UsedBands(NamedTuple):
    """Bands that a run takes, and why it leaves the others out (empty: it does not)."""

    names: tuple[str, ...]
    note: str


class LineSpreadChoice(NamedTuple):
    """The line-spread function of the data, and what was assumed (empty: nothing)."""

    lsf: LineSpread
    note: str


@check_arguments
def configure_run(
    folder: Path | None = None, on_problem: Callable[[str], object] | None = None, **options: Any
) -> RunConfig:
    """A configuration from a galaxy's folder, from given files, or from both (given files win).

    Parameters
    ----------
    folder : Path, optional
        Is searched for a cube, mosaics and a MAPS file.
    on_problem : callable, optional
        Called with a sentence on each file of the folder that cannot be used.
    **options
        Fields of `RunConfig`; None counts as not given.

    Returns
    -------
    RunConfig

    Raises
    ------
    SfhInputError
        Neither a folder nor a cube, or no cube in the folder.

    Examples
    --------
    >>> config = configure_run("NGC0628", redshift=0.0022)
    >>> config.cube.name, sorted(config.photometry)  # doctest: +ELLIPSIS
    ('...DATACUBE...fits', ['F275W', 'F336W', 'F438W', 'F555W', 'F814W'])
    """
    given = {key: value for key, value in options.items() if value is not None and value != {}}
    if folder is not None:
        found = find_galaxy_files(folder, read_bundle_header(given.get("model", "default")))
        if on_problem is not None:
            for problem in drop_answered_problems(found.problems, given):
                on_problem(problem)
        own = given.get("photometry", {})
        kept = {band: path for band, path in found.mosaics.items() if band.upper() not in map(str.upper, own)}
        bands = {**kept, **own}
        given = {"cube": found.cube, "maps": found.maps, **given, "photometry": bands}
    return RunConfig(**given)


def drop_told_notes(notes: Iterable[str], told: Sequence[str]) -> list[str]:
    """Notes of a run without those that were told when its files were found.

    Parameters
    ----------
    notes : iterable of str
        Of the cube as they are, of a band's image as ``BAND: note``.
    told : sequence of str
        As they are, or as ``FILE: note``.

    Returns
    -------
    list of str

    Examples
    --------
    >>> drop_told_notes(["no STAT", "F555W: no BUNIT", "z is odd"], ["c.fits: no STAT", "m.fits: no BUNIT"])
    ['z is odd']
    """
    return [
        note
        for note in notes
        if not any(one.endswith((f": {note}", f": {note.partition(': ')[2] or note}")) or one == note for one in told)
    ]


def drop_answered_problems(problems: Iterable[str], given: Collection[str]) -> list[str]:
    """Those of some sentences that ask for no setting that is given.

    Parameters
    ----------
    problems : iterable of str
        Settings stand in them in backquotes.
    given : collection of str
        Names of settings.

    Returns
    -------
    list of str

    Examples
    --------
    >>> drop_answered_problems(["PSF: no keywords: give `psf_fwhm_arcsec`"], ["psf_fwhm_arcsec"])
    []
    """
    return [problem for problem in problems if not any(f"`{name}`" in problem for name in given)]


def choose_redshift(config: RunConfig, cube: Cube, maps: BinnedMaps | None) -> RedshiftChoice:
    """The user's redshift, else that of MAPS, else the cube's; `RedshiftChoice` without a value where none is known.

    Parameters
    ----------
    config : RunConfig
    cube : Cube
    maps : BinnedMaps or None

    Returns
    -------
    RedshiftChoice
    """
    known = {"given": config.redshift, "MAPS": maps.redshift if maps else None, "the cube's header": cube.redshift}
    for source, value in known.items():
        if value is not None:
            return RedshiftChoice(value, source)
    return RedshiftChoice(None, "")


def choose_kinematics(config: RunConfig) -> str:
    """Where V and sigma come from: ``maps``, ``fast``, ``ppxf``, or constants as ``V,SIGMA`` in km/s."""
    if config.kinematics != "auto":
        return config.kinematics
    return "maps" if config.maps is not None else "fast"


def choose_bin_source(config: RunConfig) -> str:
    """What the bins are made by: ``spaxels`` (a method of `prep.binning`), ``maps``, or ``file``."""
    if config.binning == "maps" or (config.binning == "auto" and config.maps is not None):
        return "maps"  # so that its maps compare bin by bin
    return "spaxels" if config.binning in BINNING_METHODS else "file"


def describe_bin_source(config: RunConfig) -> str:
    """What bins are made of, in words: ``binning to S/N 35``, ``bins of MAPS.fits``."""
    source = choose_bin_source(config)
    if source == "spaxels":
        return f"binning to S/N {config.target_snr:g}"
    return f"bins of {Path(str(config.maps if source == 'maps' else config.binning)).name}"


def choose_used_bands(given: Collection[str], redshift: float | None, largest: float) -> UsedBands:
    """All bands that are given, or none of them beyond the ``largest`` redshift at which the weights know them.

    Parameters
    ----------
    given : collection of str
        Bands with a mosaic.
    redshift : float or None
        None where it is not known yet.
    largest : float
        ``redshift_max`` of the weights' instrument.

    Returns
    -------
    UsedBands
    """
    if redshift is None or redshift <= largest or not given:
        return UsedBands(tuple(given), "")
    return UsedBands((), f"z = {redshift:.4f} > {largest:g}: the bands are left out (no K-correction)")


def choose_line_spread(config: RunConfig, cube: Cube, instrument: Instrument) -> LineSpreadChoice:
    """The LSF of the data: the user's, else the cube's, else that of the weights' instrument, which is then told.

    Parameters
    ----------
    config : RunConfig
    cube : Cube
    instrument : Instrument
        Of the weights.

    Returns
    -------
    LineSpreadChoice

    Raises
    ------
    SfhInputError
        ``lsf`` is neither a FWHM in Angstrom above 0 nor a readable table.
    """
    if config.lsf is not None:
        given = LineSpread.from_text(config.lsf)
        told = (given.describe_reach(cube.wave_aa), _compare_line_spreads(given, cube))
        return LineSpreadChoice(given, "; ".join(filter(None, told)))
    if cube.lsf is not None:
        return LineSpreadChoice(cube.lsf, _describe_coarse_channels(cube, cube.lsf))
    own = instrument.grid.lsf
    return LineSpreadChoice(
        own,
        f"line-spread function of the cube unknown: taken as {own.describe()}, the weights' own; give `lsf`",
    )


def _compare_line_spreads(given: LineSpread, cube: Cube) -> str:
    """A warning where the LSF that is given is not that of the instrument which the cube names."""
    if cube.lsf is None:
        return ""
    asked, known = (float(np.median(lsf.fwhm_aa(cube.wave_aa))) for lsf in (given, cube.lsf))
    if abs(asked / known - 1) <= _LSF_TOLERANCE:
        return ""
    return (
        f"WARNING: the line-spread function given has a FWHM of {asked:.3g} A (median), that of the cube's instrument "
        f"{known:.3g} A: dispersions are off by the difference, and [M/H] with them, unless the cube was convolved; "
        "check `lsf`"
    )


def _describe_coarse_channels(cube: Cube, lsf: LineSpread) -> str:
    """A warning where an instrument's line-spread function is narrower than the channels: the cube was rebinned."""
    step, fwhm = float(np.median(np.diff(cube.wave_aa))), float(np.median(lsf.fwhm_aa(cube.wave_aa)))
    if step <= fwhm:
        return ""
    return (
        f"the channels are {step:.3g} A wide, the line-spread function of the instrument {fwhm:.3g} A: the spectra "
        "were rebinned and cannot have it, and ages are off; give `lsf`, or the cube as it was observed"
    )


def match_band_names(photometry: Mapping[str, Path], known: Collection[str]) -> dict[str, Path]:
    """Images by the weights' own names of their bands, upper and lower case being the same.

    Parameters
    ----------
    photometry : mapping of str to Path
        Band to mosaic.
    known : collection of str
        Bands of the weights.

    Returns
    -------
    dict of str to Path

    Raises
    ------
    SfhInputError
        A band that the weights do not know; it names the band and those that they do.

    Examples
    --------
    >>> match_band_names({"UJAVA": Path("u.fits")}, ["uJAVA", "J0378"])
    {'uJAVA': PosixPath('u.fits')}
    """
    names = {name.upper(): name for name in known}
    for band in photometry:
        if band.upper() not in names:
            raise SfhInputError(f"`photometry` {band}: the weights know {', '.join(known) or 'no bands'}")
    return {names[band.upper()]: path for band, path in photometry.items()}


def describe_assumed_psf(psf: Psf) -> str:
    """The note on a PSF that nobody knows."""
    return f"PSF unknown: FWHM {psf.fwhm_arcsec:g} arcsec assumed; give `psf_fwhm_arcsec`"
