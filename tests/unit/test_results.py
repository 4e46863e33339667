"""The result file: the contract's names, an exact round trip, nothing half-written."""

from __future__ import annotations

import dataclasses
import importlib.util
import re
import resource
import warnings
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy import units as u
from astropy.io import fits
from astropy.table import Table
from astropy.wcs import WCS
from muse_hst import BANDS, MUSE_HST

from napari_sfh.analysis import maps
from napari_sfh.analysis.bin_properties import describe_bin_flags
from napari_sfh.analysis.objects.estimate_table import holds_estimates
from napari_sfh.errors import ComputeError, SfhInputError
from napari_sfh.io.identify import describe_file, identify_file
from napari_sfh.io.objects.blocks import open_catalogue
from napari_sfh.io.results import read_result, write_result
from napari_sfh.model.targets import HistoryTargets
from napari_sfh.physics.ages import AGE_EDGES_GYR, TIME_EDGES_GYR
from napari_sfh.physics.columns import MISFIT_COLUMNS
from napari_sfh.types import FLAG_MEANING, NO_MISFIT_FLAG, BinMap, Flag, Observation, Prediction, Result

N, NY, NX, W, A, LATENT = 7, 12, 15, 1761, 16, 40
SHARED_CHECK = Path(__file__).resolve().parents[3] / "shared" / "check_result.py"
_MEANS = ("AGE_LW", "AGE_MW", "MH_LW", "MH_MW")


def sky_wcs() -> WCS:
    """A rotated MUSE-like celestial WCS whose numbers have all their digits."""
    w = WCS(naxis=2)
    w.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    w.wcs.crval = [24.174 + 1 / 7e4, 15.78 + 1 / 3e4]
    w.wcs.crpix = [7.1234567890123, 6.3]
    angle = np.deg2rad(31.7)
    w.wcs.cd = 0.2 / 3600 * np.array([[-np.cos(angle), np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    w.wcs.set()
    return w


def make_result(n: int = N, seed: int = 1) -> Result:
    """A result with every kind of trouble: masked pixels, an unused band, a bin without prediction."""
    rng = np.random.default_rng(seed)
    f32 = np.float32
    bin_id = np.zeros((NY, NX), dtype=np.int32)
    bin_id[1:-1, 1:-1] = rng.integers(1, n + 1, (NY - 2, NX - 2))
    bin_id.ravel()[NX + 1 : NX + 1 + n] = np.arange(1, n + 1)
    mask = rng.random((n, W)) > 0.1
    phot_mask = np.ones((n, 5), dtype=bool)
    phot_mask[:, 0] = False
    fractions = [rng.dirichlet(np.ones(A), n).astype(f32) for _ in range(2)]
    quantiles = {k: np.sort(rng.normal(size=(n, 5)), -1).astype(f32) for k in HistoryTargets.scalars}
    for name in ("lg_age_mw", "lg_age_lw", "mh_mw", "mh_lw"):
        quantiles[name] = quantiles[name] * f32(0.2) + f32(9.5 if name.startswith("lg") else -0.3)
    quantiles |= {k: np.sort(rng.random((n, A, 5)), -1).astype(f32) for k in HistoryTargets.vectors}
    mh = rng.normal(-0.3, 0.3, (n, A)).astype(f32)
    for array in (*quantiles.values(), mh, *fractions):
        array[-1] = np.nan
    data = Observation(
        flux=np.where(mask, rng.normal(1, 0.1, (n, W)), 0).astype(f32),
        error=rng.uniform(0.01, 0.1, (n, W)).astype(f32),
        mask=mask,
        phot=np.where(phot_mask, rng.uniform(0.5, 2, (n, 5)), 0).astype(f32),
        phot_error=rng.uniform(0.01, 0.1, (n, 5)).astype(f32),
        phot_mask=phot_mask,
        norm_cgs=rng.uniform(1e-18, 1e-16, n),
        snr=rng.uniform(10, 60, n).astype(f32),
        v_kms=rng.normal(0, 100, n).astype(f32),
        sigma_kms=rng.uniform(30, 200, n).astype(f32),
        added_kms=np.linspace(0, 140, n, dtype=f32),
        flag=np.full(n, int(Flag.MISSING_BAND), dtype=np.int32),
        instrument=MUSE_HST,
    )
    flag = data.flag.copy()
    flag[-1] |= int(Flag.NO_SPECTRUM)
    return Result(
        bins=BinMap(
            bin_id,
            rng.uniform(1, 10, n),
            rng.uniform(1, 10, n),
            np.bincount(bin_id.ravel(), minlength=n + 1)[1:].astype(np.int32),
            rng.uniform(5, 40, n).astype(f32),
            35.0,
            "vorbin",
        ),
        data=data,
        prediction=Prediction(
            fractions[0],
            fractions[1],
            mh,
            quantiles,
            rng.random(n).astype(f32),
            rng.normal(size=(n, LATENT)).astype(f32),
            AGE_EDGES_GYR,
        ),
        model_flux=rng.normal(1, 0.1, (n, W)).astype(f32),
        model_phot=rng.uniform(0.5, 2, (n, 5)).astype(f32),
        chi2=rng.uniform(0.8, 1.2, n).astype(f32),
        misfit={name: rng.normal(0, 1, n).astype(f32) for name in MISFIT_COLUMNS},
        flag=flag,
        white=rng.random((NY, NX)).astype(f32),
        wcs=sky_wcs(),
        name="NGC 628 (Méssier 74)",
        redshift=0.1 + 0.2,
        model_name="phangs",
        model_sha256="ab" * 32,
        settings={
            "cube": "/data/" + "very_long_folder_name/" * 12 + "cube’s.fits",
            "target_snr": 35.0,
            "draws": 1000,
            "ebv_mw": None,
            "quick": True,
            "device": "cpu",
            "ratio": 1 / 3,
        },
    )


def assert_same(a: object, b: object, where: str = "result") -> None:
    """Equality of every field, arrays bit by bit with their types."""
    if dataclasses.is_dataclass(a):
        for f in dataclasses.fields(a):
            assert_same(getattr(a, f.name), getattr(b, f.name), f"{where}.{f.name}")
    elif isinstance(a, np.ndarray):
        assert isinstance(b, np.ndarray), where
        assert a.dtype == b.dtype, where
        assert b.dtype.isnative, where
        np.testing.assert_array_equal(a, b, err_msg=where)
    elif isinstance(a, WCS):
        x, y = np.meshgrid(np.arange(NX), np.arange(NY))
        np.testing.assert_allclose(a.wcs_pix2world(x, y, 0), b.wcs_pix2world(x, y, 0), rtol=0, atol=1e-12)
    elif isinstance(a, dict):
        assert list(a) == list(b), where
        for k in a:
            assert_same(a[k], b[k], f"{where}[{k}]")
    else:
        assert type(a) is type(b), where
        assert a == b, where


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    path = tmp_path_factory.mktemp("results") / "out.fits"
    result = make_result()
    return result, write_result(result, path)


def test_reload_gives_the_same_objects(written):
    result, path = written
    assert_same(result, read_result(path))


def test_reload_gives_the_redshift_to_weights_that_take_it(tmp_path):
    result = make_result()
    instrument = dataclasses.replace(MUSE_HST, redshift_max=0.5)
    data = dataclasses.replace(
        result.data, instrument=instrument, redshift=np.full(N, result.redshift, np.float32), added_kms=None
    )
    result = dataclasses.replace(result, data=data)
    assert_same(data, read_result(write_result(result, tmp_path / "far.fits")).data)


def test_a_result_is_one_short_line_to_look_at():
    result = make_result()
    assert repr(result).startswith(f"Result({result.name}: {result.bins.n_bins} bins, weights {result.model_name}")
    assert repr(result.prediction).startswith(f"Prediction({result.bins.n_bins} objects: ")
    for part in (result, result.prediction, result.data, result.bins):
        assert len(repr(part)) < 300
        assert not re.search(r"array|\n", repr(part))
    assert f"instrument {result.instrument.name}" in repr(result.data)


def test_result_is_left_unmodified(tmp_path):
    result, same = make_result(), make_result()
    write_result(result, tmp_path / "o.fits")
    assert_same(same, result)


def test_result_is_written_without_a_warning(tmp_path):
    """Such as that of a card which is cut short."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        write_result(make_result(), tmp_path / "o.fits")


def test_bytes_do_not_depend_on_what_was_there(written, tmp_path):
    path = tmp_path / "o.fits"
    path.write_bytes(b"something else")
    write_result(written[0], path)
    assert_same(written[0], read_result(path))
    assert [p.name for p in tmp_path.iterdir()] == ["o.fits"]


def test_contract_of_images(written):
    """The checks of SPEC's contract on every extension, checksums included."""
    result, path = written
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with fits.open(path, checksum=True) as hdus:
            hdus.verify("exception")
            names = [h.name for h in hdus]
            assert all("DATASUM" in h.header and "CHECKSUM" in h.header for h in hdus)
            bins = hdus["BIN_ID"].data
            assert bins.dtype.kind == "i"
            assert WCS(hdus["BIN_ID"].header).has_celestial
            for name in (*_MEANS, *(f"{m}_ERR" for m in _MEANS), "SNR", "OOD", "FLAG"):
                assert name in names
                assert hdus[name].data.shape == bins.shape
                assert WCS(hdus[name].header).has_celestial
            for name in ("SPECTRUM", "SPECTRUM_ERR", "MODEL"):
                assert hdus[name].data.shape == (N, W)
                wave = WCS(hdus[name].header).sub([1])
                assert wave.wcs.ctype[0] == "AWAV"
                assert wave.wcs_pix2world([0, 1760], 0)[0] * 1e10 == pytest.approx([4800, 7000])
            # The mask travels as NaN, and nothing else is NaN.
            np.testing.assert_array_equal(np.isfinite(hdus["SPECTRUM"].data), result.data.mask)
            age = hdus["AGE_BINS"].data
            assert age["AGE"][[0, -1]] == pytest.approx([0.007, 14.2005])
            assert age["AGE_LO"][1:] == pytest.approx(age["AGE_HI"][:-1])


def test_contract_of_table(written):
    result, path = written
    with fits.open(path) as hdus:
        t, bins = hdus["BINS"].data, hdus["BIN_ID"].data
        needed = ["BIN_ID", "X", "Y", "RA", "DEC", "NSPAX", "SNR", "V", "SIGMA", "CHI2", "OOD", "FLAG"]
        needed += [*MISFIT_COLUMNS]
        needed += [x for m in (*_MEANS, "EBV") for x in (m, f"{m}_ERR")]
        needed += [x for m in ("LIGHT_FRAC", "MASS_FRAC", "MH") for x in (m, f"{m}_P16", f"{m}_P84")]
        needed += [x for b in BANDS for x in (f"FLUX_{b}", f"FLUX_{b}_ERR")]
        assert set(needed) <= set(t.names)
        np.testing.assert_array_equal(t["BIN_ID"], np.unique(bins[bins > 0]))
        for m in (*_MEANS, "SNR", "OOD", "FLAG"):
            for k in t["BIN_ID"]:
                values = hdus[m].data[bins == k]
                np.testing.assert_array_equal(values, np.full(values.shape, t[m][k - 1]))
        assert np.all(np.isnan(hdus["AGE_LW"].data[bins == 0]))
        np.testing.assert_allclose(t["LIGHT_FRAC"][:-1].sum(1), 1, atol=1e-5)
        q = result.prediction.quantiles
        np.testing.assert_array_equal(t["EBV"], q["ebv"][:, 2])
        for name in MISFIT_COLUMNS:  # how the models miss the bins: in the file, back from it, and as maps
            np.testing.assert_array_equal(t[name], result.misfit[name])
            np.testing.assert_array_equal(read_result(path).misfit[name], result.misfit[name])
            np.testing.assert_array_equal(maps.MAPS[name].values(result), result.misfit[name])
        assert hdus["BINS"].columns["MISFIT_V"].unit == "km/s"
        np.testing.assert_allclose(t["AGE_MW_ERR"], (q["lg_age_mw"][:, 3] - q["lg_age_mw"][:, 1]) / 2)
        np.testing.assert_array_equal(t["MH_P84"], q["mh"][..., 3])
        # Physical fluxes: normalised times norm, NaN where the band was not used.
        assert np.all(np.isnan(t["FLUX_F275W"]))
        np.testing.assert_allclose(t["FLUX_F814W"], result.data.phot[:, 4] * result.data.norm_cgs, rtol=1e-12)
        ra, dec = result.wcs.wcs_pix2world(result.bins.x, result.bins.y, 0)
        np.testing.assert_allclose(t["RA"], ra, atol=1e-12)
        np.testing.assert_allclose(t["DEC"], dec, atol=1e-12)


def test_provenance_is_in_the_header(written):
    result, path = written
    h = fits.getheader(path)
    assert h["CREATOR"] == "napari-sfh"
    assert h["VERSION"] == version("napari-sfh")
    assert h["MODEL"] == "phangs"
    assert h["MODELSHA"] == "ab" * 32
    assert h["REDSHIFT"] == pytest.approx(0.3)
    assert h["DEVICE"] == "cpu"
    for key in result.settings:
        assert f"SFH {key.upper()}" in h
    assert h["SFH TARGET_SNR"] == 35.0
    assert h["SFH CUBE"].startswith("/data/very_long_folder_name/")
    for bit, meaning in FLAG_MEANING.items():
        assert fits.getheader(path, "FLAG")[f"FLAG{bit.value}"] == meaning


def test_a_misfit_that_was_not_judged_is_told_where_flags_are(written, tmp_path):
    result, path = written
    unjudged = dataclasses.replace(result, misfit={})
    bare = write_result(unjudged, tmp_path / "bare.fits")
    for extension in (0, "FLAG", "BINS"):
        assert fits.getheader(bare, extension)["MISFIT"] is False
        assert "MISFIT" not in fits.getheader(path, extension)
    told = describe_file(identify_file(bare))
    assert any(NO_MISFIT_FLAG in line for line in told)
    assert not any(NO_MISFIT_FLAG in line for line in describe_file(identify_file(path)))
    assert not read_result(bare).judges_misfit
    for row in (0, -1):
        assert describe_bin_flags(unjudged, row).startswith(describe_bin_flags(result, row))
        assert NO_MISFIT_FLAG in describe_bin_flags(unjudged, row)
        assert NO_MISFIT_FLAG not in describe_bin_flags(result, row)


@pytest.mark.skipif(not SHARED_CHECK.exists(), reason="the customer's checker is not beside this clone")
def test_customers_checker_is_content(written):
    spec = importlib.util.spec_from_file_location("check_result", SHARED_CHECK)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert list(module.problems(written[1])) == []


def test_tables_are_read_by_astropy_without_a_warning(written):
    """Every table and image, with its units; checksums and the standard are kept."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with fits.open(written[1], checksum=True) as hdus:
            hdus.verify("exception")
            names = [hdu.name for hdu in hdus if isinstance(hdu, fits.BinTableHDU)]
            images = [WCS(hdu.header).has_celestial for hdu in hdus if isinstance(hdu, fits.ImageHDU) and hdu.shape[1:]]
        tables = {name: Table.read(written[1], hdu=name) for name in names}
    assert any(images)
    assert {"BINS", "AGE_BINS", "SETTINGS"} <= set(tables)
    assert len(tables["BINS"]) == N
    assert (tables["BINS"]["RA"].unit, tables["BINS"]["V"].unit) == (u.deg, u.km / u.s)


def test_altered_file_is_refused(written, tmp_path):
    raw = bytearray(written[1].read_bytes())
    raw[len(raw) // 2] ^= 0x40
    path = tmp_path / "altered.fits"
    path.write_bytes(raw)
    with pytest.raises(SfhInputError, match=r"altered\.fits: damaged or altered .*HDU"):
        read_result(path)


def test_truncated_file_is_refused(written, tmp_path):
    path = tmp_path / "cut.fits"
    path.write_bytes(written[1].read_bytes()[:-30000])
    with pytest.raises(SfhInputError, match=r"cut\.fits"):
        read_result(path)


def test_a_result_whose_copy_was_cut_off_is_no_table_of_estimates(written, tmp_path):
    """The table of the bins stands early in the file, and may be whole."""
    raw = written[1].read_bytes()
    with fits.open(written[1]) as hdus:
        behind = hdus["BINS"].fileinfo()
    path = tmp_path / "cut_sfh.fits"
    path.write_bytes(raw[: behind["datLoc"] + behind["datSpan"] + 2880])
    assert not holds_estimates(path)
    with pytest.raises(SfhInputError, match="truncated"):
        open_catalogue(path)
    with pytest.raises(SfhInputError, match="truncated"):
        read_result(path)


def test_other_fits_file_is_refused(tmp_path):
    path = tmp_path / "other.fits"
    fits.PrimaryHDU(np.zeros((3, 3))).writeto(path)
    with pytest.raises(SfhInputError, match="not a result file of napari-sfh"):
        read_result(path)


def test_newer_format_is_refused(tmp_path):
    path = tmp_path / "new.fits"
    hdu = fits.PrimaryHDU()
    hdu.header["SFHFORM"] = 99
    hdu.writeto(path)
    with pytest.raises(SfhInputError, match="format 99 is newer than 2"):
        read_result(path)


def test_formation_times_are_maps_and_columns(written):
    with fits.open(written[1]) as hdus:
        bins, table = hdus["BIN_ID"].data, hdus["BINS"].data
        times = np.stack([table[f"T{percent}"] for percent in range(10, 100, 10)], axis=1)
        known = np.isfinite(times).all(1)
        assert known.any()
        assert np.all(np.diff(times[known], axis=1) <= 1e-5)  # the later, the more is formed
        for name in ("T50", "T90", "T50_ERR"):
            image = hdus[name].data
            for k in np.flatnonzero(known)[:3]:
                np.testing.assert_allclose(image[bins == k + 1], table[name][k], rtol=1e-6)
        assert hdus["T50"].header["BUNIT"] == "Gyr"


def test_ends_of_skewed_intervals_are_written(written):
    """Both ends of a formation time, and not only half of the width between them; of means and dust in BINS."""
    result, path = written
    with fits.open(path) as hdus:
        bins, table = hdus["BIN_ID"].data, hdus["BINS"].data
        skewed = 0.0
        for percent in range(10, 100, 10):
            name = f"T{percent}"
            low, middle, high = (table[f"{name}{end}"] for end in ("_P16", "", "_P84"))
            known = np.isfinite(low) & np.isfinite(high)
            assert known.any()
            assert (low <= middle + 1e-4)[known].all()
            assert (middle <= high + 1e-4)[known].all()
            assert (high[known] <= TIME_EDGES_GYR[-1] + 1e-4).all()
            np.testing.assert_allclose(table[f"{name}_ERR"][known], 0.5 * (high - low)[known], atol=1e-5)
            skewed = max(skewed, float(np.abs(high + low - 2 * middle)[known].max()))
            for end in ("_P16", "_P84"):
                assert hdus[f"{name}{end}"].header["BUNIT"] == "Gyr"
                np.testing.assert_array_equal(
                    hdus[f"{name}{end}"].data[bins > 0], table[f"{name}{end}"][bins[bins > 0] - 1]
                )
            interval = maps.find_formation_interval(result, name, 0)
            assert interval == pytest.approx((low[0], high[0]), abs=1e-5), "as the window tells it"
        assert skewed > 0.1
        for name, key in {"AGE_LW": "lg_age_lw", "EBV": "ebv"}.items():
            np.testing.assert_array_equal(table[f"{name}_P16"], result.prediction.quantiles[key][:, 1])
            np.testing.assert_array_equal(table[f"{name}_P84"], result.prediction.quantiles[key][:, 3])


@pytest.mark.parametrize("gone", ["BINS", "MODEL", "Q_LG_AGE_LW", "SETTINGS", "WHITE"])
def test_missing_extension_is_named(written, tmp_path, gone):
    path = tmp_path / "part.fits"
    with fits.open(written[1]) as hdus:
        fits.HDUList([h for h in hdus if h.name != gone]).writeto(path)
    with pytest.raises(SfhInputError, match=f"extension {gone} is missing"):
        read_result(path)


def test_no_overwrite(written):
    with pytest.raises(SfhInputError, match="exists already"):
        write_result(written[0], written[1], overwrite=False)


def test_missing_folder(written, tmp_path):
    with pytest.raises(SfhInputError, match=r"the folder .* does not exist"):
        write_result(written[0], tmp_path / "no" / "out.fits")


def test_a_name_that_ends_in_gz_is_compressed(written, tmp_path):
    path = write_result(written[0], tmp_path / "out.fits.gz")
    assert path.read_bytes()[:2] == b"\x1f\x8b"
    assert read_result(path).bins.n_bins == written[0].bins.n_bins
    assert [p.name for p in tmp_path.iterdir()] == ["out.fits.gz"]


def test_unwritable_folder(written, tmp_path, monkeypatch):
    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("napari_sfh.io.atomic.os.open", refuse)
    with pytest.raises(SfhInputError, match=r"not writable.*Permission denied"):
        write_result(written[0], tmp_path / "out.fits")


@pytest.mark.skipif(not hasattr(resource, "RLIMIT_FSIZE"), reason="needs a limit on file size")
def test_full_disk_leaves_nothing(tmp_path):
    """A process that may write 100 kB only: the same path as a full disk."""
    path = tmp_path / "out.fits"
    path.write_bytes(b"the previous result")
    result, limits = make_result(), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with pytest.raises(ComputeError, match=r"out.fits: writing failed.*free disk space"):
            write_result(result, path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert [p.name for p in tmp_path.iterdir()] == ["out.fits"]
    assert path.read_bytes() == b"the previous result"


def test_interrupted_write_leaves_nothing(written, tmp_path, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("napari_sfh.io.atomic.os.replace", stop)
    with pytest.raises(KeyboardInterrupt):
        write_result(written[0], tmp_path / "out.fits")
    assert list(tmp_path.iterdir()) == []


def test_failing_disk_is_a_compute_error(written, tmp_path, monkeypatch):
    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("napari_sfh.io.atomic.os.replace", fail)
    with pytest.raises(ComputeError, match="No space left on device"):
        write_result(written[0], tmp_path / "out.fits")
    assert list(tmp_path.iterdir()) == []


def alter(path: Path, extension: str, change: Callable[[fits.FITS_rec], Any]) -> Path:
    """Another file with other numbers, changed in place or returned, and checksums that fit them."""
    other = path.with_name(f"altered_{extension}.fits")
    with fits.open(path) as hdus:
        made = change(hdus[extension].data)
        if made is not None:
            hdus[extension].data = made
        hdus.writeto(other, overwrite=True, checksum=True)
    return other


ALTERED = {
    "two bins called one": ("BIN_ID", lambda d: np.copyto(d, np.where(d == 2, 1, d)), "BIN_ID"),
    "a bin beyond the table": ("BIN_ID", lambda d: np.copyto(d, np.where(d == 2, 77, d)), "BIN_ID"),
    "a spaxel in another bin": ("BINS", lambda d: d["NSPAX"].__setitem__(0, 99), "NSPAX"),
    "a bin off the map": ("BINS", lambda d: d["X"].__setitem__(0, 1e6), "X, Y"),
    "an age of 10^40": ("Q_LG_AGE_LW", lambda d: d.__imul__(4), "Q_LG_AGE_LW"),
    "quantiles upside down": ("Q_LG_AGE_LW", lambda d: np.copyto(d, d[..., ::-1].copy()), "Q_LG_AGE_LW"),
    "a spectrum of fewer channels": ("SPECTRUM", lambda d: d[:, :-1].copy(), "SPECTRUM has .* channels"),
    "a model of fewer channels": ("MODEL", lambda d: d[:, 1:].copy(), "MODEL has .* channels"),
    "histories of fewer ages": ("Q_MASS_FRAC", lambda d: d[:, :-1].copy(), "Q_MASS_FRAC has .* age bins"),
    "fewer ages": ("AGE_BINS", lambda d: d[:-1], "AGE_BINS has"),
    "ages that fall": ("AGE_BINS", lambda d: d[::-1].copy(), "AGE_BINS has .* do not rise"),
    "an infinite latent vector": ("LATENT", lambda d: d.__setitem__((0, 0), np.inf), "LATENT holds infinite"),
    "a light fraction of 3": ("BINS", lambda d: d["LIGHT_FRAC"].__setitem__(0, 3.0), "LIGHT_FRAC"),
}


@pytest.mark.parametrize("name", ALTERED)
def test_altered_results_are_refused_although_their_checksums_fit(written, name):
    extension, change, words = ALTERED[name]
    with pytest.raises(SfhInputError, match=words):
        read_result(alter(written[1], extension, change))
