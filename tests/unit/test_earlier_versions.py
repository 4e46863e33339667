"""Files that version 0.1.0 wrote at commit bb56859 still open, and weights that still ship give the same numbers.

The result files hold four bins of the demo galaxy: spectra and photometry as the network saw them, and what it said.
"""

from pathlib import Path

import numpy as np
import pytest

from napari_sfh.analysis.weights import load_result_bundle
from napari_sfh.errors import SfhInputError
from napari_sfh.io.results import read_result
from napari_sfh.io.workspaces import read_workspace
from napari_sfh.model.bundle import load_bundle
from napari_sfh.model.inference import predict_histories, reconstruct_observations
from napari_sfh.prep.rest_frame import reduced_chi2

DATA = Path(__file__).parents[1] / "data"
WEIGHTS = ("wide", "phangs")
#: Weights that were trained anew since.
RETRAINED = ("wide",)


@pytest.fixture(scope="module", params=WEIGHTS)
def kept(request):
    return read_result(DATA / f"bb56859_{request.param}_sfh.fits.gz")


def test_the_result_is_whole(kept):
    assert kept.name == "MOCK0001"
    assert kept.bins.n_bins == 4
    assert kept.data.mask.mean() > 0.9
    np.testing.assert_allclose(kept.prediction.mass_frac.sum(1), 1, atol=1e-5)
    assert kept.settings["target_snr"] == 35.0
    assert (kept.model_flux > 0).all()


def test_the_weights_say_the_same_again(kept):
    bundle = load_bundle(kept.model_name)
    if kept.model_name in RETRAINED:
        assert bundle.sha256 != kept.model_sha256
        with pytest.raises(SfhInputError, match="that made this result are not here"):
            load_result_bundle(kept)
        return
    assert bundle.sha256 == kept.model_sha256
    again = predict_histories(kept.data, bundle, device="cpu", draws=400)
    for name, before in kept.prediction.quantiles.items():
        np.testing.assert_allclose(again.quantiles[name], before, atol=1e-4, err_msg=name)
    for name in ("light_frac", "mass_frac", "mh", "ood", "latent"):
        np.testing.assert_allclose(getattr(again, name), getattr(kept.prediction, name), atol=1e-4, err_msg=name)
    flux, phot = reconstruct_observations(kept.data, again, bundle)
    np.testing.assert_allclose(flux, kept.model_flux, rtol=1e-4)
    np.testing.assert_allclose(phot, kept.model_phot, rtol=1e-4)
    np.testing.assert_allclose(reduced_chi2(kept.data, flux), kept.chi2, rtol=1e-3)


def test_the_workspace_opens():
    work = read_workspace(DATA / "bb56859_workspace.json")
    assert work.result == DATA / "bb56859_wide_sfh.fits.gz"
    assert work.n_bins == 4
    assert dict(work.session) == {"selected": 2, "compared": [1], "pinned": [3]}
    assert work.forms["binning"]["target_snr"] == 35.0
    assert {"gradient", "region", "compare"} <= set(work.tools)
