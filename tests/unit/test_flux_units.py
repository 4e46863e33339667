"""Fluxes per frequency, magnitudes of units and unnamed errors: the right numbers in every channel."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from io_mocks import write_cube

from napari_sfh.io.cubes import read_cube
from napari_sfh.physics.wavelength import C_KMS, air_to_vacuum

WAVE = 5000.0 + 100.0 * np.arange(20)
#: 3e-18 erg/s/cm2/AA in every channel, and its error of a tenth.
FLAM = 3e-18


def write_flat(path: Path, unit: str, per_frequency: bool, area: float, sigma_name: str, falling: bool) -> Path:
    vacuum = air_to_vacuum(WAVE)
    stored = np.full(WAVE.size, FLAM)
    factors = {"MJy/sr": 1e-17 * area, "mJy": 1e-26, "FLAM16": 1e-16}
    stored = (stored * vacuum**2 / (C_KMS * 1e13) if per_frequency else stored) / factors[unit]
    cards = {"CRVAL3": WAVE[0], "CD3_3": 100.0}
    if falling:
        stored, cards = stored[::-1], {"CRVAL3": WAVE[-1], "CD3_3": -100.0}
    flux = np.broadcast_to(stored[:, None, None], (WAVE.size, 4, 5)).astype(np.float32)
    write_cube(path, flux, stat=0.1 * flux, names=("DATA", sigma_name), stat_unit=unit, BUNIT=unit, **cards)
    return path


@pytest.mark.parametrize("falling", [False, True])
@pytest.mark.parametrize(("unit", "per_frequency"), [("MJy/sr", True), ("mJy", True), ("FLAM16", False)])
def test_every_channel_has_its_flux_and_error(tmp_path: Path, unit: str, per_frequency: bool, falling: bool) -> None:
    area = np.radians(0.2 / 3600) ** 2
    path = write_flat(tmp_path / "c.fits", unit, per_frequency, area, "ERR", falling)
    with fits.open(path) as hdus:  # noise, as a constant channel would count as filled
        noise = 1 + 1e-4 * np.arange(20).reshape(4, 5)
        hdus[1].data = (hdus[1].data * noise).astype(np.float32)
        hdus.writeto(path, overwrite=True)
    cube = read_cube(path)
    np.testing.assert_allclose(cube.wave_aa, WAVE, rtol=1e-9)
    flux, variance, good = cube.read(0, WAVE.size)
    assert good.all()
    assert variance is not None
    np.testing.assert_allclose(
        flux.astype(float) * cube.flux_scale, FLAM * np.broadcast_to(noise, flux.shape), rtol=1e-4
    )
    np.testing.assert_allclose(np.sqrt(variance.astype(float)) * cube.flux_scale, 0.1 * FLAM, rtol=1e-4)
    np.testing.assert_array_equal(cube.read(3, 7)[0], flux[3:7])


@pytest.mark.parametrize("name", ["", "SECOND"])
def test_an_unknown_image_with_a_squared_unit_is_the_variance(tmp_path: Path, name: str) -> None:
    path = write_cube(tmp_path / "c.fits", names=("DATA", name or "X"))
    with fits.open(path) as hdus:
        if not name:
            del hdus[2].header["EXTNAME"]
        expected = hdus[2].data[5].copy()
        hdus.writeto(path, overwrite=True)
    variance = read_cube(path).read(5, 6)[1]
    assert variance is not None
    np.testing.assert_allclose(variance[0], expected, rtol=1e-6)
