"""Draw the figures of docs/method/templates.md from the stock libraries: ``python docs/plot_templates.py``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from napari_sfh.instruments.files import load_instrument
from napari_sfh.physics import filters
from napari_sfh.physics.lines import HALPHA_AA
from napari_sfh.training.libraries import bc03, emiles, fetch, filter_curves, nebular, resampling, templates
from napari_sfh.training.libraries.basis import make_template_basis

SPECTRUM = load_instrument("muse-hst").spectrum
WAVE_AA, NORM_PIXELS = SPECTRUM.wave_aa, SPECTRUM.norm_pixels
OUTPUT = Path(__file__).parent / "templates"
AGES_GYR = (0.003, 0.02, 0.1, 0.5, 2.0, 10.0)
SHADES = ("#3b0f70", "#8c2981", "#de4968", "#fe9f6d", "#5ec962", "#21918c")
BAND_COLOURS = ("#4b2a9b", "#3f6fd8", "#2aa3c4", "#4f9d3a", "#c0392b")


def sheet(rows: int, columns: int, size: tuple[float, float]) -> tuple[Figure, np.ndarray]:
    """A figure without pyplot and its axes."""
    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots(rows, columns, squeeze=False)


def solar(t: templates.Templates) -> int:
    """Index of the metallicity nearest to solar."""
    return int(np.argmin(np.abs(t.mh)))


def sub_middle(t: templates.Templates) -> np.ndarray:
    """Middles of the age sub-bins in Gyr."""
    return 0.5 * (t.sub_edges_gyr[1:] + t.sub_edges_gyr[:-1])


def sed_middles(t: templates.Templates) -> np.ndarray:
    """Middles of the SED's bins, Angstrom."""
    return 0.5 * (t.sed_edges_aa[1:] + t.sed_edges_aa[:-1])


def plot_spectra(axes: Axes, ours: templates.Templates, other: templates.Templates) -> None:
    """Solar SSPs of both libraries on the network's grid."""
    for offset, (age, colour) in enumerate(zip(AGES_GYR, SHADES)):
        for t, style in ((other, {"color": "0.6", "lw": 2.0}), (ours, {"color": colour, "lw": 0.8})):
            spectrum = t.weights_of_age(age) @ t.spectrum[solar(t)]
            axes.plot(WAVE_AA, spectrum / spectrum[NORM_PIXELS].mean() + 0.75 * offset, **style)
        axes.text(7010, 0.75 * offset + 0.8, f"{age * 1e3:g} Myr", color=colour, fontsize=8, clip_on=False)
    axes.set(xlabel="wavelength [Å, air]", ylabel="flux / mean of 5300-5500 Å + offset", xlim=(4800, 7000))
    axes.set_title("stars, solar, MUSE resolution and 150 km/s: BC03-MILES over E-MILES (grey)", fontsize=9)


def plot_nebula(axes: Axes, t: templates.Templates) -> None:
    """Constant star formation over 10 Myr with its nebula, at three ionisation parameters."""
    stars, old = make_template_basis(t).young[solar(t)], solar(t)
    axes.plot(WAVE_AA, stars / stars[NORM_PIXELS].mean(), color="0.3", lw=0.8, label="stars only")
    for log_u, colour in zip((-3.5, -3.0, -2.0), SHADES[1:4]):
        basis = make_template_basis(t, log_u)
        total = basis.young[old] + basis.young_nebular[old]
        axes.plot(
            WAVE_AA, total / stars[NORM_PIXELS].mean(), color=colour, lw=0.8, label=f"with gas, log U = {log_u:g}"
        )
    axes.set(xlabel="wavelength [Å, air]", ylabel="relative flux", yscale="log", xlim=(4800, 7000))
    axes.set_title("stars of 0-10 Myr and their nebulae, solar, BC03-MILES", fontsize=9)
    axes.legend(fontsize=7)


def plot_halpha(axes: Axes, t: templates.Templates) -> None:
    """Halpha per ionising photon against case B."""
    halpha = int(np.argmin(np.abs(t.line_wave_aa - HALPHA_AA)))
    age = sub_middle(t)[: t.n_ion] * 1e3
    for g, colour in zip(range(t.mh_gas.size), SHADES):
        rate = np.array([np.interp(t.mh_gas[g], t.mh, q) for q in t.q_h[:, : t.n_ion].T])
        for u in (2, 4):
            ratio = t.line_lum[g, u, :, halpha] * nebular.L_SUN_ERG_S / rate
            label = f"[M/H] {t.mh_gas[g]:+.2f}" if u == 2 else None
            axes.plot(age, ratio * 1e12, color=colour, ls="-" if u == 2 else "--", lw=1, label=label)
    axes.axhline(nebular.CASE_B_ERG * 1e12, color="k", lw=0.8, ls=":")
    axes.set(xscale="log", xlabel="age [Myr]", ylabel=r"$L({\rm H}\alpha)/Q_{\rm H}$ [$10^{-12}$ erg]", ylim=(0.6, 1.7))
    axes.set_title(r"H$\alpha$ per ionising photon: log U -3 (line), -2 (dashed); case B dotted", fontsize=9)
    axes.legend(fontsize=7, ncols=2)


def plot_mass_to_light(axes: Axes, *libraries: templates.Templates) -> None:
    """Mass formed over V light against age."""
    for t, style in zip(libraries, ("-", "--")):
        for z, colour in ((0, SHADES[0]), (solar(t), SHADES[2])):
            name = f"{t.provenance['name']}, [M/H] {t.mh[z]:+.2f}"
            axes.plot(sub_middle(t) * 1e3, 1 / t.light_v[z], color=colour, ls=style, lw=1, label=name)
    axes.axvline(63.1, color="0.7", lw=0.8)
    axes.set(xscale="log", yscale="log", xlabel="age [Myr]", ylabel=r"mass formed / $L_V$ [solar]")
    axes.set_title("mass-to-light ratio; E-MILES (Salpeter) is joined to BC03 at 63 Myr", fontsize=9)
    axes.legend(fontsize=7)


def plot_colours(axes: Axes, *libraries: templates.Templates) -> None:
    """HST colours of solar SSPs against age."""
    for t, style in zip(libraries, ("-", "--")):
        flux = t.sed[solar(t)] @ filters.filter_weight_matrix(t.filters[:5], sed_middles(t))
        mag = np.stack([filters.ab_mag(band, f) for band, f in zip(t.filters, flux.T)], axis=1)
        for blue, red, colour in ((0, 3, SHADES[0]), (1, 3, SHADES[1]), (2, 3, SHADES[2]), (3, 4, SHADES[4])):
            name = f"{t.filters[blue].name} - {t.filters[red].name}" if style == "-" else None
            axes.plot(sub_middle(t) * 1e3, mag[:, blue] - mag[:, red], color=colour, ls=style, lw=1, label=name)
    axes.set(xscale="log", xlabel="age [Myr]", ylabel="colour [AB mag]")
    axes.set_title("HST colours, solar: BC03-MILES (line), E-MILES (dashed)", fontsize=9)
    axes.legend(fontsize=7)


def plot_filters(axes: Axes, t: templates.Templates) -> None:
    """Throughput curves over the spectrum of a 100 Myr population."""
    for band, colour in zip(t.filters[:5], BAND_COLOURS):
        axes.fill_between(
            band.wave_aa, band.throughput / band.throughput.max(), color=colour, alpha=0.4, label=band.name
        )
    for band, colour in zip(t.substitutes, BAND_COLOURS[2:]):
        axes.plot(band.wave_aa, band.throughput / band.throughput.max(), color=colour, lw=1, ls="--")
    sed = t.weights_of_age(0.1) @ t.sed[solar(t)]
    axes.step(sed_middles(t), sed / sed.max(), color="k", lw=0.7, where="mid", label="100 Myr, solar")
    axes.set(xlabel="wavelength [Å, air]", ylabel="relative", xlim=(1900, 10500), ylim=(0, 1.4))
    axes.set_title("total throughputs, peak 1: WFC3/UVIS (filled), ACS/WFC (dashed); SED of 20 Å bins", fontsize=9)
    axes.legend(fontsize=7, ncols=3, loc="upper right")


def vazdekis(key: str) -> dict[tuple[float, float], np.ndarray]:
    """Rows of slope 1.30 of a table beside E-MILES, by [M/H] and age."""
    content = fetch.read_archive_members("ppxf", lambda m: f"Vazdekis2012_ssp_{key}" in m)
    rows = [line.split() for line in next(iter(content.values())).decode().splitlines() if line[:1] in "U "]
    return {(float(r[2]), float(r[3])): np.array(r[4:], float) for r in rows if len(r) > 8 and float(r[1]) == 1.30}


def plot_residuals(axes: Axes) -> None:
    """E-MILES as read here against its authors' tables."""
    library = emiles.load_emiles()
    light = resampling.v_band_luminosity(library.spectrum, library.wave_aa)
    sloan = []
    for curve in filter_curves.read_filter_res([f"SDSS/{b}.dat" for b in "gri"]):
        band = filter_curves.make_air_filter("x", "SDSS", *curve)
        flux = filters.mean_flux_density(band, library.wave_aa, library.spectrum)
        sloan.append(filters.ab_mag(band, flux * nebular.L_SUN_ERG_S / resampling.AREA_10PC_CM2))
    phot, mass, sdss = vazdekis("phot"), vazdekis("mass"), vazdekis("sdss")
    series: dict[str, list[tuple[float, float]]] = {"V": [], "g - r": [], "r - i": [], r"2.5 lg $M/L_V$": []}
    for i, mh in enumerate(library.mh):
        node = min({k[0] for k in phot}, key=lambda m: abs(m - mh))
        for j, age in enumerate(library.age_gyr):
            key = (node, min((k[1] for k in phot if k[0] == node), key=lambda a: abs(a - age)))
            g, r, ii = (m[i, j] for m in sloan)
            values = (
                -2.5 * np.log10(light[i, j]) + 4.81 - phot[key][2],
                g - r - (sdss[key][1] - sdss[key][2]),
                r - ii - (sdss[key][2] - sdss[key][3]),
                2.5 * np.log10(mass[key][1] / light[i, j] / mass[key][5]),
            )
            for points, value in zip(series.values(), values):
                points.append((age, float(value)))
    for (name, points), colour in zip(series.items(), SHADES):
        axes.plot(*np.array(points).T, ".", ms=3, color=colour, label=name)
    axes.axhspan(-0.02, 0.02, color="0.9", zorder=0)
    axes.set(xscale="log", xlabel="age [Gyr]", ylabel="here - table [mag]", ylim=(-0.05, 0.05))
    axes.set_title("E-MILES against the tables of Vazdekis et al. (2012), 150 SSPs", fontsize=9)
    axes.legend(fontsize=7, ncols=4)


def plot_resolution(axes: Axes) -> None:
    """One SSP as shipped and as the network sees it, around Mg b."""
    library = bc03.load_bc03_miles()
    old = library.spectrum[4, int(np.argmin(np.abs(library.age_gyr - 10)))]
    near = (library.wave_aa > 5100) & (library.wave_aa < 5350)
    level = old[near].mean()
    axes.plot(library.wave_aa[near], old[near] / level, color="0.6", lw=0.8, label="as shipped, 2.5 Å")
    seen = resampling.convolve_to_instrument(old[None], library.wave_aa, library.fwhm_aa, SPECTRUM)[0]
    axes.plot(WAVE_AA, seen / level, color=SHADES[1], lw=1.2, label="MUSE and 150 km/s")
    for name, wave in (("Mg b", (5167.3, 5172.7, 5183.6)), ("Fe", (5269.5, 5328.0))):
        for w in wave:
            axes.axvline(w, color="0.8", lw=0.7, zorder=0)
        axes.text(wave[0], 1.09, name, fontsize=8)
    axes.set(xlabel="wavelength [Å, air]", ylabel="relative flux", xlim=(5100, 5350), ylim=(0.6, 1.15))
    axes.set_title("10 Gyr, solar, BC03-MILES; lines at their air wavelengths", fontsize=9)
    axes.legend(fontsize=7, loc="lower left")


def main() -> None:
    """Draw and save both pages."""
    ours, other = templates.prepare_templates("bc03-miles"), templates.prepare_templates("e-miles")
    OUTPUT.mkdir(exist_ok=True)
    stars, axes = sheet(3, 2, (13, 13))
    plot_spectra(axes[0, 0], ours, other)
    plot_resolution(axes[0, 1])
    plot_mass_to_light(axes[1, 0], ours, other)
    plot_colours(axes[1, 1], ours, other)
    plot_filters(axes[2, 0], ours)
    plot_residuals(axes[2, 1])
    gas, axes = sheet(1, 2, (13, 4.5))
    plot_nebula(axes[0, 0], ours)
    plot_halpha(axes[0, 1], ours)
    for name, figure in (("stars", stars), ("gas", gas)):
        figure.savefig(OUTPUT / f"{name}.png", dpi=90)
        print(OUTPUT / f"{name}.png")


if __name__ == "__main__":
    main()
