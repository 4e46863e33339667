"""Blends of two libraries, and a prior that draws from them."""

from dataclasses import replace

import numpy as np
import pytest
from synthetic_toys import toy_source, toy_templates

from napari_sfh.errors import SfhInputError
from napari_sfh.training.prior.prior_config import Blends
from napari_sfh.training.simulator.library_blends import blend_libraries, blend_templates
from napari_sfh.training.simulator.simulation import prepare_prior_from_templates, simulate_objects


def other_library():
    """Twice as bright, and known over a shorter range of metallicity."""
    first = toy_templates()
    provenance = dict(first.provenance) | {"name": "other"}
    mh = np.linspace(first.mh[0] + 0.2, first.mh[-1] - 0.1, first.mh.size)
    return replace(first, mh=mh, spectrum=2 * first.spectrum, light_v=2 * first.light_v, provenance=provenance)


def test_ends_are_the_libraries_themselves():
    first, other = toy_templates(), other_library()
    mixed = blend_templates(first, other, 0.0)
    assert (mixed.mh[0], mixed.mh[-1]) == pytest.approx((other.mh[0], other.mh[-1]))
    at = [int(np.argmin(np.abs(first.mh - z))) for z in mixed.mh[1:-1]]
    np.testing.assert_allclose(mixed.spectrum[1:-1], first.spectrum[at], rtol=1e-6)
    np.testing.assert_allclose(blend_templates(first, other, 1.0).light_v[0], other.light_v[0], rtol=1e-6)


@pytest.mark.parametrize(("share", "factor"), [(0.5, 1.5), (1.25, 2.25), (-0.25, 0.75), (-5.0, 0.1)])
def test_a_share_beyond_either_goes_on_but_stays_positive(share, factor):
    first = toy_templates()
    brighter = replace(first, spectrum=2 * first.spectrum)
    np.testing.assert_allclose(blend_templates(first, brighter, share).spectrum, factor * first.spectrum, rtol=1e-5)


def test_a_prior_draws_the_asked_share_of_blends():
    first, other = toy_templates(), other_library()
    config = replace(toy_source().config, libraries={"toy": 3.0, "other": 1.0}, blends=Blends(n=4, share=0.6))
    source = prepare_prior_from_templates(config, [first, other])
    assert source.shares == pytest.approx([0.3, 0.1, 0.15, 0.15, 0.15, 0.15])
    assert len(source.libraries) == 6
    data, labels, _ = simulate_objects(source, np.random.default_rng(1), 64)
    assert np.isfinite(data.flux).all()
    assert np.isfinite(labels.lg_ml_v).all()


def test_blends_change_a_priors_digest_and_need_two_libraries():
    config = toy_source().config
    with_blends = replace(config, blends=Blends())
    assert with_blends.sha256 not in (config.sha256, replace(config, blends=Blends(n=13)).sha256)
    with pytest.raises(SfhInputError, match="two"):
        blend_libraries([toy_templates()], Blends())
