"""The paper's networks that ship, on a piece of the mock galaxy, by the command line."""

import numpy as np
import pytest
from astropy.io import fits

from napari_sfh import demo
from napari_sfh.cli import main


@pytest.mark.usefixtures("page_at_once")
@pytest.mark.parametrize("name", ["galceran2026", pytest.param("four_branch", marks=pytest.mark.slow)])
def test_the_papers_network_gives_maps_of_a_galaxy(tmp_path, name):
    galaxy = demo.write_demo_cutout(tmp_path / "galaxy", (slice(28, 31), slice(14, 30)))
    out = tmp_path / "out.fits"
    assert main(["run", str(galaxy), "--model", name, "--quiet", "--output", str(out)]) == 0
    with fits.open(out) as hdus:
        assert hdus[0].header["MODEL"] == name
        age, half = hdus["AGE_MW"].data, hdus["T50"].data
        known = np.isfinite(age)
        assert known.any()
        assert np.all((age[known] > 7) & (age[known] < 10.3))
        assert np.all((half[known] > 0) & (half[known] < 17.8))
