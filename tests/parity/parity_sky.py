"""A galaxy whose truth is analytic at every velocity, dispersion and seeing, painted into files in PHANGS dress.

Templates are smooth continua with Gaussian lines, so one and the same star-formation history has an exact spectrum
both as the training sees it (at rest, MUSE line-spread function, 150 km/s) and as the telescope does (redshifted,
rotating, with the stars' own dispersion). The sky is a sum of Gaussian blobs, exact behind any Gaussian PSF. The
painter shares no code with `prep`, and of `training.simulator.forward_model` only what it is compared with.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS
from muse_hst import BANDS, MUSE_HST, NORM_PIXELS, STEP_AA, WAVE_AA
from toy_universe import make_toy_basis

from napari_sfh.instruments.line_spread import MUSE_LSF
from napari_sfh.physics.lsf import FWHM_PER_SIGMA
from napari_sfh.physics.wavelength import C_KMS
from napari_sfh.training.libraries import age_grid
from napari_sfh.training.libraries.resampling import choose_sed_edges
from napari_sfh.training.libraries.templates import Templates
from napari_sfh.training.prior.sampling import ObjectParameters
from napari_sfh.training.simulator import forward_model
from napari_sfh.types import BinMap, Observation

REDSHIFT = 0.0048
MUSE_WAVE = 4749.88 + 1.25 * np.arange(2100)
SPAXEL, HST_PIXEL, MUSE_FWHM, HST_FWHM = 0.2, 0.04, 0.92, 0.08
N_SPAXEL, N_HST = 24, 300
PHOTFLAM = dict(zip(BANDS, (3.2e-18, 1.3e-18, 6.7e-19, 1.8e-19, 1.5e-19)))
PHOTPLAM = dict(zip(BANDS, (2709.7, 3354.5, 4326.2, 5308.4, 8039.1)))
#: Variance of a spaxel's pixel over its flux, 1e-20 erg/s/cm2/AA.
GAIN = 12.0
GAS_KMS = 40.0

SED_EDGES_AA = choose_sed_edges(make_toy_basis().filters)
SED_WAVE_AA = 0.5 * (SED_EDGES_AA[1:] + SED_EDGES_AA[:-1])
_MH = np.array([-1.5, -0.5, 0.0, 0.3])
SUB_AGE_GYR = 0.5 * (age_grid.SUB_EDGES_GYR[1:] + age_grid.SUB_EDGES_GYR[:-1])
_LG_AGE = np.log10(SUB_AGE_GYR) + 9.0
_RNG = np.random.default_rng(11)
_LINES = np.sort(_RNG.uniform(4780.0, 7020.0, 60))
_STRENGTH = _RNG.uniform(0.2, 1.2, 60)
_GAS = np.array([4861.3, 4958.9, 5006.8, 6548.0, 6562.8, 6583.4, 6716.4, 6730.8])
#: Hbeta of the youngest stars, per Msun formed: equivalent widths like those of H II regions.
_GAS_LIGHT = 2e4
_GAS_RATIO = np.array([1.0, 0.3, 0.9, 0.3, 2.86, 0.9, 0.4, 0.3])


def _continuum(wave_aa):
    """(S, n) per Msun."""
    slope = -2.2 + 1.5 * (_LG_AGE - 6.8)
    return 10 ** (-0.7 * (_LG_AGE - 10.0))[:, None] * (wave_aa / 5500.0) ** slope[:, None]


def _widths():
    """Equivalent widths (Z, S, L) in Angstrom: deeper with age and metallicity."""
    age = np.clip((_LG_AGE - 6.5) / 3.7, 0.05, 1.0)
    return 10 ** (0.3 * _MH)[:, None, None] * age[None, :, None] * _STRENGTH


def _gaussians(rest_aa, centres, redshift, sigma_kms):
    """Unit lines (L, n) at rest wavelengths, seen through the line-spread function at redshift."""
    lsf = MUSE_LSF.fwhm_aa(centres * (1 + redshift)) / FWHM_PER_SIGMA / (1 + redshift)
    sigma = np.hypot(lsf, centres * sigma_kms / C_KMS)[:, None]
    return np.exp(-0.5 * ((rest_aa - centres[:, None]) / sigma) ** 2) / (np.sqrt(2 * np.pi) * sigma)


def toy_templates() -> Templates:
    """The analytic library laid out as the forward model wants it."""
    basis = make_toy_basis()
    line_flux = _widths() * _continuum(_LINES)  # (Z, S, L)
    muse = _continuum(WAVE_AA) - line_flux @ _gaussians(WAVE_AA, _LINES, 0.0, 150.0)
    sed = np.broadcast_to(_continuum(SED_WAVE_AA), (4, SUB_AGE_GYR.size, SED_WAVE_AA.size))
    n_ion = age_grid.N_ION
    lum = np.broadcast_to(_GAS_LIGHT * _GAS_RATIO * 10 ** (-0.3 * np.arange(n_ion))[:, None], (2, 2, n_ion, _GAS.size))
    return Templates(
        sub_edges_gyr=age_grid.SUB_EDGES_GYR,
        bin_of_sub=age_grid.BIN_OF_SUB,
        n_young=age_grid.N_YOUNG,
        n_ion=n_ion,
        mh=_MH,
        wave_aa=WAVE_AA,
        spectrum=muse.astype(np.float32),
        sed_edges_aa=SED_EDGES_AA,
        sed=sed.astype(np.float32),
        light_v=np.broadcast_to(_continuum(np.array([5500.0]))[:, 0], (4, SUB_AGE_GYR.size)).astype(np.float32),
        q_h=np.ones((4, SUB_AGE_GYR.size)),
        mh_gas=np.array([-1.5, 0.3]),
        log_u=np.array([-4.0, -2.0]),
        line_wave_aa=_GAS,
        line_lum=lum.astype(np.float32),
        cont_spectrum=np.zeros((2, 2, n_ion, WAVE_AA.size), np.float32),
        cont_sed=np.zeros((2, 2, n_ion, SED_EDGES_AA.size - 1), np.float32),
        instrument=MUSE_HST,
        filters=basis.filters,
        substitutes=basis.filters,
        provenance={"name": "analytic"},
        sha256="",
    )


@dataclass(frozen=True)
class Blob:
    """One component: a history behind dust, spread over the sky as a Gaussian."""

    x: float  # arcsec from the centre
    y: float
    sigma: float  # arcsec, before any PSF
    peak: float  # window flux density per spaxel, 1e-20 erg/s/cm2/AA, before any PSF
    ages_gyr: tuple[float, float]
    metal: int  # index of [M/H]
    tau_ism: float
    tau_bc: float

    @property
    def mass(self):
        """Mass formed in each sub-bin (S,)."""
        youngest, oldest = self.ages_gyr
        ages = 10.0 ** (_LG_AGE - 9.0)
        inside = (ages > youngest) & (ages < oldest)
        return inside / inside.sum()


BLOBS = (
    Blob(0.0, 0.0, 1.1, 900.0, (5.0, 13.0), 3, 0.1, 0.5),
    Blob(0.3, -0.2, 3.0, 250.0, (0.2, 6.0), 2, 0.3, 1.0),
    Blob(-1.1, 0.9, 0.35, 700.0, (0.0, 0.08), 2, 0.5, 1.2),
    Blob(1.3, 1.0, 0.5, 500.0, (0.05, 0.5), 1, 0.2, 0.3),
)


def params(sigma_kms) -> ObjectParameters:
    """The blobs as the training would draw them, for stars of a dispersion that prep takes to 150 km/s."""
    return ObjectParameters.single(
        np.array([b.mass for b in BLOBS]),
        np.array([np.full(SUB_AGE_GYR.size, _MH[b.metal]) for b in BLOBS]),
        mh_gas=0.0,
        tau_ism=np.array([b.tau_ism for b in BLOBS]),
        tau_bc=np.array([b.tau_bc for b in BLOBS]),
        gas_sigma_kms=np.sqrt(GAS_KMS**2 + 150.0**2 - sigma_kms**2),
        sigma_star_kms=sigma_kms,
        redshift=REDSHIFT,
    )


def spectrum(blob: Blob, rest_aa, redshift, sigma_kms, gas_kms):
    """Light of one Msun formed in a blob at rest wavelengths, through the LSF at ``redshift``."""
    young = SUB_AGE_GYR < 0.01
    parts = []
    for stars in (young, ~young):
        mass = blob.mass * stars
        lines = mass @ (_widths()[blob.metal] * _continuum(_LINES))
        parts.append(mass @ _continuum(rest_aa) - lines @ _gaussians(rest_aa, _LINES, redshift, sigma_kms))
    lum = _GAS_LIGHT * _GAS_RATIO * 10 ** (-0.3 * np.arange(age_grid.N_ION))[:, None]
    gas = {
        True: (blob.mass * young)[: age_grid.N_ION] @ lum,
        False: (blob.mass * ~young)[: age_grid.N_ION] @ lum,
    }
    lines = _gaussians(rest_aa, _GAS, redshift, gas_kms)

    def screen(wave, tau):
        return np.exp(-tau * (wave / 5500.0) ** -0.7)

    out = parts[0] * screen(rest_aa, blob.tau_bc) + parts[1]
    out = out * screen(rest_aa, blob.tau_ism)
    seen = (gas[True] * screen(_GAS, blob.tau_bc) + gas[False]) * screen(_GAS, blob.tau_ism)
    return out + seen @ lines


def light(blob: Blob, n: int, pixel: float, fwhm: float):
    """Share of the peak in each pixel (n, n) behind a PSF, East to the left."""
    axis = (np.arange(n) - (n - 1) / 2) * pixel
    total = blob.sigma**2 + (fwhm / FWHM_PER_SIGMA) ** 2
    r2 = (axis[None, :] - blob.x) ** 2 + (axis[:, None] - blob.y) ** 2
    return blob.sigma**2 / total * np.exp(-0.5 * r2 / total)


# --- what training would show the network ------------------------------------------------------------------------


def direct(bins: BinMap, v_kms, sigma_kms, phot_error) -> Observation:
    """The bins as simulated BinData: mixtures of the blobs by their light in the bin, from the forward model."""
    model = forward_model.build_forward_model(toy_templates())
    weight = np.zeros((bins.n_bins, len(BLOBS)))
    for k, blob in enumerate(BLOBS):
        share = light(blob, N_SPAXEL, SPAXEL, MUSE_FWHM) * blob.peak
        weight[:, k] = np.bincount(bins.bin_id.ravel(), share.ravel(), minlength=bins.n_bins + 1)[1:]
    norm = weight.sum(1)
    flux, phot = np.zeros((bins.n_bins, WAVE_AA.size)), np.zeros((bins.n_bins, len(BANDS)))
    for b in range(bins.n_bins):
        clean = forward_model.synthesise_objects(model, params(float(sigma_kms[b])))
        flux[b] = weight[b] @ clean.flux / norm[b]
        phot[b] = weight[b] @ clean.phot / norm[b]
    stretch = (1 + REDSHIFT) * np.exp(np.asarray(v_kms) / C_KMS)
    error = np.sqrt(GAIN * flux / norm[:, None] / stretch[:, None])
    ones = np.ones(bins.n_bins)
    return Observation(
        flux=flux.astype(np.float32),
        error=error.astype(np.float32),
        mask=np.ones(flux.shape, bool),
        phot=phot.astype(np.float32),
        phot_error=np.asarray(phot_error, np.float32),
        phot_mask=np.ones(phot.shape, bool),
        norm_cgs=norm * 1e-20,
        snr=(1 / np.sqrt((error[:, NORM_PIXELS] ** 2).mean(1))).astype(np.float32),
        v_kms=(v_kms * ones).astype(np.float32),
        sigma_kms=(sigma_kms * ones).astype(np.float32),
        flag=np.zeros(bins.n_bins, np.int32),
        instrument=MUSE_HST,
    )


# --- files as the archives ship them -----------------------------------------------------------------------------


def _wcs(n, pixel):
    wcs = WCS(naxis=2)
    wcs.wcs.ctype, wcs.wcs.cunit = ["RA---TAN", "DEC--TAN"], ["deg", "deg"]
    wcs.wcs.crval, wcs.wcs.crpix = [24.174, 15.783], [(n + 1) / 2] * 2
    wcs.wcs.cdelt = [-pixel / 3600, pixel / 3600]
    return wcs


def voronoi_regions(seed=2, n_regions=9):
    """Regions by the nearest of random seeds, 0.., with -1 in a corner."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:N_SPAXEL, :N_SPAXEL]
    seeds = rng.uniform(0, N_SPAXEL, (n_regions, 2))
    region = np.argmin((y[..., None] - seeds[:, 0]) ** 2 + (x[..., None] - seeds[:, 1]) ** 2, axis=-1)
    region[:4, :4] = -1
    return region.astype(float)


def paint(folder: Path, v_kms, sigma_kms) -> None:
    """Cube, MAPS and five mosaics with weights in ``folder``; kinematics are (ny, nx) maps."""
    _paint_cube(folder, v_kms, sigma_kms)
    _paint_maps(folder, v_kms, sigma_kms)
    model = forward_model.build_forward_model(toy_templates())
    phot = forward_model.synthesise_objects(model, params(60.0)).phot
    for k, band in enumerate(BANDS):
        _paint_mosaic(folder, band, phot[:, k])


def _norm(blob):
    return spectrum(blob, WAVE_AA, 0.0, 150.0, 150.0)[NORM_PIXELS].mean()


def _paint_cube(folder, v_kms, sigma_kms):
    flux = np.zeros((MUSE_WAVE.size, N_SPAXEL, N_SPAXEL))
    for v, sigma in np.unique(np.stack([v_kms.ravel(), sigma_kms.ravel()], 1), axis=0):
        where = (v_kms == v) & (sigma_kms == sigma)
        z = (1 + REDSHIFT) * np.exp(v / C_KMS) - 1
        for blob in BLOBS:
            shape = spectrum(blob, MUSE_WAVE / (1 + z), z, sigma, GAS_KMS) / _norm(blob)
            share = light(blob, N_SPAXEL, SPAXEL, MUSE_FWHM) * blob.peak
            flux[:, where] += shape[:, None] * share[where]
    header = _wcs(N_SPAXEL, SPAXEL).to_header()
    for old, new in (("PC1_1", "CD1_1"), ("PC2_2", "CD2_2")):
        header.pop(old, None)
        header[new] = header.pop(f"CDELT{old[2]}")
    header = dict(header) | {
        "CTYPE3": "AWAV",
        "CUNIT3": "Angstrom",
        "CRVAL3": MUSE_WAVE[0],
        "CRPIX3": 1.0,
        "CD3_3": STEP_AA,
    }
    data = header | {"BUNIT": "10**(-20)*erg/s/cm**2/Angstrom"}
    stat = header | {"BUNIT": "(10**(-20)*erg/s/cm**2/Angstrom)**2"}
    primary = fits.PrimaryHDU(header=fits.Header({"OBJECT": "NGC628", "INSTRUME": "MUSE"}))
    fits.HDUList(
        [
            primary,
            fits.ImageHDU(flux.astype(">f4"), fits.Header(data), name="DATA"),
            fits.ImageHDU((GAIN * flux).astype(">f4"), fits.Header(stat), name="STAT"),
        ]
    ).writeto(folder / f"NGC0628_PHANGS_DATACUBE_copt_{MUSE_FWHM}asec.fits")


def _paint_maps(folder, v_kms, sigma_kms):
    header = _wcs(N_SPAXEL, SPAXEL).to_header()
    images = {"BIN_ID": voronoi_regions(), "V_STARS": v_kms, "SIGMA_STARS": sigma_kms}
    for name in ("V_STARS", "SIGMA_STARS"):
        images[f"FORM_ERR_{name}"] = np.ones_like(v_kms)
    primary = fits.PrimaryHDU(header=fits.Header({"REDSHIFT": REDSHIFT, "OBJECT": "NGC628"}))
    hdus = [fits.ImageHDU(image, header, name=name) for name, image in images.items()]
    fits.HDUList([primary, *hdus]).writeto(folder / f"NGC0628_MAPS_copt_{MUSE_FWHM}asec.fits")


def _paint_mosaic(folder, band, phot):
    area = (HST_PIXEL / SPAXEL) ** 2
    rate = np.zeros((N_HST, N_HST))
    for blob, flux in zip(BLOBS, phot):
        rate += light(blob, N_HST, HST_PIXEL, HST_FWHM) * blob.peak * area * flux * 1e-20 / PHOTFLAM[band]
    header = _wcs(N_HST, HST_PIXEL).to_header()
    header = dict(header) | {
        "BUNIT": "ELECTRONS/S",
        "PHOTFLAM": PHOTFLAM[band],
        "PHOTPLAM": PHOTPLAM[band],
        "PHOTFNU": 0.0,
        "INSTRUME": "WFC3",
        "DETECTOR": "UVIS",
        "FILTER": band,
        "EXPTIME": 2000.0,
    }
    stem = f"hlsp_phangs-hst_hst_wfc3-uvis_ngc628mosaic_{band.lower()}_v1"
    fits.PrimaryHDU(rate.astype(">f4"), fits.Header(header)).writeto(folder / f"{stem}_exp-drc-sci.fits")
    error = np.sqrt(rate / 2000.0 + 0.002**2)
    fits.PrimaryHDU((error**-2).astype(">f4"), fits.Header(header)).writeto(folder / f"{stem}_err-drc-wht.fits")
