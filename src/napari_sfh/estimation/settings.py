"""What `estimate` is asked for, and what it says when it is done."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from napari_sfh.arguments.checked_calls import check_arguments
from napari_sfh.config import SETTINGS
from napari_sfh.errors import SfhInputError
from napari_sfh.instruments.instrument import Instrument
from napari_sfh.io.objects.blocks import BLOCK_ROWS
from napari_sfh.io.objects.spectrum_columns import Medium
from napari_sfh.model import inference
from napari_sfh.prep.band_fluxes.band_rows import CATALOGUE_CALIBRATION_ERROR
from napari_sfh.types import FLAG_MEANING, Flag


@check_arguments
@dataclass(frozen=True)
class EstimateConfig:
    """What `estimate_objects` needs."""

    inputs: tuple[Path, ...]  # catalogues or spectra
    output: Path  # table that is written
    model: str = "jpas"  # weights: a name, or a file
    columns: Mapping[str, str] = field(default_factory=dict)  # band -> column, see `match_band_columns`
    redshift: float | None = None  # of all objects
    redshift_column: str = ""  # of the catalogue, where it is not named as usual
    ebv_mw: float = 0.0  # Milky Way E(B-V) of all objects, mag
    calibration_error: float = CATALOGUE_CALIBRATION_ERROR  # of bands, a share of the flux, beyond the stated errors
    sigma_kms: float | None = None  # stellar dispersion of spectra
    lsf: str | None = None  # line-spread function of the spectra: FWHM in Angstrom, or a table's file
    medium: Medium = "auto"  # of the spectra: air, vacuum, or as the file says
    device: str = "auto"  # where the network runs
    draws: int = inference.DRAWS  # of the posterior, an object
    rows: int = BLOCK_ROWS  # of a block of the catalogue

    def __post_init__(self) -> None:
        object.__setattr__(self, "inputs", tuple(Path(p) for p in self.inputs))
        object.__setattr__(self, "output", Path(self.output))
        if not self.inputs:
            raise SfhInputError("no input: give a catalogue, or spectra")
        if self.redshift is not None and not -0.01 < self.redshift < 20:
            raise SfhInputError(f"`redshift` {self.redshift}: must lie between -0.01 and 20")
        if self.sigma_kms is not None and not 0 <= self.sigma_kms <= 1000:
            raise SfhInputError(f"`sigma_kms` {self.sigma_kms}: must lie in 0-1000 km/s")
        if not 0 <= self.ebv_mw <= 5:
            raise SfhInputError(f"`ebv_mw` {self.ebv_mw}: E(B-V) in mag must lie between 0 and 5")
        for name in ("device", "draws"):
            SETTINGS[name].check(name, getattr(self, name))
        if self.rows < 1:
            raise SfhInputError(f"`rows` {self.rows}: a block holds 1 row at least")
        if not 0 <= self.calibration_error < 1:
            raise SfhInputError(f"`calibration_error` {self.calibration_error}: a share of the flux, 0 to below 1")


@dataclass(frozen=True)
class EstimateSummary:
    """What was done."""

    path: Path
    n_rows: int
    n_estimated: int
    n_out_of_depth: int
    notes: tuple[str, ...]
    refused: Mapping[Flag, int] = field(default_factory=dict)  # why rows were not estimated: number of rows

    def describe_refused(self, instrument: Instrument) -> str:
        """Why rows were not estimated, for a person; nothing where all were."""
        words = {
            **FLAG_MEANING,
            Flag.REDSHIFT: f"{FLAG_MEANING[Flag.REDSHIFT]} (these weights: up to z = {instrument.redshift_max:g})",
            Flag.MISSING_BAND: "fewer usable bands than these weights need",
        }
        return ", ".join(f"{n} not: {words[flag]}" for flag, n in self.refused.items())
