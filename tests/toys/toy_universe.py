"""A made-up universe in milliseconds: analytic templates, data and weights for any instrument and targets.

For tests of everything that needs a bundle but not its accuracy. Old stars are red, with metal lines that deepen with
age and [M/H]; young ones are blue, with Balmer lines, Halpha in emission.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from napari_sfh.instruments.files import load_instrument
from napari_sfh.instruments.instrument import Instrument
from napari_sfh.model.bundle import save_bundle
from napari_sfh.model.encoding import FeatureSettings
from napari_sfh.model.posterior import FlowConfig
from napari_sfh.model.sfh_model import ModelConfig, SfhModel
from napari_sfh.model.targets import HistoryTargets, Targets
from napari_sfh.physics.ages import LG_AGE_YR, N_AGE
from napari_sfh.physics.filters import Filter, compute_photometry_scale, measure_photometry_snr
from napari_sfh.physics.template_basis import TemplateBasis
from napari_sfh.training.simulator.labels import Labels
from napari_sfh.types import Observation

_MH = np.array([-1.5, -0.5, 0.0, 0.3])
_SED_AA = np.arange(1900.0, 10500.1, 40.0)
#: Middles of known filters that a toy has as Gaussians; other known filters are spread evenly.
_PIVOTS_AA = {"F275W": 2704.0, "F336W": 3355.0, "F438W": 4327.0, "F555W": 5308.0, "F814W": 8024.0}
_BALMER_AA = (4861.3, 6562.8)
_METALS_AA = (5010.0, 5175.0, 5270.0, 5335.0, 5709.0, 5893.0, 6230.0, 6497.0)


def _continuum(wave_aa: np.ndarray, lg_age_yr: float) -> np.ndarray:
    """Power law, blue when young; dimmer per mass with age."""
    slope = -2.5 + 0.75 * (lg_age_yr - 6.8)
    return 10 ** (-0.7 * (lg_age_yr - 10.0)) * (wave_aa / 5500.0) ** slope


def _absorption(lines: list[list[np.ndarray]], lg_age_yr: float, mh: float) -> np.ndarray:
    """Factor of absorption."""
    metal = 0.12 * (lg_age_yr - 6.5) / 3.5 * 10 ** (0.4 * mh)
    balmer = 0.35 * np.exp(-0.5 * ((lg_age_yr - 8.5) / 0.6) ** 2)
    depth = sum(metal * line for line in lines[0])
    depth = depth + sum(balmer * line for line in lines[1])
    return 1.0 - np.clip(depth, 0.0, 0.9)


def _line_profiles(wave_aa: np.ndarray) -> list[list[np.ndarray]]:
    """Lines of metals, and those of hydrogen, of depth 1."""
    return [
        [np.exp(-0.5 * ((wave_aa - w) / width) ** 2) for w in middles]
        for middles, width in ((_METALS_AA, 6.0), (_BALMER_AA, 9.0))
    ]


def make_toy_filters(instrument: Instrument) -> tuple[Filter, ...]:
    """The bands of an instrument as Gaussians, without any curve from a file."""
    evenly = np.linspace(3000.0, 9000.0, max(instrument.n_bands, 2))
    places = zip(instrument.bands, evenly, strict=False)
    middles = [band.centre_aa or _PIVOTS_AA.get(band.name, place) for band, place in places]
    curves = [np.arange(p - 400.0, p + 400.1, 20.0) for p in middles]
    return tuple(
        Filter.from_curve(band.name, "UVIS", w, np.exp(-0.5 * ((w - p) / 130.0) ** 2))
        for band, w, p in zip(instrument.bands, curves, middles, strict=True)
    )


def make_toy_basis(instrument: Instrument | None = None) -> TemplateBasis:
    """Analytic templates in the layout of the real ones, for muse-hst where no instrument is given."""
    instrument = instrument or load_instrument()
    wave_aa = instrument.wave_aa
    spectrum, sed = (
        np.array([[_continuum(w, a) * _absorption(lines, a, z) for z in _MH] for a in LG_AGE_YR])
        for w, lines in ((w, _line_profiles(w)) for w in (wave_aa, _SED_AA))
    )
    light_v = np.array([[10 ** (-0.7 * (a - 10.0)) * (1 - 0.1 * z) for z in _MH] for a in LG_AGE_YR])
    gas = sum(np.exp(-0.5 * ((wave_aa - w) / 4.0) ** 2) * f for w, f in ((4861.3, 300.0), (6562.8, 900.0)))
    young, young_sed = 0.7 * spectrum[0], 0.7 * sed[0]
    spectrum[0] *= 0.3
    sed[0] *= 0.3
    return TemplateBasis(
        mh=_MH,
        wave_aa=wave_aa,
        spectrum=spectrum.astype(np.float32),
        young=young.astype(np.float32),
        young_nebular=np.broadcast_to(gas, young.shape).astype(np.float32),
        sed_wave_aa=_SED_AA,
        sed=sed.astype(np.float32),
        young_sed=young_sed.astype(np.float32),
        young_nebular_sed=np.zeros_like(young_sed, dtype=np.float32),
        light_v=light_v.astype(np.float32),
        log_u=np.array(-3.0),
        filters=make_toy_filters(instrument),
        norm_pixels=instrument.norm_pixels,
    )


def make_toy_data(
    n: int, seed: int = 0, snr: float | tuple[float, float] = (10.0, 80.0), instrument: Instrument | None = None
) -> tuple[Observation, Labels]:
    """``n`` objects with random histories, Gaussian noise and all bands.

    Parameters
    ----------
    n, seed : int
    snr : float or (low, high)
        Per pixel; log-uniform between two values.
    instrument : Instrument, optional
        Default muse-hst.
    """
    rng = np.random.default_rng(seed)
    instrument = instrument or load_instrument()
    basis = make_toy_basis(instrument)
    mass = rng.gamma(0.4, size=(n, N_AGE)) * 10 ** (LG_AGE_YR - 10.0) + 1e-9
    mass /= mass.sum(1, keepdims=True)
    final = rng.uniform(-0.6, 0.25, n)
    formed = np.cumsum(mass[:, ::-1], axis=1)[:, ::-1]
    mh = (-1.2 + (final[:, None] + 1.2) * formed).astype(np.float32)
    tau_ism, tau_bc = rng.uniform(0, 0.8, n), np.exp(rng.uniform(np.log(0.1), np.log(4.0), n))
    flux, phot = basis.reconstruct(mass, mh, tau_ism, tau_bc)
    low, high = (snr, snr) if isinstance(snr, float | int) else snr
    value = np.exp(rng.uniform(np.log(low), np.log(high), n)).astype(np.float32)[:, None]
    data = _observe_toys(flux, phot, value, instrument, rng)
    labels = Labels.from_fractions(
        mass.astype(np.float32),
        basis.light_from_mass(mass, mh).astype(np.float32),
        mh,
        tau_ism=tau_ism.astype(np.float32),
        tau_bc=tau_bc.astype(np.float32),
        slope=np.full(n, -0.7, np.float32),
        lg_ml_v=basis.lg_ml_v(mass, mh).astype(np.float32),
        family=np.zeros(n, np.int32),
        family_names=("toy",),
    )
    return data, labels


def _observe_toys(
    flux: np.ndarray, phot: np.ndarray, snr: np.ndarray, instrument: Instrument, rng: np.random.Generator
) -> Observation:
    """Noise on spectra (N, W) at an S/N (N, 1) and on bands (N, B), normalised as the instrument says."""
    n = len(snr)
    error = (np.sqrt(np.maximum(flux, 0.02)) / snr).astype(np.float32)
    noisy = flux + error * rng.standard_normal(flux.shape, dtype=np.float32)
    phot_error = ((0.03 if instrument.spectrum else 1.0 / snr) * phot).astype(np.float32)
    norm = noisy[:, instrument.norm_pixels].mean(1, keepdims=True) if instrument.spectrum else np.ones((n, 1))
    seen = phot + phot_error * rng.standard_normal(phot.shape)
    mask = seen > 0
    scale = norm
    if instrument.photometry_norm != "spectrum":
        scale = compute_photometry_scale(seen, mask, instrument.photometry_norm, instrument.band_names)[:, None]
    return Observation(
        flux=(noisy / norm).astype(np.float32),
        error=(error / norm).astype(np.float32),
        mask=np.ones(flux.shape, bool),
        phot=(seen / scale).astype(np.float32),
        phot_error=(phot_error / scale).astype(np.float32),
        phot_mask=mask,
        norm_cgs=np.full(n, np.nan),
        snr=snr[:, 0] if instrument.spectrum else measure_photometry_snr(seen, phot_error, mask).astype(np.float32),
        v_kms=np.zeros(n, np.float32),
        sigma_kms=np.full(n, 60.0, np.float32),
        flag=np.zeros(n, np.int32),
        instrument=instrument,
        redshift=np.zeros(n, np.float32) if instrument.takes_redshift else None,
    )


def make_toy_config() -> ModelConfig:
    """A network of a few thousand weights."""
    small = {"stem_channels": 2, "components": 8, "width": 32, "hidden": 32, "blocks": 1, "photometry": 8}
    return ModelConfig("stem", {**small, "latent": 8, "decoder": 24}, FlowConfig(2, (16,), 4), 6, 2)


def make_toy_metadata(name: str = "toy") -> dict[str, object]:
    """Metadata that say what this is."""
    return {
        "name": name,
        "summary": "random weights, for tests",
        "code_version": "0",
        "features": FeatureSettings().to_json(),
        "filters": {},
        "libraries": {},
        "prior": {"name": "toy"},
        "training": {},
        "evaluation": {},
        "card": f"# {name}\n\nRandom weights on made-up templates: for tests, never for science.\n",
    }


def write_toy_bundle(
    path: str | Path,
    seed: int = 0,
    instrument: Instrument | None = None,
    targets: Targets | None = None,
    **metadata: object,
) -> Path:
    """Write a bundle with random weights on the made-up templates: ``load_bundle(path)`` reads it.

    Default are muse-hst and histories; ``metadata`` join those of `make_toy_metadata`.
    """
    import torch

    instrument, targets = instrument or load_instrument(), targets or HistoryTargets()
    basis = make_toy_basis(instrument)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = SfhModel(make_toy_config(), instrument, targets, basis)
    kept = basis if targets.n_age else None
    return save_bundle(path, model, instrument, basis.filters, kept, make_toy_metadata() | metadata)
