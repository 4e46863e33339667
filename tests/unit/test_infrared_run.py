"""`phangs-jwst` on a cube with HST and NIRCam mosaics: found by name, in MJy/sr, some of them missing."""

import numpy as np
import pytest
from nircam_mosaics import RATIOS, write_infrared_folder

from napari_sfh.cli import main
from napari_sfh.io.results import read_result
from napari_sfh.types import Flag

pytestmark = pytest.mark.usefixtures("page_at_once")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_infrared_folder(tmp_path_factory.mktemp("jwst") / "MOCK")


def test_a_folder_with_some_nircam_mosaics_runs(folder, tmp_path, capsys):
    assert main(["info", str(folder), "--model", "phangs-jwst"]) == 0
    told = capsys.readouterr().out
    assert "F335M" in told
    out = tmp_path / "out.fits"
    assert main(["run", str(folder), "--model", "phangs-jwst", "--ebv-mw", "0", "--output", str(out), "--quiet"]) == 0
    result = read_result(out)
    used = dict(zip(result.data.bands, result.data.phot_mask.T, strict=True))
    assert {band for band, mask in used.items() if mask.any()} == {"F336W", "F438W", "F555W", "F814W", *RATIOS}
    assert ((result.data.flag & int(Flag.MISSING_BAND)) > 0).all()
    optical = result.data.phot[:, result.data.bands.index("F814W")]
    for band, ratio in RATIOS.items():
        infrared = result.data.phot[:, result.data.bands.index(band)]
        np.testing.assert_allclose(infrared / optical, ratio, rtol=0.04, err_msg=band)
    for name in ("lg_age_mw", "lg_age_lw", "mh_mw", "mh_lw", "ebv"):
        assert np.isfinite(result.prediction.quantiles[name]).all()


def test_named_files_need_not_lie_together(folder, tmp_path):
    cube, image = (next(folder.glob(pattern)) for pattern in ("*DATACUBE*", "*f200w*"))
    out = tmp_path / "out.fits"
    given = ["--cube", str(cube), "--photometry", f"F200W={image}", "--model", "phangs-jwst", "--kinematics", "0,60"]
    assert main(["run", *given, "--ebv-mw", "0", "--target-snr", "80", "--output", str(out), "--quiet"]) == 0
    result = read_result(out)
    assert [b for b, mask in zip(result.data.bands, result.data.phot_mask.T, strict=True) if mask.any()] == ["F200W"]


def test_weights_without_these_bands_leave_the_mosaics_out(folder, capsys):
    assert main(["info", str(folder), "--model", "wide"]) == 0
    assert "F335M is unknown to the network" in capsys.readouterr().out
