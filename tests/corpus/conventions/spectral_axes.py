"""Wavelength axes as other programs write them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
from astropy.io import fits
from inputs import CUBE
from mutations import Case, change_bytes

from conventions.changes import make_case, set_cards
from napari_sfh.physics.wavelength import air_to_vacuum

FIRST_AA, STEP_AA = 4749.88, 1.25


def _resample(hdus: fits.HDUList, air: np.ndarray, **cards: Any) -> None:
    """Put DATA and STAT on other wavelengths (air, Angstrom)."""
    own = FIRST_AA + STEP_AA * np.arange(hdus[1].data.shape[0])
    k = np.clip(np.searchsorted(own, air) - 1, 0, own.size - 2)
    f = ((air - own[k]) / STEP_AA)[:, None, None]
    for hdu in hdus[1:]:
        hdu.data = (hdu.data[k] * (1 - f) + hdu.data[k + 1] * f).astype(np.float32)
        for key in ("CTYPE3", "CUNIT3", "CRPIX3", "CRVAL3", "CD3_3"):
            hdu.header.remove(key, ignore_missing=True)
        hdu.header.update(cards)


def list_axis_cases() -> Iterator[Case]:
    n = 1881
    last = FIRST_AA + STEP_AA * (n - 1)
    grid = np.arange(n)
    vacuum = np.linspace(*air_to_vacuum(np.array([FIRST_AA + 2, last - 2])), n)
    from napari_sfh.physics.wavelength import vacuum_to_air

    air = vacuum_to_air(vacuum)
    step = float(vacuum[1] - vacuum[0])
    linear = {"CRPIX3": 1.0, "CRVAL3": float(vacuum[0]), "CD3_3": step, "CUNIT3": "Angstrom"}
    log_vacuum = np.geomspace(vacuum[0], vacuum[-1], n)
    log_air = vacuum_to_air(log_vacuum)
    ratio = float(np.log(log_vacuum[1] / log_vacuum[0]))
    made: dict[str, tuple[np.ndarray, dict[str, Any]]] = {
        "WAVE": (air, {"CTYPE3": "WAVE", **linear}),
        "wave, lower case": (air, {"CTYPE3": "wave", **linear}),
        "VAC-WAVE words": (air, {"CTYPE3": "LINEAR", "AIRORVAC": "vac", **linear}),
        "WAVE in nm": (
            air,
            {
                "CTYPE3": "WAVE",
                "CRPIX3": 1.0,
                "CRVAL3": float(vacuum[0]) / 10,
                "CD3_3": step / 10,
                "CUNIT3": "nanometers",
            },
        ),
        "WAVE in m without unit": (
            air,
            {"CTYPE3": "WAVE", "CRPIX3": 1.0, "CRVAL3": float(vacuum[0]) * 1e-10, "CD3_3": step * 1e-10},
        ),
        "WAVE-LOG": (
            log_air,
            {
                "CTYPE3": "WAVE-LOG",
                "CRPIX3": 1.0,
                "CRVAL3": float(log_vacuum[0]),
                "CD3_3": float(log_vacuum[0]) * ratio,
                "CUNIT3": "Angstrom",
            },
        ),
        "log10, DC-FLAG": (
            log_air,
            {
                "CTYPE3": "LINEAR",
                "DC-FLAG": 1,
                "CRPIX3": 1.0,
                "CRVAL3": float(np.log10(log_vacuum[0])),
                "CD3_3": ratio / np.log(10),
                "VACUUM": "vacuum",
            },
        ),
        "ln, LOGLAM": (
            log_air,
            {
                "CTYPE3": "LOGLAM",
                "CRPIX3": 1.0,
                "CRVAL3": float(np.log(log_vacuum[0])),
                "CDELT3": ratio,
                "VACUUM": "vac",
            },
        ),
        "log(Angstrom) as unit": (
            log_air,
            {
                "CTYPE3": "WAVE",
                "CUNIT3": "log(Angstrom)",
                "CRPIX3": 1.0,
                "CRVAL3": float(np.log10(log_vacuum[0])),
                "CD3_3": ratio / np.log(10),
            },
        ),
        "CALIFA's log axis in a linear CTYPE": (
            log_air,
            {"CTYPE3": "WAVE", "CRPIX3": 1.0, "CRVAL3": float(np.log(log_vacuum[0])), "CD3_3": ratio},
        ),
        "reference channel in the middle": (
            air,
            {"CTYPE3": "WAVE", "CRPIX3": 941.0, "CRVAL3": float(vacuum[940]), "CD3_3": step, "CUNIT3": "Angstrom"},
        ),
        "half the channels": (air[::2], {"CTYPE3": "WAVE", **linear, "CD3_3": 2 * step}),
        "two thirds of a channel": (
            vacuum_to_air(np.linspace(vacuum[0], vacuum[-1], 3 * n // 2)),
            {"CTYPE3": "WAVE", **linear, "CD3_3": float(vacuum[-1] - vacuum[0]) / (3 * n // 2 - 1)},
        ),
        "step as CDELT3 and PC3_3": (air, {"CTYPE3": "WAVE", **linear, "CD3_3": None} | {"CDELT3": step, "PC3_3": 1.0}),
    }
    c = 299792.458
    zero = 5500.0
    velocities: dict[str, Callable[[np.ndarray], np.ndarray]] = {
        "VOPT": lambda wave: c * (wave / zero - 1),
        "VRAD": lambda wave: c * (1 - zero / wave),
        "VELO": lambda wave: c * ((wave / zero) ** 2 - 1) / ((wave / zero) ** 2 + 1),
    }
    for kind, convert in velocities.items():
        limits = convert(np.array([vacuum[0], vacuum[-1]]))
        fine = np.linspace(vacuum[0], vacuum[-1], 20 * n)
        placed = np.interp(np.linspace(*limits, n), convert(fine), fine)
        made[f"{kind} with RESTWAV"] = (
            vacuum_to_air(placed),
            {
                "CTYPE3": kind,
                "CUNIT3": "km/s",
                "CRPIX3": 1.0,
                "CRVAL3": float(limits[0]),
                "CD3_3": float((limits[1] - limits[0]) / (n - 1)),
                "RESTWAV": zero * 1e-10,
            },
        )
    frequency = np.linspace(c * 1e13 / vacuum[-1], c * 1e13 / vacuum[0], n)
    made["VOPT-F2W with RESTFRQ"] = (
        vacuum_to_air(c * 1e13 / frequency[::-1]),
        {
            "CTYPE3": "VOPT-F2W",
            "CUNIT3": "m/s",
            "CRPIX3": 1.0,
            "CRVAL3": float(1e3 * c * (vacuum[0] / zero - 1)),
            # Velocity per channel at the reference channel.
            "CD3_3": float(1e3 * vacuum[0] ** 2 / zero * (frequency[1] - frequency[0]) * 1e-13),
            "RESTFRQ": c * 1e13 / zero,
        },
    )
    made["FREQ, rising"] = (
        vacuum_to_air(c * 1e13 / frequency),
        {
            "CTYPE3": "FREQ",
            "CUNIT3": "Hz",
            "CRPIX3": 1.0,
            "CRVAL3": float(frequency[0]),
            "CD3_3": float(frequency[1] - frequency[0]),
        },
    )
    made["FREQ, falling"] = (
        vacuum_to_air(c * 1e13 / frequency[::-1]),
        {
            "CTYPE3": "FREQ",
            "CUNIT3": "THz",
            "CRPIX3": 1.0,
            "CRVAL3": float(frequency[-1]) / 1e12,
            "CD3_3": float(frequency[0] - frequency[1]) / 1e12,
        },
    )
    made["wavelengths falling"] = (
        air[::-1],
        {"CTYPE3": "WAVE", "CUNIT3": "Angstrom", "CRPIX3": 1.0, "CRVAL3": float(vacuum[-1]), "CD3_3": -step},
    )
    made["WAVN"] = (
        vacuum_to_air(1e8 / np.linspace(1e8 / vacuum[0], 1e8 / vacuum[-1], n)),
        {
            "CTYPE3": "WAVN",
            "CUNIT3": "1/cm",
            "CRPIX3": 1.0,
            "CRVAL3": float(1e8 / vacuum[0]),
            "CD3_3": float((1e8 / vacuum[-1] - 1e8 / vacuum[0]) / (n - 1)),
        },
    )
    made["AWAV-W2A as of WAVE"] = (air, {"CTYPE3": "WAVE-A2W", **linear})
    for name, (wave, cards) in made.items():
        inner = np.clip(wave, FIRST_AA, last)
        present = {key: value for key, value in cards.items() if value is not None}
        yield make_case("cube", CUBE, f"axis: {name}", partial(_resample, air=inner, **present))
    for shape in ("row", "column", "wrong length", "absent"):

        def table(hdus: fits.HDUList, shape: str = shape) -> None:
            own = FIRST_AA + STEP_AA * grid
            for hdu in hdus[1:]:
                hdu.header.update(
                    {"CTYPE3": "AWAV-TAB", "PS3_0": "WCS-TAB", "PS3_1": "wave", "CRVAL3": 1.0, "CD3_3": 1.0}
                )
            if shape == "absent":
                return
            own = own[:-5] if shape == "wrong length" else own
            column = (
                fits.Column("wave", f"{own.size}D", "Angstrom", array=own[None])
                if shape != "column"
                else fits.Column("wave", "D", "Angstrom", array=own)
            )
            hdus.append(fits.BinTableHDU.from_columns([column], name="WCS-TAB"))

        yield make_case("cube", CUBE, f"axis: AWAV-TAB, {shape}", table)
    for name, count in {"MaNGA's WAVE image and no axis": n, "WAVE image of another length": n - 3}.items():

        def image(hdus: fits.HDUList, count: int = count) -> None:
            for key in ("CTYPE3", "CRVAL3", "CD3_3", "CRPIX3", "CUNIT3"):
                hdus[1].header.remove(key)
            hdus.append(fits.ImageHDU(FIRST_AA + STEP_AA * np.arange(count), name="WAVE"))

        yield make_case("cube", CUBE, f"axis: {name}", image)
    for shift in (-20, -5, -2, -1, 1, 2, 3, 5, 20):
        yield make_case("cube", CUBE, f"axis: off by {shift} channels", set_cards({"CRPIX3": 1.0 + shift}))
    for z in (0.0, 0.01, 0.05, -0.002, 0.004):
        factor = (1 + z) / 1.0025
        yield make_case(
            "cube",
            CUBE,
            f"axis: as of redshift {z}",
            set_cards({"CRVAL3": FIRST_AA * factor, "CD3_3": STEP_AA * factor}),
        )
    for text in ("'4749,88'", "'4749.88'", "4.74988D3", "4749.88D+00", "'4749.88 Angstrom'", "4 749.88", ".474988E4"):

        def write(raw: bytes, text: str = text) -> bytes:
            at = raw.find(b"CRVAL3  =")
            return raw[:at] + f"CRVAL3  = {text}".encode().ljust(80) + raw[at + 80 :]

        yield Case("cube", f"axis: CRVAL3 written {text}", partial(change_bytes, CUBE, write))
    for unit in (
        "angstrom",
        "ANGSTROMS",
        "Ang",
        "Ang.",
        "AA",
        "0.1 nm",
        "0.1nm",
        "10**-10 m",
        "1e-10 m",
        "10^-10m",
        "Angstrom ",
        "[Angstrom]",
        "(Angstrom)",
        "lambda",
        "pixel",
        "Hz",
        "Angstrom/pixel",
    ):
        yield make_case("cube", CUBE, f"axis: CUNIT3 {unit!r}", set_cards({"CUNIT3": unit}))
