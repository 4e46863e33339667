"""Stars between libraries: mixtures of two template sets, so that a network meets more kinds of stars than there are.

A network that is trained on a few libraries learns to tell them apart, and then trusts details that real stars do not
share. A blend is T = T_a + w (T_b - T_a) of two libraries on the metallicities that both have, with w drawn evenly
from ``-beyond`` to 1 + ``beyond``: a star of neither, and for w outside 0-1 one that is stranger than both. No value
falls below a tenth of the fainter library's, so that nothing becomes negative.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sfh.digests import hash_parts
from napari_sfh.errors import SfhInputError
from napari_sfh.training.libraries.age_grid import interpolation_matrix
from napari_sfh.training.libraries.templates import Templates
from napari_sfh.training.prior.prior_config import Blends

_ON_STARS = ("spectrum", "sed", "light_v", "q_h")  # first axis: [M/H] of the stars
_ON_GAS = ("line_lum", "cont_spectrum", "cont_sed")  # the nebular grid, which all libraries share
_LEAST = 0.1


def blend_libraries(libraries: Sequence[Templates], settings: Blends) -> list[Templates]:
    """Blends of pairs of libraries, drawn by the settings' seed.

    Parameters
    ----------
    libraries : sequence of Templates
        At least two, for one instrument.
    settings : Blends
        Of the prior.

    Returns
    -------
    list of Templates
        ``settings.n`` of them, named after their parts.

    Raises
    ------
    SfhInputError
        Of fewer than two libraries.
    """
    if len(libraries) < 2:
        raise SfhInputError("[blends] needs at least two [libraries]; name another, or leave the section out")
    rng = np.random.default_rng([settings.seed, 4])
    pairs = [rng.choice(len(libraries), 2, replace=False) for _ in range(settings.n)]
    shares = rng.uniform(-settings.beyond, 1 + settings.beyond, settings.n)
    return [blend_templates(libraries[a], libraries[b], float(w)) for (a, b), w in zip(pairs, shares, strict=True)]


def blend_templates(first: Templates, second: Templates, share: float) -> Templates:
    """``first`` and ``share`` times what ``second`` differs from it, on the metallicities of both.

    Parameters
    ----------
    first, second : Templates
        For one instrument.
    share : float
        0 is ``first``, 1 is ``second``.
    """
    low, high = max(first.mh[0], second.mh[0]), min(first.mh[-1], second.mh[-1])
    inside = first.mh[(first.mh > low + 1e-6) & (first.mh < high - 1e-6)]
    mh = np.concatenate([[low], inside, [high]])
    at_first, at_second = interpolation_matrix(first.mh, mh), interpolation_matrix(second.mh, mh)
    arrays: dict[str, Any] = {}
    for key in (*_ON_STARS, *_ON_GAS):
        one, two = getattr(first, key), getattr(second, key)
        if key in _ON_STARS:
            one, two = np.tensordot(at_first, one, 1), np.tensordot(at_second, two, 1)
        arrays[key] = _mix(one, two, share).astype(getattr(first, key).dtype)
    names = [str(t.provenance["name"]) for t in (first, second)]
    provenance = dict(first.provenance) | {"name": f"{names[0]}{share:+.2f}({names[1]}-{names[0]})"}
    digest = hash_parts(f"{first.sha256} {second.sha256} {share!r}")
    return replace(first, mh=mh, provenance=provenance, sha256=digest, **arrays)


def _mix(first: NDArray[np.floating], second: NDArray[np.floating], share: float) -> NDArray[np.float64]:
    """The blend of two arrays, at least a tenth of the smaller value."""
    mixed = first + share * (np.asarray(second, np.float64) - first)
    return np.maximum(mixed, _LEAST * np.minimum(first, second))
