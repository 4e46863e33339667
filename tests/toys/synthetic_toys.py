"""Templates of the toy library, made once for all tests of the synthetic set."""

from functools import lru_cache

import pytest
from template_toys import no_download, toy_grid, toy_library

from napari_sfh.training.libraries import templates
from napari_sfh.training.prior.prior_config import load_prior
from napari_sfh.training.simulator import forward_model, simulation


@lru_cache
def toy_templates(instrument=None):
    """Prepared templates of the toy library for an instrument, muse-hst by default; no download."""
    with pytest.MonkeyPatch.context() as patch:
        no_download(patch)
        return templates.build_templates(toy_library(), instrument, toy_grid())


@lru_cache
def toy_model():
    return forward_model.build_forward_model(toy_templates())


@lru_cache
def toy_source(prior="tiny", instrument=None):
    """The prior ``tiny`` (or another) on the toy library, as an instrument sees it."""
    config = load_prior(prior)
    return simulation.prepare_prior_from_templates(config, [toy_templates(instrument)] * len(config.libraries))


def prepare_toy_templates(name, instrument=None, cache=None, folder=None):
    """In place of `templates.prepare_templates`: every name gives the toy templates."""
    return toy_templates(None if instrument is None or instrument.name == "muse-hst" else instrument)
