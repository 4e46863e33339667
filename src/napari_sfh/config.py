"""What a run needs to know: files and choices, their defaults and their ranges."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path

from napari_sfh.errors import SfhInputError

#: Draws per bin from which quantiles are read.
DRAWS = 400


@dataclass(frozen=True)
class RunConfig:
    """Everything a run needs. Paths may be text; None means: from the files, or not at all."""

    cube: Path
    photometry: Mapping[str, Path] = field(default_factory=dict)  # band -> mosaic
    maps: Path | None = None  # DAP MAPS
    redshift: float | None = None
    ebv_mw: float | None = None  # Milky Way E(B-V), mag
    psf_fwhm_arcsec: float | None = None  # of the cube at 6500 AA
    target_snr: float = 35.0  # per pixel
    binning: str = "auto"  # auto, vorbin, powerbin, maps, or a FITS file of bin numbers
    kinematics: str = "auto"  # auto, maps, ppxf, or "V,SIGMA"
    align: bool = False  # undo the offset between mosaics and cube that is found
    subtract_sky: bool = False  # measure each mosaic's sky outside the cube and subtract it
    mask_lines: bool = False  # hide gas lines from the network: gas that no young stars light up
    hst_psf_fwhm_arcsec: float | None = None  # of all mosaics; without it that of camera and filter
    model: str = "default"  # a shipped bundle or a file
    device: str = "auto"
    draws: int = DRAWS

    def __post_init__(self) -> None:
        object.__setattr__(self, "cube", Path(self.cube))
        object.__setattr__(self, "photometry", {band.upper(): Path(path) for band, path in self.photometry.items()})
        if self.maps is not None:
            object.__setattr__(self, "maps", Path(self.maps))
        _validate(self)

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


def _validate(config: RunConfig) -> None:
    if not config.target_snr > 0:
        raise SfhInputError(f"--target-snr {config.target_snr}: must be above 0")
    if config.redshift is not None and not -0.01 < config.redshift < 1:
        raise SfhInputError(f"--redshift {config.redshift}: must lie between -0.01 and 1")
    if config.ebv_mw is not None and not 0 <= config.ebv_mw < 5:
        raise SfhInputError(f"--ebv-mw {config.ebv_mw}: E(B-V) in mag must lie between 0 and 5")
    if config.psf_fwhm_arcsec is not None and not 0 < config.psf_fwhm_arcsec < 10:
        raise SfhInputError(f"--psf-fwhm {config.psf_fwhm_arcsec}: must lie between 0 and 10 arcsec")
    if config.hst_psf_fwhm_arcsec is not None and not 0 < config.hst_psf_fwhm_arcsec < 2:
        raise SfhInputError(f"--hst-psf-fwhm {config.hst_psf_fwhm_arcsec}: must lie between 0 and 2 arcsec")
    if config.maps is None and "maps" in (config.binning, config.kinematics):
        raise SfhInputError("bins or kinematics from maps were asked for: give the file with --maps FILE")
