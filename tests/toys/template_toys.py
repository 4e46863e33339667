"""A made-up SSP library, nebular grid and dust whose every number is known, and box filters: no download."""

import numpy as np

from napari_sfh.physics.filters import Filter
from napari_sfh.training.libraries import filter_curves, templates
from napari_sfh.training.libraries.dust_emission import DustGrid
from napari_sfh.training.libraries.nebular import NebularGrid
from napari_sfh.training.libraries.ssp_library import make_ssp_library

WAVE = np.concatenate(
    [np.arange(100.0, 1900.0, 20.0), np.arange(1900.0, 11000.0, 0.9), np.arange(11000.0, 58001.0, 100.0)]
)
AGE_GYR = np.geomspace(0.0005, 16.0, 46)
MH = np.array([-1.0, 0.0, 0.3])
FWHM_AA = 2.5
LINE_AA = 6000.0
LINE_EW_AA = 10.0


def level(age_gyr, mh):
    """Lsun/AA per Msun of a toy SSP at any wavelength: linear in log age and in [M/H]."""
    return 1e-4 * (2.0 - np.log10(age_gyr)) * (1.0 + 0.2 * mh)


def toy_library(name="toy", ages=AGE_GYR, **changes):
    """Flat spectra with one emission line of the library's resolution at `LINE_AA`."""
    sigma = FWHM_AA / 2.3548
    shape = 1.0 + LINE_EW_AA * np.exp(-0.5 * ((WAVE - LINE_AA) / sigma) ** 2) / (sigma * np.sqrt(2 * np.pi))
    settings = {
        "isochrones": "toy",
        "imf": "toy",
        "citation": "none",
        "age_gyr": ages,
        "mh": MH,
        "wave_aa": WAVE,
        "fwhm_aa": np.full(WAVE.size, FWHM_AA),
        "spectrum": level(ages[None, :], MH[:, None])[..., None] * shape,
    }
    return make_ssp_library(name, **(settings | changes))


def toy_grid():
    """Gas that gives Halpha by case B from every ionising photon and a flat continuum, at any age and log U."""
    wave = np.arange(1900.0, 10500.0, 5.0)
    shape = (2, 3, 4)
    return NebularGrid(
        mh=np.array([-1.0, 0.3]),
        log_u=np.array([-4.0, -3.0, -2.0]),
        age_gyr=np.array([0.001, 0.003, 0.01, 0.03]),
        line_wave_aa=np.array([6562.8]),
        lines=np.full((*shape, 1), 1.37e-12 / 3.828e33),
        wave_aa=wave,
        continuum=np.full((*shape, wave.size), 1e-50),
        note="toy",
    )


def toy_dust():
    """Dust whose light is half a plateau, half a feature at 3.3 micrometres that grows with the PAH share.

    Everything is proportional to U; dust that sees the power law emits 14 times as much, without the feature.
    """
    wave = np.arange(1e4, 6e4, 20.0)
    q_pah, u_min = np.array([0.5, 2.5, 4.5]), np.array([0.1, 1.0, 10.0])
    plateau, feature = np.full(wave.size, 1.0 / np.ptp(wave)), np.exp(-0.5 * ((wave - 33000.0) / 300.0) ** 2) / 752.0
    alone = (0.5 + 0.1 * (4.5 - q_pah))[:, None] * plateau + (0.5 - 0.1 * (4.5 - q_pah))[:, None] * feature
    emission = np.stack([alone[:, None] * u_min[:, None], 14.0 * np.ones((3, 1, 1)) * plateau * u_min[:, None]])
    return DustGrid(q_pah, u_min, wave, emission, np.trapezoid(emission, wave, axis=-1))


def box(name, camera, lo, hi):
    return Filter.from_curve(name, camera, np.linspace(lo, hi, 50), np.ones(50))


#: Boxes of the known filters of muse-hst, Angstrom.
EDGES_AA = {
    "F275W UVIS": (2500, 3000),
    "F336W UVIS": (3100, 3600),
    "F438W UVIS": (4000, 4700),
    "F555W UVIS": (4700, 6200),
    "F814W UVIS": (7000, 9000),
    "F435W ACS": (4000, 4700),
    "F555W ACS": (4700, 6200),
    "F814W ACS": (7000, 9000),
    "F200W NIRCAM": (17600, 22200),
    "F300M NIRCAM": (28000, 31500),
    "F335M NIRCAM": (31800, 35500),
    "F360M NIRCAM": (35600, 38500),
}


def no_download(monkeypatch):
    """Replace the filters that would be read from packages by boxes, and the dust emission by the toy's."""
    monkeypatch.setattr(templates, "load_dust_grid", toy_dust)
    monkeypatch.setattr(
        filter_curves, "load_known_filter", lambda band, curve: box(band, curve.split()[1], *EDGES_AA[curve])
    )
    monkeypatch.setattr(filter_curves, "load_johnson_v_filter", lambda: box("V", "Johnson", 5000, 5900))
