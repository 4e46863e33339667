"""The bundled mock galaxy, whose true history is known: where its files are and how it is run."""

from __future__ import annotations

import shutil
import threading
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import numpy as np
from astropy.io import fits

from napari_sfh.analysis.comparison.mock_truth import read_truth
from napari_sfh.arguments.checked_calls import check_arguments
from napari_sfh.config import SETTINGS, RunConfig
from napari_sfh.errors import ComputeError, SfhInputError
from napari_sfh.instruments.bundle_header import list_bundles
from napari_sfh.instruments.files import load_instrument
from napari_sfh.io.cleaning.celestial import cut_header
from napari_sfh.jobs import ReportProgress
from napari_sfh.types import Result, SpaxelTruth

#: Rows and columns of spaxels in the middle of the disc, without the foreground star: a run of them takes seconds.
CUTOUT: tuple[slice, slice] = (slice(22, 34), slice(22, 34))
#: The mock's Milky Way foreground: none was put in front of it.
EBV_MW = 0.0


def find_demo_folder() -> Path:
    """Folder of the mock's cube, mosaics, MAPS and truth.

    Raises
    ------
    SfhInputError
        The package was installed without its data.
    """
    path = Path(str(files("napari_sfh.data") / "demo"))
    if not any(path.glob("*DATACUBE*")):
        raise SfhInputError(f"{path}: the demo galaxy is not there; install the package again, or from a full clone")
    return path


@check_arguments
def write_demo_cutout(folder: str | Path, window: tuple[slice, slice] = CUTOUT) -> Path:
    """Write a piece of the mock galaxy: cube, MAPS and truth cut to a window, the mosaics as they are.

    Parameters
    ----------
    folder : path
        It is made where it is missing; its name is that of the galaxy in reports.
    window : (slice, slice)
        Rows and columns of spaxels.

    Returns
    -------
    Path
        The folder, as `configure_run` takes it.

    Raises
    ------
    SfhInputError
        The package was installed without its data, or the window lies outside the cube.
    ComputeError
        The folder cannot be written.
    """
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path in find_demo_folder().glob("*.fits"):
            if path.name.startswith("MOCK"):
                _cut_spaxels(path, folder / path.name, window)
            else:
                shutil.copyfile(path, folder / path.name)
    except OSError as error:
        raise ComputeError(f"{folder}: cannot be written ({error}); choose another folder") from error
    return folder


def _cut_spaxels(source: Path, target: Path, window: tuple[slice, slice]) -> None:
    """Copy a file of images (..., ny, nx), cut to a window."""
    with fits.open(source) as hdus:
        parts: list[fits.PrimaryHDU | fits.ImageHDU] = [fits.PrimaryHDU(header=hdus[0].header)]
        for hdu in hdus[1:]:
            data = np.asarray(hdu.data[..., window[0], window[1]])
            if 0 in data.shape:
                raise SfhInputError(f"window {window}: no spaxel of the {hdu.shape[-2]} x {hdu.shape[-1]} is inside")
            header = cut_header(hdu.header.copy(strip=True), window)
            parts.append(fits.ImageHDU(data, header, hdu.name))
    fits.HDUList(parts).writeto(target, overwrite=True)


@check_arguments
def make_demo_config(device: str = "auto", binning: str = "vorbin") -> RunConfig:
    """The run of the demo: every file of its folder, and bins of its own, whose noise the truth is compared at.

    What the files are is known by their names: `decisions.configure_run` would look into each.

    Parameters
    ----------
    device, binning : str
        Settings of `RunConfig`. The window leaves both as they are.
    """
    folder = find_demo_folder()
    cube, maps = (next(folder.glob(f"*{kind}*"), None) for kind in ("DATACUBE", "MAPS"))
    names = load_instrument().band_names
    bands = {band: path for band in names for path in folder.glob(f"*_{band.lower()}_*sci*")}
    return RunConfig(cube=cube, photometry=bands, maps=maps, ebv_mw=EBV_MW, device=device, binning=binning)


def make_window_config() -> RunConfig:
    """The run that the window makes of the demo where its settings are as they come: bins of the MAPS file."""
    config = make_demo_config(SETTINGS["device"].default, SETTINGS["binning"].default)
    return replace(config, model=next(iter(list_bundles()), config.model))


def run_demo(progress: ReportProgress, cancel: threading.Event) -> Result:
    """Run `make_window_config`: for a process of its own, while the window comes (`processes.calls.CallAhead`).

    Raises
    ------
    Cancelled, SfhInputError, ComputeError
        As `pipeline.run_pipeline`.
    """
    from napari_sfh.pipeline import run_pipeline  # with PyTorch: who only asks for the files needs it not

    return run_pipeline(make_window_config(), progress, cancel)


def read_demo_truth() -> SpaxelTruth:
    """What the mock was made of, per spaxel."""
    (path,) = find_demo_folder().glob("*TRUTH*")
    return read_truth(path)
