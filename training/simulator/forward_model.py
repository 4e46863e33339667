"""The forward model: from histories, dust and gas to noiseless spectra, band fluxes and labels.

Light of an object = sum over sub-bins of mass x template, linear in [M/H] between the library's metallicities, so that
all objects share one matrix product. Stars younger than 10 Myr, with the gas that they ionise, lie behind their birth
clouds; everything lies behind the diffuse dust (Charlot & Fall 2000). Gas: Cloudy lines and continuum of the ionising
sub-bins, bilinear in the gas's [M/H] and log U, less the escaping photons; diffuse gas is ionised by a further share of
photons, or by stars elsewhere (an equivalent width of Halpha), and lies outside the birth clouds. Lines are Gaussians
of the line-spread function and the gas's dispersion in quadrature (`ObjectParameters.gas_sigma_kms`).

Where an instrument has infrared bands, dust emits what it absorbs (`dust_heating`).

Photometry is linear in the coarse spectral energy distribution, lines added at their wavelengths; at redshift z the
filters see rest wavelengths l / (1 + z). The spectrum is divided by its mean flux in the instrument's window, the
photometry by what the instrument says (`normalise_objects`). An instrument may have no spectrum, or no bands.

Spectra are made where the model's templates lie (`ForwardModel.to`): by NumPy on the processor, or by torch on a
device.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sfh.instruments.instrument import REST_FRAME_REDSHIFT, Instrument, SpectrumGrid
from napari_sfh.physics.ages import N_AGE
from napari_sfh.physics.dust import DUST_PIVOT_AA, calzetti_curve, compute_power_law_curve, compute_screen_transmission
from napari_sfh.physics.filters import Filter, compute_photometry_scale, filter_weight_matrix
from napari_sfh.physics.lines import HALPHA_AA
from napari_sfh.physics.lsf import FWHM_PER_SIGMA
from napari_sfh.physics.mass_to_light import find_bracket
from napari_sfh.physics.wavelength import C_KMS
from napari_sfh.training.libraries.templates import Templates
from napari_sfh.training.prior.sampling import ObjectParameters
from napari_sfh.training.simulator import array_backend
from napari_sfh.training.simulator.array_backend import NUMPY_BACKEND, ArrayBackend, LargeArray
from napari_sfh.training.simulator.dust_heating import compute_dust_light
from napari_sfh.training.simulator.labels import Labels, derive_fine_lg_age, derive_formation_labels
from napari_sfh.types import F32, F64

#: Largest step between the redshifts from which the bands' weights are interpolated.
_Z_STEP = 0.01
#: Share of the templates' nodes below which those that have no mass are left out of a product.
_WORTH_LEAVING_OUT = 0.8
#: Air wavelengths in Angstrom of hydrogen and helium lines, which recombination fixes; other lines may scatter.
_RECOMBINATION_AA = np.array(
    [
        923.15, 926.23, 930.75, 937.80, 949.74, 972.54, 1025.72, 1215.67, 1640.4,
        3797.9, 3835.4, 3889.1, 3970.1, 4101.7, 4340.5, 4471.5, 4685.7, 4861.3, 5875.6, 6562.8, 6678.2, 7065.2,
        10830.2, 10938.1, 12818.1, 17362.1, 18174.1, 18751.0, 19445.6, 21655.3, 26251.5, 30383.7, 32960.9, 37395.4,
        40511.5, 46525.1, 51272.6,
    ]
)  # fmt: skip
#: Pairs of one ion, stronger line first. Atomic physics fixes the ratio of those that leave one level ([Ne III],
#: [O III], [O I], [N II], [Ar III], [S III]); that of [O II] and [S II] follows the density, alike in H II regions.
_PAIRS_AA = (
    (3868.8, 3967.5),
    (5006.8, 4958.9),
    (6300.3, 6363.8),
    (6583.4, 6548.1),
    (7135.8, 7751.1),
    (9530.6, 9068.6),
    (3728.8, 3726.0),
    (6716.4, 6730.8),
)


@dataclass(frozen=True)
class ForwardModel:
    """Templates laid out for matrix products; made once per library. Rows of (Z x S) vary S fastest."""

    templates: Templates
    old: tuple[LargeArray, LargeArray]  # spectrum (Z * S_old, W), sed (Z * S_old, K): stars older than 10 Myr
    young: tuple[LargeArray, LargeArray]  # the same of the younger ones
    gas: tuple[
        LargeArray, LargeArray, LargeArray
    ]  # cont_spectrum (G, U, I, W), cont_sed (G, U, I, K), line_lum (G, U, I, L)
    redshifts: F64  # (V,) from 0 to the instrument's largest, between which what follows is interpolated
    band_weights: LargeArray  # (V, K, B) of the instrument's bands
    substitute_weights: LargeArray  # (V, K, B) with other cameras' bands where the instrument names them
    line_response: LargeArray  # (V, L, B) <f_lambda> per Lsun of a line
    substitute_response: LargeArray
    metal_line: NDArray[np.bool_]  # (L,)
    scatter_of: NDArray[np.int_]  # (L,) whose scatter a line shares: its own, or its pair's; see `_PAIRS_AA`
    dust_law: str = "power"  # power or calzetti, see `physics.dust`
    lg_ml_offset: float = 0.0  # added to lg_ml_v: from this library's mass scale to the set's
    arrays: ArrayBackend = NUMPY_BACKEND  # where the arrays called Large lie, and so the spectra that are made of them

    def to(self, target: ArrayBackend) -> ForwardModel:
        """The same model for spectra made elsewhere."""

        def moved(*large: LargeArray) -> Any:
            return tuple(target.put(self.arrays.take(a)) for a in large)

        keys = ("band_weights", "substitute_weights", "line_response", "substitute_response")
        weights = moved(*(getattr(self, key) for key in keys))
        return replace(
            self,
            old=moved(*self.old),
            young=moved(*self.young),
            gas=moved(*self.gas),
            **dict(zip(keys, weights, strict=True)),
            arrays=target,
        )

    @property
    def instrument(self) -> Instrument:
        """What the spectra are made for."""
        return self.templates.instrument

    @property
    def has_substitutes(self) -> bool:
        """Whether other cameras may stand in for some bands."""
        return any(band.substitute for band in self.instrument.bands)

    @property
    def mh_limits(self) -> tuple[float, float]:
        """[M/H] range of the stars."""
        return float(self.templates.mh[0]), float(self.templates.mh[-1])


@dataclass(frozen=True)
class NoiselessObjects:
    """Spectra and band fluxes of N objects before noise, normalised as the instrument says."""

    flux: LargeArray  # (N, W), where the model's templates lie
    phot: F32  # (N, B)
    labels: Labels
    params: ObjectParameters
    instrument: Instrument


def build_forward_model(templates: Templates) -> ForwardModel:
    """Lay templates out for the matrix products of `synthesise_objects`."""
    y = templates.n_young
    own, others = templates.filters, templates.substitutes
    largest = max(templates.instrument.redshift_max, REST_FRAME_REDSHIFT)
    redshifts = np.linspace(0.0, largest, 1 + int(np.ceil(largest / _Z_STEP - 1e-9)))
    near = np.abs(templates.line_wave_aa[:, None] - _RECOMBINATION_AA).min(1)
    return ForwardModel(
        templates=templates,
        old=(_flatten_nodes(templates.spectrum[:, y:]), _flatten_nodes(templates.sed[:, y:])),
        young=(_flatten_nodes(templates.spectrum[:, :y]), _flatten_nodes(templates.sed[:, :y])),
        gas=(templates.cont_spectrum, templates.cont_sed, templates.line_lum),
        redshifts=redshifts,
        band_weights=_band_weights(own, redshifts, templates.sed_wave_aa),
        substitute_weights=_band_weights(others, redshifts, templates.sed_wave_aa),
        line_response=_line_response(own, redshifts, templates.line_wave_aa),
        substitute_response=_line_response(others, redshifts, templates.line_wave_aa),
        metal_line=near > 1.5,
        scatter_of=_shared_scatter_index(templates.line_wave_aa),
    )


def _shared_scatter_index(line_aa: F64) -> NDArray[np.int_]:
    """Number of the line whose scatter each line shares."""
    shared = np.arange(line_aa.size)
    for strong, weak in _PAIRS_AA:
        both = [int(np.argmin(np.abs(line_aa - wave))) for wave in (strong, weak)]
        if all(abs(line_aa[k] - wave) < 0.5 for k, wave in zip(both, (strong, weak), strict=True)):
            shared[both[1]] = both[0]
    return shared


def _flatten_nodes(array: F32) -> F32:
    return np.ascontiguousarray(array.reshape(math.prod(array.shape[:-1]), array.shape[-1]), dtype=np.float32)


def _filter_at_redshift(band: Filter, z: float) -> Filter:
    return replace(band, wave_aa=band.wave_aa / (1 + z), pivot_aa=band.pivot_aa / (1 + z))


def _band_weights(bands: tuple[Filter, ...], redshifts: F64, wave_aa: F64) -> F32:
    """Weights (V, K, B) that take an SED to band fluxes at some redshifts."""
    per_z = [filter_weight_matrix(tuple(_filter_at_redshift(b, z) for b in bands), wave_aa) for z in redshifts]
    return np.stack(per_z).astype(np.float32)


def _line_response(bands: tuple[Filter, ...], redshifts: F64, line_aa: F64) -> F32:
    """Photon-counting <f_lambda> of a line of unit luminosity, (V, L, B): T(l) l / int T l dl."""
    out = np.zeros((redshifts.size, line_aa.size, len(bands)))
    for i, z in enumerate(redshifts):
        for j, band in enumerate(_filter_at_redshift(b, z) for b in bands):
            total = np.trapezoid(band.throughput * band.wave_aa, band.wave_aa)
            at = np.interp(line_aa, band.wave_aa, band.throughput, left=0.0, right=0.0)
            out[i, :, j] = at * line_aa / total
    return out.astype(np.float32)


def _mass_on_template_grid(mass: F64, mh: F64, grid: F64) -> F32:
    """Mass of each object on the templates' (Z, S) grid: (N, Z, S)."""
    n, s = mass.shape
    left, share = find_bracket(grid, mh)
    out = np.zeros((n, grid.size, s), np.float32)
    place = left * s
    place += np.arange(n)[:, None] * (grid.size * s) + np.arange(s)
    flat = out.reshape(-1)
    flat[place] = mass * (1 - share)
    place += s
    flat[place] = mass * share
    return out


def _add_nebular_emission(
    model: ForwardModel, light: EmittedLight, mass: F64, mh_gas: F64, lg_u: F64, first: int = 0
) -> None:
    """Add gas ionised by ``mass`` (N, m) of the sub-bins from ``first`` on, before all dust, to light in place.

    Objects in one cell of the grid need its four corners and no other node: each cell has a product of its own.
    """
    t, xp, (n, m) = model.templates, model.arrays, mass.shape
    (g, wg), (u, wu) = find_bracket(t.mh_gas, mh_gas), find_bracket(t.log_u, lg_u)
    cell = g * t.log_u.size + u
    order = np.argsort(cell, kind="stable")
    upper_u = 1 + bool(wu.any())
    corners = (np.stack([1 - wg, wg], 1)[:, :, None] * np.stack([1 - wu, wu], 1)[:, None, :upper_u])[order]
    weights = xp.put((corners[..., None] * mass[order][:, None, None]).reshape(n, -1))
    place, starts = xp.put(order), np.flatnonzero(np.diff(cell[order], prepend=-1))
    for start, stop in zip(starts, [*starts[1:], n]):
        low_g, low_u = g[order[start]], u[order[start]]
        for out, grid in zip((light.spectrum, light.sed, light.lines), model.gas, strict=True):
            nodes = grid[low_g : low_g + 2, low_u : low_u + upper_u, first : first + m].reshape(weights.shape[1], -1)
            for rows in xp.split_rows(stop - start) if out.shape[1] else ():
                out[place[start:stop][rows]] += weights[start:stop][rows] @ nodes


def _dim_by_dust(
    model: ForwardModel, params: ObjectParameters, wave_aa: F64, young: LargeArray, old: LargeArray
) -> None:
    """Put young light (N, n) behind birth clouds, and both behind the diffuse dust; ``old`` becomes their sum."""
    xp, slope = model.arrays, params.slope
    lg_ratio = xp.put(np.log(wave_aa / DUST_PIVOT_AA))
    if model.dust_law == "calzetti":
        common = xp.put(calzetti_curve(wave_aa)[None])
    else:
        common = compute_power_law_curve(lg_ratio, xp.put(slope[:1])) if np.all(slope == slope[0]) else None
    for rows in xp.split_rows(params.n):
        curve = compute_power_law_curve(lg_ratio, xp.put(slope[rows])) if common is None else common
        part, total = young[rows], old[rows]
        part *= compute_screen_transmission(curve, xp.put(params.tau_bc[rows]))
        total += part
        total *= compute_screen_transmission(curve, xp.put(params.tau_ism[rows]))


def synthesise_objects(
    model: ForwardModel,
    params: ObjectParameters,
    rng: np.random.Generator | None = None,
    substituted: NDArray[np.bool_] | None = None,
) -> NoiselessObjects:
    """Spectra, band fluxes and labels of ``params``, without noise.

    Parameters
    ----------
    model : ForwardModel
    params : ObjectParameters
    rng : numpy Generator, optional
        For the scatter of single lines; without it there is none.
    substituted : boolean array (N,), optional
        Objects whose bands come from other cameras, where the instrument names any.

    Returns
    -------
    NoiselessObjects
        Spectra at the instrument's line-spread function and dispersion, normalised by `normalise_objects`.
    """
    weights, instrument = _mass_on_template_grid(params.mass, params.mh, model.templates.mh), model.instrument
    light = compute_emitted_light(model, params, rng, weights=weights)
    flux = light.spectrum
    if instrument.spectrum is not None:
        line_aa = model.templates.line_wave_aa
        add_emission_lines(flux, light.lines, line_aa, params.gas_sigma_kms, params.gas_v_kms, instrument.spectrum)
    phot = compute_band_fluxes(model, light, params.redshift, substituted)
    flux, phot = normalise_objects(flux, phot, instrument)
    return NoiselessObjects(flux, phot, compute_labels(model, params, weights), params, instrument)


def normalise_objects(flux: LargeArray, phot: LargeArray, instrument: Instrument) -> tuple[LargeArray, F32]:
    """Spectra over their mean in the instrument's window, and band fluxes over the same or over their own norm.

    Parameters
    ----------
    flux : array or tensor (N, W)
    phot : array or tensor (N, B)
    instrument : Instrument

    Returns
    -------
    flux : array or tensor (N, W)
    phot : array (N, B)
        On the host.
    """
    xp = array_backend.find_backend(flux)
    if instrument.spectrum is not None:
        mean = flux[:, xp.put(np.flatnonzero(instrument.norm_pixels))].mean(1)[:, None]
        if instrument.photometry_norm == "spectrum":
            return flux / mean, xp.take(phot / mean)
        flux = flux / mean
    seen = xp.take(phot)
    scale = compute_photometry_scale(seen, np.ones(seen.shape, bool), instrument.photometry_norm, instrument.band_names)
    return flux, (seen / scale[:, None]).astype(np.float32)


@dataclass(frozen=True)
class EmittedLight:
    """Light of N objects behind their dust, per Msun formed: continuum on both grids (Lsun/AA) and lines (Lsun)."""

    spectrum: LargeArray  # (N, W), without lines; empty where it was not asked for
    sed: LargeArray  # (N, K), without lines
    lines: LargeArray  # (N, L)


def compute_emitted_light(
    model: ForwardModel,
    params: ObjectParameters,
    rng: np.random.Generator | None = None,
    with_spectrum: bool = True,
    weights: F32 | None = None,
) -> EmittedLight:
    """Light that leaves the objects.

    Parameters
    ----------
    model : ForwardModel
    params : ObjectParameters
    rng : numpy Generator, optional
        For the scatter of single lines; without it there is none.
    with_spectrum : bool
        False leaves the fine grid out: photometry alone does not need it.
    weights : array (N, Z, S), optional
        Mass of each object on the templates' grid, where it is known.
    """
    t, xp = model.templates, model.arrays
    if weights is None:
        weights = _mass_on_template_grid(params.mass, params.mh, t.mh)
    young = _add_up_stars(model, model.young, weights[:, :, : t.n_young], with_spectrum)
    light = _add_up_stars(model, model.old, weights[:, :, t.n_young :], with_spectrum)
    _add_gas(model, params, weights, young, light)
    dust = t.dust if np.any(params.q_pah > 0) else None
    if dust is not None:
        step = xp.put(np.diff(t.sed_edges_aa))
        absorbed = young.sed @ step + light.sed @ step + (young.lines + light.lines).sum(1)
    if with_spectrum:
        _dim_by_dust(model, params, t.wave_aa, young.spectrum, light.spectrum)
    _dim_by_dust(model, params, t.sed_wave_aa, young.sed, light.sed)
    _dim_by_dust(model, params, t.line_wave_aa, young.lines, light.lines)
    if dust is not None:
        absorbed -= light.sed @ step + light.lines.sum(1)
        light.sed[:] += compute_dust_light(xp, dust, params, absorbed)
    if rng is not None:
        light.lines[:] *= xp.put(_line_scatter(rng, params, model))
    return light


def _add_up_stars(
    model: ForwardModel, nodes: tuple[LargeArray, LargeArray], weights: F32, with_spectrum: bool
) -> EmittedLight:
    """Light of mass (N, Z, m) on the nodes' grid, before all dust; without lines."""
    xp, n = model.arrays, len(weights)
    mass = weights.reshape(n, -1)
    used = mass.max(0) > 0
    if used.mean() < _WORTH_LEAVING_OUT:
        mass, nodes = mass[:, used], tuple(grid[xp.put(used)] for grid in nodes)
    mass = xp.put(mass)
    spectrum = mass @ nodes[0] if with_spectrum else xp.zeros((n, 0))
    return EmittedLight(spectrum, mass @ nodes[1], xp.zeros((n, model.templates.line_wave_aa.size)))


def _add_gas(
    model: ForwardModel, params: ObjectParameters, weights: F32, young: EmittedLight, old: EmittedLight
) -> None:
    """Add emission inside birth clouds to young light and that outside them to old, before all dust."""
    t = model.templates
    mass = params.mass[:, : t.n_ion]
    kept = mass * (1 - params.escape)[:, None]
    _add_nebular_emission(model, young, kept[:, : t.n_young], params.mh_gas, params.lg_u)
    _add_nebular_emission(model, old, kept[:, t.n_young :], params.mh_gas, params.lg_u, first=t.n_young)
    diffuse = mass * params.diffuse[:, None]
    if np.any(params.diffuse_ew_aa > 0):
        diffuse[:, : t.n_young] += _diffuse_mass_of_halpha_ew(model, params, weights)
    if np.any(diffuse > 0):
        _add_nebular_emission(model, old, diffuse, params.mh_gas, params.diffuse_lg_u)


def _diffuse_mass_of_halpha_ew(model: ForwardModel, params: ObjectParameters, weights: F32) -> F64:
    """Young mass (N, m), at a constant rate, whose gas has the equivalent width of Halpha that diffuse gas has.

    Stars elsewhere ionise it: its emission counts, their own light does not.
    """
    t = model.templates
    one = np.diff(t.sub_edges_gyr[: t.n_young + 1]) / t.sub_edges_gyr[t.n_young]
    halpha = int(np.argmin(np.abs(t.line_wave_aa - HALPHA_AA)))
    (g, wg), (u, wu) = find_bracket(t.mh_gas, params.mh_gas), find_bracket(t.log_u, params.diffuse_lg_u)
    grid = t.line_lum[:, :, : t.n_young, halpha] @ one
    low, high = (grid[g + k, u] * (1 - wu) + grid[g + k, u + 1] * wu for k in (0, 1))
    near = np.abs(t.sed_wave_aa - HALPHA_AA) < 50
    stars = weights.reshape(params.n, -1) @ _flatten_nodes(t.sed[:, :, near]).mean(1)
    return (params.diffuse_ew_aa * stars / (low * (1 - wg) + high * wg))[:, None] * one


def _line_scatter(rng: np.random.Generator, params: ObjectParameters, model: ForwardModel) -> F32:
    """Factors (N, L) by which metal lines depart from the grid; the lines of a pair do so together."""
    scatter = rng.standard_normal((params.n, model.metal_line.size)) * params.line_scatter_dex[:, None]
    return np.where(model.metal_line, 10 ** scatter[:, model.scatter_of], 1.0).astype(np.float32)


def add_emission_lines(
    flux: LargeArray, lines: LargeArray, line_aa: F64, sigma_kms: F64, v_kms: F64, grid: SpectrumGrid
) -> None:
    """Add Gaussian lines to spectra on the grid of an instrument, in place.

    Parameters
    ----------
    flux : array (N, W)
        Per Angstrom.
    lines : array (N, L)
        Luminosities, per object and line.
    line_aa : array (L,)
        Air wavelengths.
    sigma_kms, v_kms : arrays (N,)
        Dispersion, to which the line-spread function is added, and velocity.
    grid : SpectrumGrid
    """
    xp, wave_aa = array_backend.find_backend(flux), grid.wave_aa
    lsf = grid.lsf.fwhm_aa(line_aa) / FWHM_PER_SIGMA
    sigma = np.hypot(lsf, line_aa * sigma_kms[:, None] / C_KMS).astype(np.float32)
    centre = (line_aa * (1 + v_kms[:, None] / C_KMS)).astype(np.float32)
    reach = 5.0 * sigma.max(0).astype(float) + np.abs(centre - line_aa).max(0)
    first = np.maximum(np.searchsorted(wave_aa, line_aa - reach, side="right") - 1, 0)
    last = np.minimum(np.searchsorted(wave_aa, line_aa + reach) + 1, wave_aa.size)
    wave = xp.put(wave_aa)
    width, middle, area = xp.put(sigma), xp.put(centre), xp.put(sigma * np.float32(np.sqrt(2 * np.pi)))
    for k in np.flatnonzero((line_aa + reach > wave_aa[0]) & (line_aa - reach < wave_aa[-1])):
        lo, hi, column = first[k], last[k], slice(k, k + 1)
        x = (wave[lo:hi] - middle[:, column]) / width[:, column]
        flux[:, lo:hi] += (lines[:, column] / area[:, column]) * xp.exp(-0.5 * x * x)


def compute_band_fluxes(
    model: ForwardModel, light: EmittedLight, redshift: F64, substituted: NDArray[np.bool_] | None = None
) -> LargeArray:
    """Mean flux densities <f_lambda> of objects in the instrument's bands.

    Parameters
    ----------
    model : ForwardModel
    light : EmittedLight
        Of N objects, behind their dust.
    redshift : array (N,)
    substituted : boolean array (N,), optional
        Objects that are seen with the other camera's filters.

    Returns
    -------
    array (N, B)
        In the unit of the light; B = 0 without bands.
    """
    xp = model.arrays
    if not model.instrument.bands:
        return xp.zeros((len(redshift), 0))
    at_rest = not np.any(redshift > 0)
    node, upper = find_bracket(model.redshifts, redshift)
    share = xp.put(upper)[:, None]

    def bands(weights: LargeArray, response: LargeArray) -> LargeArray:
        if at_rest:
            return light.sed @ weights[0] + light.lines @ response[0]
        out = None
        for k in np.unique(node):
            low, high = (light.sed @ weights[j] + light.lines @ response[j] for j in (k, k + 1))
            between = low * (1 - share) + high * share
            out = between if out is None else xp.where(xp.put(node == k)[:, None], between, out)
        return out

    phot = bands(model.band_weights, model.line_response)
    if substituted is not None and substituted.any():
        others = bands(model.substitute_weights, model.substitute_response)
        phot = xp.where(xp.put(substituted)[:, None], others, phot)
    return phot


def sum_per_age_bin(values: F64, templates: Templates) -> F64:
    """Sums over the sub-bins of each age bin.

    Parameters
    ----------
    values : array (N, S)
    templates : Templates

    Returns
    -------
    array (N, A)
    """
    return np.add.reduceat(values, np.searchsorted(templates.bin_of_sub, np.arange(N_AGE)), axis=1)


def compute_sub_bin_light_v(templates: Templates, params: ObjectParameters, weights: F32 | None = None) -> F64:
    """Intrinsic V-band light of each sub-bin.

    Parameters
    ----------
    templates : Templates
    params : ObjectParameters
        N objects.
    weights : array (N, Z, S), optional
        As of `compute_emitted_light`.

    Returns
    -------
    array (N, S)
        Solar luminosities per Msun formed in all.
    """
    if weights is None:
        weights = _mass_on_template_grid(params.mass, params.mh, templates.mh)
    return np.einsum("nzs,zs->ns", weights, templates.light_v).astype(np.float64)


def compute_labels(model: ForwardModel, params: ObjectParameters, weights: F32 | None = None) -> Labels:
    """The truth on the age bins.

    Parameters
    ----------
    model : ForwardModel
    params : ObjectParameters
        N objects.
    weights : array (N, Z, S), optional
        As of `compute_emitted_light`.

    Returns
    -------
    Labels
        Arrays (N,) and (N, A).
    """
    t = model.templates
    light = compute_sub_bin_light_v(t, params, weights)
    mass = sum_per_age_bin(params.mass, t)
    # A trace of uniform mass gives empty bins the metallicity that the law has there.
    trace = params.mass + 1e-9 * np.diff(t.sub_edges_gyr)
    mh = sum_per_age_bin(trace * params.mh, t) / sum_per_age_bin(trace, t)
    total = light.sum(1)
    return Labels.from_fractions(
        mass.astype(np.float32),
        (sum_per_age_bin(light, t) / total[:, None]).astype(np.float32),
        mh.astype(np.float32),
        tau_ism=params.tau_ism.astype(np.float32),
        tau_bc=params.tau_bc.astype(np.float32),
        slope=params.slope.astype(np.float32),
        lg_ml_v=(-np.log10(total) + model.lg_ml_offset).astype(np.float32),
        family=params.family,
        family_names=params.family_names,
        formation_gyr=derive_formation_labels(params.mass, t.sub_edges_gyr),
        lg_age=derive_fine_lg_age(params.mass, t.sub_edges_gyr),
    )


def lg_ml_offset(templates: Templates, reference: Templates) -> float:
    """log10 of the factor from one library's mass scale to another's: V light of solar metallicity, 1-10 Gyr.

    Parameters
    ----------
    templates : Templates
        The library whose masses are to be converted.
    reference : Templates
        The library on whose scale they are wanted.
    """

    def lg_light(t: Templates) -> F64:
        middle = 0.5 * (t.sub_edges_gyr[1:] + t.sub_edges_gyr[:-1])
        z = int(np.argmin(np.abs(t.mh)))
        return np.log10(t.light_v[z, (middle > 1.0) & (middle < 10.0)].astype(np.float64))

    return float(np.median(lg_light(templates) - lg_light(reference)))
