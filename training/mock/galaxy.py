"""The mock spiral as functions on the sky: how much of which stars, gas and dust is where.

Offsets x, y are in arcsec from the centre (west is +x of the detector, north up); everything below is ours, made to
look like the centre of a PHANGS galaxy squeezed into 12 arcsec: an old metal-rich bulge, an exponential disc that gets
younger and poorer in metals outwards, two logarithmic arms with young stars and H II regions, dust in front and a lane
on the arms' inner side, a rising rotation curve and a dispersion that falls outwards. A foreground star
is added as light.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from napari_sfh.physics.ages import UNIVERSE_GYR, Z_SUN
from napari_sfh.training.prior.sampling import ObjectParameters
from napari_sfh.training.prior.star_formation import SFH_FAMILIES
from napari_sfh.types import F64

MOCK_REDSHIFT = 0.0025
#: Offset of the foreground star (arcsec) and its peak at 5400 AA over the galaxy's, both through the cube's PSF.
STAR_XY, STAR_FLUX = (3.9, 4.1), 0.4
INCLINATION_RAD, POSITION_ANGLE_RAD = np.radians(40.0), np.radians(35.0)
_PITCH = np.radians(22.0)
_ARM_START, _ARM_WIDTH = 1.3, 0.45  # arcsec
_N_CLUSTERS = 26


@dataclass(frozen=True)
class MockSkyPoints:
    """The galaxy at N points of the sky."""

    mass: F64  # (N, S) mass surface density formed, arbitrary unit
    params: ObjectParameters  # histories (normalised) and dust
    v_kms: F64  # (N,) line-of-sight velocity of stars and gas
    sigma_kms: F64  # (N,) stellar


def _deproject_to_disc(x: F64, y: F64) -> tuple[F64, F64]:
    """Radius (arcsec) and azimuth (rad, from the major axis) in the disc's plane."""
    along = x * np.cos(POSITION_ANGLE_RAD) + y * np.sin(POSITION_ANGLE_RAD)
    across = (-x * np.sin(POSITION_ANGLE_RAD) + y * np.cos(POSITION_ANGLE_RAD)) / np.cos(INCLINATION_RAD)
    return np.hypot(along, across), np.arctan2(across, along)


def _arm_distance(r: F64, phi: F64, shift: float = 0.0) -> F64:
    """Distance (arcsec, radial) to the nearer of two logarithmic spirals, moved inwards by ``shift``."""
    turn = np.log(np.maximum(r + shift, 0.05) / _ARM_START) / np.tan(_PITCH)
    angle = np.mod(phi - turn + np.pi / 2, np.pi) - np.pi / 2
    return np.abs(angle) * np.maximum(r, 0.05) * np.sin(_PITCH)


def compute_arm_profile(r: F64, phi: F64, width: float = _ARM_WIDTH, shift: float = 0.0) -> F64:
    """Profile of the arms, 0 to 1.

    Parameters
    ----------
    r : array (N,)
        Radius in the disc's plane, arcsec.
    phi : array (N,)
        Azimuth there, rad from the major axis.
    width : float
        Gaussian sigma, arcsec.
    shift : float
        Moved inwards by so many arcsec.
    """
    inner = 1 / (1 + np.exp(-(r - _ARM_START) / 0.25))
    return inner * np.exp(-0.5 * (_arm_distance(r, phi, shift) / width) ** 2)


def _sub_bin_masses(kind: str, edges_gyr: F64, **params: float) -> F64:
    """Masses (S,) of one history of `star_formation.SFH_FAMILIES`, summing to 1."""
    values = {k: np.array([v]) for k, v in params.items()}
    formed = SFH_FAMILIES[kind].formed(np.random.default_rng(0), edges_gyr, values, UNIVERSE_GYR)[0]
    return formed[:-1] - formed[1:]


def _draw_clusters(rng: np.random.Generator) -> tuple[F64, F64, F64, F64, F64]:
    """H II regions along the arms: x, y, size (arcsec), age (Gyr) and mass relative to the disc's central density."""
    r = rng.uniform(_ARM_START, 7.5, _N_CLUSTERS)
    phi = np.log(r / _ARM_START) / np.tan(_PITCH) + np.pi * rng.integers(0, 2, _N_CLUSTERS)
    r = r + rng.normal(0, 0.15, _N_CLUSTERS)
    along, across = r * np.cos(phi), r * np.sin(phi) * np.cos(INCLINATION_RAD)
    x = along * np.cos(POSITION_ANGLE_RAD) - across * np.sin(POSITION_ANGLE_RAD)
    y = along * np.sin(POSITION_ANGLE_RAD) + across * np.cos(POSITION_ANGLE_RAD)
    age = 10 ** rng.uniform(np.log10(0.0015), np.log10(0.012), _N_CLUSTERS)
    mass = 10 ** rng.uniform(-3.7, -2.8, _N_CLUSTERS) * np.exp(-r / 3.0)
    return x, y, rng.uniform(0.12, 0.3, _N_CLUSTERS), age, mass


def evaluate_mock_galaxy(x: F64, y: F64, edges_gyr: F64, mh_limits: tuple[float, float], seed: int) -> MockSkyPoints:
    """The galaxy at the offsets ``x``, ``y`` (N,) in arcsec; clusters are placed by ``seed``.

    Parameters
    ----------
    x, y : array (N,)
        Offsets from the centre, arcsec.
    edges_gyr : array (S + 1,)
        Lookback times, Gyr.
    mh_limits : (float, float)
        [M/H] that the library holds.
    seed : int
        Places the clusters.

    Returns
    -------
    MockSkyPoints
        Arrays (N, ...).
    """
    r, phi = _deproject_to_disc(x, y)
    arm = compute_arm_profile(r, phi)
    mass = _masses(x, y, r, arm, edges_gyr, seed)
    total = mass.sum(1, keepdims=True)
    lane = compute_arm_profile(r, phi, 0.22, shift=0.55)
    across = r * np.sin(phi)  # the near side of the disc dims what lies behind it
    tau_ism = 0.12 + 0.30 * np.exp(-r / 4.0) + 0.25 * arm + 1.1 * lane * np.exp(-r / 8.0)
    tau_ism *= 1 + 0.15 * np.tanh(across / 3.0)
    bulge = np.exp(-((r / 1.7) ** 2))
    params = ObjectParameters.single(
        mass,
        np.clip(_metallicity(r, edges_gyr), *mh_limits),
        tau_ism=tau_ism,
        tau_bc=np.full(r.shape, 0.8),
        lg_u=-3.0 + 0.2 * np.cos(2 * phi),
        escape=0.3,
        diffuse=0.3,
        diffuse_lg_u=-3.7,
        redshift=MOCK_REDSHIFT,
    )
    v = 120.0 * np.tanh(r / 1.5) * np.cos(phi)
    return MockSkyPoints(mass=params.mass * total, params=params, v_kms=v, sigma_kms=48.0 + 82.0 * bulge)


def _masses(x: F64, y: F64, r: F64, arm: F64, edges_gyr: F64, seed: int) -> F64:
    """Mass surface density (N, S): bulge, two discs, the younger one further out, arms, clusters."""
    bulge = _sub_bin_masses("delayed", edges_gyr, start_gyr=12.8, tau_gyr=0.4)
    old = _sub_bin_masses("delayed", edges_gyr, start_gyr=11.5, tau_gyr=1.4)
    young = _sub_bin_masses("delayed", edges_gyr, start_gyr=9.0, tau_gyr=3.2)
    recent = _sub_bin_masses("constant", edges_gyr, start_gyr=0.25, end=0.0)
    disc = 0.40 * np.exp(-r / 2.3)
    outer = np.clip(0.13 * (r - 0.7), 0.0, 0.9)
    amount = 5.5 * np.exp(-2.6 * (r / 0.8) ** 0.6)
    mass = amount[:, None] * bulge
    mass += (disc * (1 - outer))[:, None] * old + (disc * outer)[:, None] * young
    mass += (disc * 0.022 * arm * (1 - np.exp(-r / 2.0)))[:, None] * recent
    for cx, cy, size, age, content in zip(*_draw_clusters(np.random.default_rng(seed))):
        sub = int(np.searchsorted(edges_gyr, age, side="right")) - 1
        mass[:, sub] += content * np.exp(-0.5 * ((x - cx) ** 2 + (y - cy) ** 2) / size**2) * 0.09 / size**2
    return mass


def _metallicity(r: F64, edges_gyr: F64) -> F64:
    """[M/H] (N, S): a gradient of -0.045 dex per arcsec now, lower and flatter for older stars, high in the bulge."""
    age = 0.5 * (edges_gyr[1:] + edges_gyr[:-1])[None, :]
    now = (0.22 - 0.045 * r)[:, None]
    disc = np.log10(10**now * (1 - 0.75 * np.clip(age / 12.0, 0, 1) ** 0.8) + 0.0008 / Z_SUN)
    bulge = np.clip(0.20 - 0.055 * np.maximum(age - 9.0, 0.0), -0.6, None)
    share = np.exp(-((r / 1.4) ** 2))[:, None]
    return share * bulge + (1 - share) * disc
