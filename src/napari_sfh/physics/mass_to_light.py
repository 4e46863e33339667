"""Mass formed and intrinsic V-band light of age bins, one from the other; for NumPy arrays and torch tensors.

Light of an age bin = mass formed in it times L(age bin, [M/H]), its V-band light per mass formed. L is linear in [M/H]
between the metallicities of the templates, and constant beyond them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from array_api_compat import array_namespace, is_torch_array

from napari_sfh.arrays import AnyArray


def find_bracket(nodes: AnyArray, x: AnyArray) -> tuple[Any, Any]:
    """Place values between neighbouring nodes, for linear interpolation that is constant outside.

    Parameters
    ----------
    nodes : array (n,)
        Increasing; NumPy or torch.
    x : array (...)
        Values, of the same library (NumPy: anything that it takes for an array, in float64).

    Returns
    -------
    index : integer array (...)
        Lower neighbour, at most n - 2.
    share : array (...)
        Of the upper neighbour, 0 to 1.

    Examples
    --------
    >>> index, share = find_bracket(np.array([-1.0, 0.0, 0.5]), [-0.25, 9.0])
    >>> index.tolist(), share.tolist()
    ([0, 1], [0.75, 1.0])
    """
    if not is_torch_array(x):
        x = np.asarray(x, dtype=np.float64)
    xp = array_namespace(nodes, x)
    values = x.clip(nodes[0], nodes[-1])  # xp.clip of array-api-compat writes through masks: slow, and a device waits
    index = (xp.searchsorted(nodes, values, side="right") - 1).clip(0, nodes.shape[0] - 2)
    return index, (values - nodes[index]) / (nodes[index + 1] - nodes[index])


def interpolate_light_v(light_v: AnyArray, grid_mh: AnyArray, mh: AnyArray) -> Any:
    """V-band light per mass formed at [M/H] of each age bin.

    Parameters
    ----------
    light_v : array (A, Z)
        Solar V luminosities per Msun formed.
    grid_mh : array (Z,)
        [M/H] of its columns, dex, increasing.
    mh : array (..., A)
        [M/H], dex.

    Returns
    -------
    array (..., A)
    """
    if not is_torch_array(mh):
        mh = np.asarray(mh, dtype=np.float64)
    # The light at the first metallicity and what is gained on the way up: nothing is looked up, every layout is read in
    # its own order.
    light = light_v[:, 0] + 0.0 * mh
    for k in range(grid_mh.shape[0] - 1):
        width = grid_mh[k + 1] - grid_mh[k]
        way = (mh - grid_mh[k]).clip(0.0, width)
        way *= (light_v[:, k + 1] - light_v[:, k]) / width
        light += way
    return light


def light_from_mass(mass_frac: AnyArray, light_per_mass: AnyArray) -> Any:
    """Fractions of the light from fractions of the mass formed.

    Parameters
    ----------
    mass_frac : array or tensor (..., A)
        Summing to one.
    light_per_mass : array or tensor (..., A)
        V-band light per mass formed, solar units: `interpolate_light_v`.

    Returns
    -------
    array or tensor (..., A)
        Summing to one.
    """
    light = mass_frac * light_per_mass
    return light / light.sum(-1)[..., None]


def mass_from_light(light_frac: AnyArray, light_per_mass: AnyArray) -> Any:
    """Fractions of the mass formed from fractions of the light, the inverse of `light_from_mass`.

    Parameters
    ----------
    light_frac : array or tensor (..., A)
        Summing to one.
    light_per_mass : array or tensor (..., A)
        V-band light per mass formed, solar units: `interpolate_light_v`.

    Returns
    -------
    array or tensor (..., A)
        Summing to one.
    """
    mass = light_frac / light_per_mass
    return mass / mass.sum(-1)[..., None]


def lg_mass_to_light(mass_frac: AnyArray, light_per_mass: AnyArray) -> Any:
    """Ratio of the mass formed to the V-band light of a population.

    Parameters
    ----------
    mass_frac : array or tensor (..., A)
        Fractions of the mass formed.
    light_per_mass : array or tensor (..., A)
        V-band light per mass formed, solar units: `interpolate_light_v`.

    Returns
    -------
    array or tensor (...)
        log10 of solar units.
    """
    light = (mass_frac * light_per_mass).sum(-1)
    return -array_namespace(light).log10(light)
