"""docs/results/bagpipes.md: galaxies that another group's code made, read by `wide`. No number is typed in.

python docs/make_bagpipes.py [NUMBER]      # bagpipes has to be there, too: pip install --no-deps bagpipes==1.3.6

bagpipes (Carnall et al. 2018, MNRAS 480, 4379) draws the spectra and bands, this package does the rest as for any cube:
kinematics, rest frame, encoding. Spectra go through a cube file, bands are put beside the spectra that came out of it.
"""

from __future__ import annotations

import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

import napari_sfh
from napari_sfh.model.bundle import Bundle
from napari_sfh.model.inference import predict_histories
from napari_sfh.physics.ages import AGE_EDGES_GYR
from napari_sfh.physics.means import MEAN_NAMES, compute_population_means
from napari_sfh.physics.quantities import QUANTITIES
from napari_sfh.types import Observation, Prediction

PAGE = Path(__file__).parent / "results" / "bagpipes.md"
REDSHIFT, SNR, BAND_ERROR, SEED = 0.0025, 35.0, 0.03, 1
#: Angstrom, observed.
WAVE_AA = np.arange(4750.0, 7100.0, 1.25)
#: bagpipes samples its spectra at this resolving power, twice: its default of 1000 makes pixels of 150 km/s.
SAMPLING = {"fine": 5000.0, "bagpipes' default": 1000.0}
SOLAR_MH = float(np.log10(0.02 / 0.019))  # its solar metallicity, and ours
Array = NDArray[np.floating]

HEAD = """# Galaxies by bagpipes

Made by `python docs/make_bagpipes.py {n}`; weights `wide` (sha256 {sha}), bagpipes {version}. No such galaxy was used
to make the weights, to choose or to calibrate them: histories, dust, gas and spectra are those of bagpipes (Carnall et
al. 2018); its stars are BC03-MILES, which the weights know.

{n} galaxies: delayed, double power law, log-normal, or old with a constant recent rate; one metallicity
each, 0.13 to 2 times solar; Calzetti et al. (2000) or Charlot & Fall (2000) dust, A_V 0 to 1.2 mag, one to three times
as much in birth clouds (`eta`); log U -3.5 to -2.3; dispersions of 40 to 150 km/s. S/N {snr:g} a pixel, bands to
{band:.0%}. Everything else is as for any cube: kinematics are fitted, nothing is told.

Each cell: median bias in dex / standard deviation / share of truths inside the 68 % interval.
"""


@dataclass(frozen=True)
class Galaxies:
    """N noiseless galaxies and what they are made of."""

    flux: Array  # (N, W) over its mean at 5300-5500 AA at rest
    phot: Array  # (N, B) likewise
    mass: Array  # (N, 16) shares of the mass formed
    mh: Array  # (N,)
    av: Array  # (N,) mag
    eta: Array  # (N,) dust of birth clouds over the rest


def draw_components(kind: str, metallicity: float, rng: np.random.Generator) -> dict[str, dict[str, float]]:
    """A history of bagpipes."""
    about = {"massformed": 10.0, "metallicity": metallicity}
    if kind == "delayed":
        return {"delayed": {"age": rng.uniform(1, 13), "tau": rng.uniform(0.3, 6), **about}}
    if kind == "dblplaw":
        slopes = {"alpha": 10 ** rng.uniform(-0.5, 2), "beta": 10 ** rng.uniform(-0.5, 2)}
        return {"dblplaw": {"tau": rng.uniform(1, 12), **slopes, **about}}
    if kind == "lognormal":
        return {"lognormal": {"tmax": rng.uniform(1, 13), "fwhm": rng.uniform(1, 10), **about}}
    recent = {"age_max": 10 ** rng.uniform(-1.5, 0.3), "age_min": 0.0, "massformed": 10 - rng.uniform(0.5, 2.5)}
    old = {"age": rng.uniform(5, 13), "tau": rng.uniform(0.2, 2), **about}
    return {"delayed": old, "constant": {**recent, "metallicity": metallicity}}


def simulate_galaxies(n: int, sampling: float, curves: list[str]) -> Galaxies:
    """Galaxies of bagpipes, the same ones at every sampling."""
    import bagpipes

    bagpipes.config.R_spec = sampling
    rng = np.random.default_rng(SEED)
    rest = WAVE_AA / (1 + REDSHIFT)
    window = (rest > 5300) & (rest < 5500)
    rows: list[tuple[Any, ...]] = []
    for number in range(n):
        metallicity = 10 ** rng.uniform(-0.9, 0.3)
        model: dict[str, Any] = draw_components(
            ("delayed", "dblplaw", "lognormal", "two")[number % 4], metallicity, rng
        )
        av, eta = rng.uniform(0, 1.2), float(rng.choice([1, 2, 3]))
        dust = {"type": "Calzetti"} if number // 4 % 2 else {"type": "CF00", "n": 0.7}
        model |= {"dust": {**dust, "Av": av, "eta": eta}, "nebular": {"logU": rng.uniform(-3.5, -2.3)}}
        model |= {"redshift": REDSHIFT, "veldisp": rng.uniform(40, 150), "t_bc": 0.01}
        made = bagpipes.model_galaxy(model, spec_wavs=WAVE_AA, filt_list=curves, phot_units="ergscma")
        formed = made.sfh.sfh * made.sfh.age_widths
        mass = np.histogram(made.sfh.ages, AGE_EDGES_GYR * 1e9, weights=formed)[0]
        norm = made.spectrum[window, 1].mean()
        mh = np.log10(metallicity) + SOLAR_MH
        rows.append((made.spectrum[:, 1] / norm, made.photometry / norm, mass / mass.sum(), mh, av, eta))
    return Galaxies(*(np.array(column) for column in zip(*rows, strict=True)))


def observe_galaxies(galaxies: Galaxies, folder: Path) -> Observation:
    """The spectra as a run sees them: each galaxy is a spaxel of a MUSE cube, and a bin."""
    rng = np.random.default_rng(SEED)
    n, columns = len(galaxies.flux), 10
    error = np.sqrt(np.clip(galaxies.flux, 0.05, None)) / SNR
    noisy = galaxies.flux + error * rng.standard_normal(error.shape)
    full = -(-n // columns) * columns
    images = []
    for values in (noisy, error**2):
        padded = np.full((full, WAVE_AA.size), np.nan, np.float32)
        padded[:n] = values
        images.append(padded.T.reshape(WAVE_AA.size, -1, columns))
    bins = np.where(np.arange(full) < n, np.arange(full) + 1, 0).astype(np.int32).reshape(-1, columns)
    axes = (
        {"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CTYPE3": "AWAV", "CUNIT1": "deg", "CUNIT2": "deg"}
        | {
            "CUNIT3": "Angstrom",
            "CRVAL1": 10.0,
            "CRVAL2": -5.0,
            "CRVAL3": WAVE_AA[0],
            "CRPIX1": 1.0,
            "CRPIX2": 1.0,
            "CRPIX3": 1.0,
        }
        | {"CD1_1": -5.6e-5, "CD2_2": 5.6e-5, "CD3_3": WAVE_AA[1] - WAVE_AA[0]}
    )
    unit = "10**(-17)*erg/s/cm**2/Angstrom"
    primary = fits.PrimaryHDU(header=fits.Header({"INSTRUME": "MUSE", "OBJECT": "bagpipes"}))
    data = fits.ImageHDU(images[0], fits.Header(axes | {"BUNIT": unit}), name="DATA")
    stat = fits.ImageHDU(images[1], fits.Header(axes | {"BUNIT": f"({unit})**2"}), name="STAT")
    fits.HDUList([primary, data, stat]).writeto(folder / "cube.fits", overwrite=True)
    fits.PrimaryHDU(bins).writeto(folder / "bins.fits", overwrite=True)
    config = napari_sfh.RunConfig(
        folder / "cube.fits", redshift=REDSHIFT, ebv_mw=0.0, binning=str(folder / "bins.fits"), draws=50
    )
    return napari_sfh.run(config).data


def add_bands(seen: Observation, galaxies: Galaxies) -> Observation:
    """Bands beside the spectra."""
    error = (BAND_ERROR * galaxies.phot).astype(np.float32)
    noise = np.random.default_rng(SEED + 1).standard_normal(error.shape)
    phot = (galaxies.phot + error * noise).astype(np.float32)
    return replace(seen, phot=phot, phot_error=error, phot_mask=np.ones(phot.shape, bool))


def format_row(label: str, found: Prediction, truth: dict[str, Array], rows: NDArray[np.bool_]) -> str:
    """A row of the table."""
    cells = []
    for name in MEAN_NAMES:
        error = found.median(name)[rows] - truth[name][rows]
        low, high = found.quantiles[name][rows, 1], found.quantiles[name][rows, 3]
        inside = np.mean((truth[name][rows] >= low) & (truth[name][rows] <= high))
        cells.append(f"{np.nanmedian(error):+.3f} / {np.nanstd(error):.3f} / {inside:.0%}")
    warned = np.mean(found.ood[rows] > 1)
    return f"| {label} | {rows.sum()} | {' | '.join(cells)} | {warned:.0%} |"


def list_rows(bundle: Bundle, seen: Observation, galaxies: Galaxies, whole: bool) -> list[str]:
    """Rows of all galaxies, and of classes where ``whole`` is not all that is asked."""
    assert bundle.basis is not None
    mh = np.repeat(galaxies.mh[:, None], galaxies.mass.shape[1], axis=1)
    means = compute_population_means(galaxies.mass, bundle.basis.light_from_mass(galaxies.mass, mh), mh)
    truth = {name: np.asarray(means[name]) for name in MEAN_NAMES}
    age, everything = truth["lg_age_lw"], np.ones(len(mh), bool)
    found = predict_histories(add_bands(seen, galaxies), bundle)
    rows = [format_row("all", found, truth, everything)]
    if whole:
        return rows
    rows.append(format_row("spectrum alone", predict_histories(seen, bundle), truth, everything))
    classes = {
        "LW age below 10<sup>8.7</sup>": age < 8.7,
        "to 10<sup>9.6</sup>": (age >= 8.7) & (age < 9.6),
        "older": age >= 9.6,
    }
    classes |= {
        f"A_V {low:g} to {low + 0.4:g}": (galaxies.av >= low) & (galaxies.av < low + 0.4) for low in (0, 0.4, 0.8)
    }
    classes |= {f"birth clouds {eta:g} times": galaxies.eta == eta for eta in (1, 2, 3)}
    return rows + [format_row(label, found, truth, chosen) for label, chosen in classes.items()]


def main(n: int) -> None:
    """Write the page."""
    import bagpipes

    bundle = napari_sfh.load_bundle("wide")
    version = getattr(bagpipes, "__version__", "1.3.6")
    text = HEAD.format(n=n, sha=bundle.sha256[:12], version=version, snr=SNR, band=BAND_ERROR)
    titles = " | ".join(QUANTITIES[name].title for name in MEAN_NAMES)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        curves = []
        for curve in bundle.basis.filters:
            curves.append(str(folder / f"{curve.name}.txt"))
            np.savetxt(curves[-1], np.column_stack([curve.wave_aa, curve.throughput]))
        for label, sampling in SAMPLING.items():
            galaxies = simulate_galaxies(n, sampling, curves)
            rows = list_rows(bundle, observe_galaxies(galaxies, folder), galaxies, label != "fine")
            text += f"\n## Sampled at R = {sampling:g} ({label})\n\n| galaxies | number | {titles} | warned |\n"
            text += "|" + "---|" * 7 + "\n" + "\n".join(rows) + "\n"
    text += (
        "\nThe second table is what not to do: at its default, bagpipes resamples the stars to pixels of some 2.8 Å\n"
        "first, which blurs lines and indices. No network can know; set `bagpipes.config.R_spec` before you compare.\n"
    )
    PAGE.write_text(text, encoding="utf8")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 200)
