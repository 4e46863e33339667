"""Weights for an instrument taken up by one with further bands: at first the new bands change nothing.

The first layer that reads photometry gets a column of zeros for each value, mask and error of a new band; all other
weights are those of the network that knows fewer bands. Training then learns what the new bands add.
"""

from __future__ import annotations

import torch

from napari_sfh.errors import SfhInputError
from napari_sfh.instruments.instrument import Instrument
from napari_sfh.model.networks import StemNetwork
from napari_sfh.model.sfh_model import SfhModel

_SCALES = ("centre_photometry.mean", "centre_photometry.scale")
_FIRST_LAYER = "photometric.0.dense.weight"


def has_added_bands(known: Instrument, wanted: Instrument) -> bool:
    """Whether ``wanted`` is ``known`` with further bands: the same spectrum, norm and use of the redshift.

    Parameters
    ----------
    known : Instrument
        Of the weights.
    wanted : Instrument

    Returns
    -------
    bool
    """
    spectra = [one.spectrum.to_json() if one.spectrum else None for one in (known, wanted)]
    rest = [(one.photometry_norm, one.takes_redshift) for one in (known, wanted)]
    shared = {band.name: band.to_json() for band in wanted.bands}
    return (
        spectra[0] == spectra[1]
        and rest[0] == rest[1]
        and 0 < known.n_bands < wanted.n_bands
        and all(shared.get(band.name) == band.to_json() for band in known.bands)
    )


def extend_network(start: SfhModel, known: Instrument, model: SfhModel, wanted: Instrument) -> None:
    """Put the weights of ``start`` into the network of ``model``, in place.

    Parameters
    ----------
    start : SfhModel
    known : Instrument
        Of ``start``.
    model : SfhModel
        Of the same architecture and settings; the scales of its new bands are measured already.
    wanted : Instrument
        Of ``model``.

    Raises
    ------
    SfhInputError
        The architecture cannot take bands up.
    """
    if not isinstance(start.network, StemNetwork) or not isinstance(model.network, StemNetwork):
        raise SfhInputError("`start`: networks other than stem take up no further bands; train from the beginning")
    state, own = start.network.state_dict(), model.network.state_dict()
    place = [wanted.band_names.index(name) for name in known.band_names]
    for key in _SCALES:
        own[key][:, place] = state[key]
    # One scale per channel, as it is measured.
    own[_SCALES[1]][:] = state[_SCALES[1]][:, :1]
    n_old, n_new = known.n_bands, wanted.n_bands
    old, wide = state[_FIRST_LAYER], torch.zeros_like(own[_FIRST_LAYER])
    for channel in range(3):
        wide[:, [channel * n_new + k for k in place]] = old[:, channel * n_old : (channel + 1) * n_old]
    wide[:, 3 * n_new :] = old[:, 3 * n_old :]
    changed = {**{key: own[key] for key in _SCALES}, _FIRST_LAYER: wide}
    model.network.load_state_dict(state | changed)
    model.posterior.dust_default.copy_(start.posterior.dust_default)
