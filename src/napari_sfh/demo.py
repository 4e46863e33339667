"""The bundled mock galaxy, whose true history is known: where its files are and how it is run."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from napari_sfh.analysis.comparison.mock_truth import read_truth
from napari_sfh.config import RunConfig
from napari_sfh.decisions import configure_run
from napari_sfh.errors import SfhInputError
from napari_sfh.types import SpaxelTruth

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


def make_demo_config(device: str = "auto") -> RunConfig:
    """The run of the demo: every file of its folder, and bins of its own, whose noise the truth is compared at."""
    return configure_run(find_demo_folder(), ebv_mw=EBV_MW, device=device, binning="vorbin")


def read_demo_truth() -> SpaxelTruth:
    """What the mock was made of, per spaxel."""
    (path,) = find_demo_folder().glob("*TRUTH*")
    return read_truth(path)
