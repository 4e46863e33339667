"""The settings of a run: their defaults, units, ranges, choices and texts, each stated once.

The options of the command line, the forms of the window, the columns of a table of galaxies and the checks of a
`RunConfig` are all made from `SETTINGS`. Messages name a setting in backquotes, such as `redshift`; `name_settings`
puts in what the user of a front end knows it by. Nothing heavy is imported here.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from numbers import Real
from pathlib import Path
from typing import Any

from napari_sfh.arguments.checked_calls import check_arguments
from napari_sfh.errors import SfhInputError

#: Constant V, sigma in km/s that a form begins with.
FALLBACK_KINEMATICS = "0,70"
#: Range of velocities relative to the redshift, and of stellar dispersions, km/s.
MAX_V_KMS, SIGMA_RANGE_KMS = 1000.0, (1.0, 500.0)

#: Settings whose text may be the name of a file.
FILE_SETTINGS: tuple[str, ...] = ("binning", "model", "lsf")


@dataclass(frozen=True)
class Setting:
    """What front ends need to know of one field of `RunConfig`."""

    label: str  # of its control in a form
    help: str  # one line
    default: Any = None
    kind: type = str
    unit: str = ""
    low: float | None = None  # numbers lie between low and high, both included
    high: float | None = None
    step: float | None = None  # of a form's arrows
    choices: Mapping[str, str] = field(default_factory=dict)  # value: words for it
    other: tuple[str, str] = ("", "")  # what may stand in place of a choice: placeholder, words for it
    unset: str = ""  # what is taken where it is None
    metavar: str = ""
    option: str = ""  # of the command line, without dashes; empty: the field's name
    by_galaxy: bool = False  # may be a column of a table of galaxies

    @property
    def is_file(self) -> bool:
        """True for files that a run reads."""
        return self.kind in (Path, dict)

    def check(self, name: str, value: Any) -> None:
        """Refuse a value out of range, or one that is no choice.

        Raises
        ------
        SfhInputError
            With the setting, its value and what is allowed.
        """
        if value is None:
            return
        if self.low is not None and self.high is not None:
            unit = f" {self.unit}" if self.unit else ""
            plain = isinstance(value, Real) and not isinstance(value, bool)
            if not (plain and self.low <= value <= self.high):
                form = "" if plain else ", as a plain number"
                raise SfhInputError(f"`{name}` {value}: must lie between {self.low:g} and {self.high:g}{unit}{form}")
        if self.choices and not self.other[0] and value not in self.choices:
            raise SfhInputError(f"`{name}` {value}: choose {', '.join(self.choices)}")


def _setting(default: Any, **about: Any) -> Any:
    """A field of `RunConfig` with its `Setting`."""
    return field(default=default, metadata={"setting": Setting(default=default, **about)})


@check_arguments
@dataclass(frozen=True)
class RunConfig:
    """Everything a run needs. Paths may be text; None means: from the files, or not at all.

    Raises
    ------
    SfhInputError
        A value out of range, or neither a cube nor images; the message names the field and what is allowed.

    Examples
    --------
    >>> config = RunConfig("cube.fits", {"f555w": "v.fits"}, redshift=0.0025, binning="vorbin")
    >>> config.target_snr, list(config.photometry)
    (35.0, ['F555W'])
    """

    cube: Path | None = field(  # None: weights that take bands alone, on the images in `photometry`
        default=None, metadata={"setting": Setting("Cube", "MUSE cube: FITS with DATA and STAT", kind=Path)}
    )
    photometry: Mapping[str, Path] = field(  # band -> mosaic
        default_factory=dict,
        metadata={"setting": Setting("Mosaics", "HST mosaics (...drc-sci), one per band", kind=dict)},
    )
    maps: Path | None = _setting(None, label="MAPS", help="DAP MAPS file: bins and stellar kinematics", kind=Path)
    hdu: str | int | None = _setting(
        None,
        label="Cube's HDU",
        help="which cube of a file that holds several: EXTNAME, EXTNAME,EXTVER, or its number",
        unset="the first",
        metavar="NAME|N",
        by_galaxy=True,
    )
    redshift: float | None = _setting(
        None,
        label="Redshift",
        help="systemic redshift",
        kind=float,
        low=-0.01,
        high=1.0,
        unset="from the header",
        metavar="Z",
        by_galaxy=True,
    )
    ebv_mw: float | None = _setting(
        None,
        label="E(B−V) MW",
        help="foreground reddening E(B-V) by the Milky Way",
        kind=float,
        unit="mag",
        low=0.0,
        high=5.0,
        unset="none",
        metavar="E",
        by_galaxy=True,
    )
    psf_fwhm_arcsec: float | None = _setting(
        None,
        label="PSF FWHM",
        help="PSF of the cube at 6500 AA, FWHM: the mosaics are matched to it",
        kind=float,
        unit="arcsec",
        low=0.05,
        high=10.0,
        unset="from the file",
        metavar="ARCSEC",
        option="psf-fwhm",
        by_galaxy=True,
    )
    lsf: str | None = _setting(
        None,
        label="LSF",
        help="line-spread function of the cube: its FWHM in Angstrom, or a table of wavelength and FWHM",
        unset="of the instrument in the header",
        metavar="FWHM|FILE",
        by_galaxy=True,
    )
    target_snr: float = _setting(
        35.0,
        label="Target S/N",
        help="S/N that a bin should reach, per pixel in the normalisation window",
        kind=float,
        low=1.0,
        high=1000.0,
        step=5.0,
        metavar="SNR",
        by_galaxy=True,
    )
    binning: str = _setting(
        "auto",
        label="Method",
        help="how spaxels are binned: automatic is as the MAPS file, else Voronoi to 40 000 spaxels, PowerBin above",
        choices={
            "auto": "Automatic",
            "vorbin": "Voronoi (vorbin)",
            "powerbin": "PowerBin: fast, for large cubes",
            "maps": "Bins of the MAPS file",
        },
        other=("FILE", "Bins of a file"),
        by_galaxy=True,
    )
    kinematics: str = _setting(
        "auto",
        label="V and σ",
        help="stellar kinematics: automatic is from MAPS if given, else the fast fit",
        choices={"auto": "Automatic", "maps": "From the MAPS file", "fast": "Fast fit", "ppxf": "Fit with pPXF"},
        other=("V,SIGMA", "Constants"),
        unit="km/s",
        by_galaxy=True,
    )
    align: bool = _setting(
        False, label="align the mosaics", help="undo the offset found between mosaics and cube", kind=bool
    )
    subtract_sky: bool = _setting(
        False,
        label="subtract the mosaics' sky",
        help="measure each mosaic's sky outside the cube and subtract it; PHANGS-HST mosaics do not need it",
        kind=bool,
    )
    mask_lines: bool = _setting(
        False,
        label="hide emission lines from it",
        help="hide gas lines from the network where no young stars light the gas (active nuclei, LINERs, shocks)",
        kind=bool,
    )
    hst_psf_fwhm_arcsec: float | None = _setting(
        None,
        label="HST PSF FWHM",
        help="PSF of all mosaics, FWHM",
        kind=float,
        unit="arcsec",
        low=0.01,
        high=2.0,
        unset="of camera and filter",
        metavar="ARCSEC",
        option="hst-psf-fwhm",
    )
    model: str = _setting(
        "default",
        label="Weights",
        help="the network that reads the bins: a name of the list, or a file",
        unset="the shipped ones",
        metavar="NAME|FILE",
        by_galaxy=True,
    )
    device: str = _setting(
        "auto",
        label="Device",
        help="where the network runs; auto: a GPU if there is one",
        choices={name: name for name in ("auto", "cpu", "cuda", "mps")},
    )
    draws: int = _setting(
        400,
        label="Draws",
        help="posterior draws per bin from which quantiles are read",
        kind=int,
        low=50,
        high=100_000,
        step=100,
        metavar="N",
    )

    def __post_init__(self) -> None:
        images = {band.upper(): Path(path).expanduser() for band, path in self.photometry.items()}
        if len(images) < len(self.photometry):
            raise SfhInputError(f"`photometry` {', '.join(self.photometry)}: a band is given twice; give each once")
        object.__setattr__(self, "cube", None if self.cube is None else Path(self.cube).expanduser())
        object.__setattr__(self, "photometry", images)
        object.__setattr__(self, "hdu", None if self.hdu is None else str(self.hdu).strip() or None)
        for name in FILE_SETTINGS:
            if (value := getattr(self, name)) is not None:
                object.__setattr__(self, name, os.path.expanduser(value))
        if self.cube is None and not self.photometry:
            raise SfhInputError("no input: give a galaxy's folder, or `cube` FILE")
        if self.maps is not None:
            object.__setattr__(self, "maps", Path(self.maps).expanduser())
        for name, setting in SETTINGS.items():
            setting.check(name, getattr(self, name))
        if self.kinematics not in SETTINGS["kinematics"].choices:
            parse_kinematics(self.kinematics)
        if self.maps is None and "maps" in (self.binning, self.kinematics):
            raise SfhInputError("bins or kinematics from MAPS were asked for: give the file with `maps`")

    def settings(self) -> dict[str, str | float | int | bool | None]:
        """The settings as plain values, for the result file."""
        plain: dict[str, str | float | int | bool | None] = {}
        for item in fields(self):
            value = getattr(self, item.name)
            if item.name == "photometry":
                plain |= {f"photometry_{band}": path.name for band, path in value.items()}
            else:
                plain[item.name] = value.name if isinstance(value, Path) else value
        return plain


#: All settings by the name of their field.
SETTINGS: Mapping[str, Setting] = {f.name: f.metadata["setting"] for f in fields(RunConfig)}
#: Option of the command line by the name of a field.
OPTIONS: Mapping[str, str] = {
    name: "--" + (setting.option or name.replace("_", "-")) for name, setting in SETTINGS.items()
}


def parse_kinematics(text: str) -> tuple[float, float]:
    """V and sigma in km/s from ``V,SIGMA``.

    Raises
    ------
    SfhInputError
        Not two numbers, or one of them out of its range.

    Examples
    --------
    >>> parse_kinematics("-20,75")
    (-20.0, 75.0)
    """
    try:
        v, sigma = (float(part) for part in text.split(","))
    except ValueError:
        choices = ", ".join(SETTINGS["kinematics"].choices)
        raise SfhInputError(f"`kinematics` {text!r}: give {choices}, or two numbers V,SIGMA in km/s") from None
    low, high = SIGMA_RANGE_KMS
    if not (abs(v) <= MAX_V_KMS and low <= sigma <= high):
        raise SfhInputError(
            f"`kinematics` {text!r}: V must lie within {MAX_V_KMS:.0f} km/s and SIGMA between {low:.0f} and "
            f"{high:.0f} km/s"
        )
    return v, sigma


def name_settings(text: str, words: Mapping[str, str]) -> str:
    """A message in the words of a front end.

    Parameters
    ----------
    text : str
        Settings stand in it in backquotes, or as options of the command line (in the notes of older results).
    words : mapping
        What its user knows a field by; other names lose their backquotes.

    Examples
    --------
    >>> name_settings("no redshift: give `redshift`", OPTIONS)
    'no redshift: give --redshift'
    """
    names = {option: name for name, option in OPTIONS.items()}

    def word(found: re.Match[str]) -> str:
        name = found[1] or names.get(found[0], "")
        return words.get(name, found[1] or found[0])

    return re.sub(r"`(\w+)`|--[a-z]+(?:-[a-z]+)*", word, text)
