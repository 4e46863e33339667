"""Catalogues: columns found by name, fluxes in one unit, blocks of rows, four formats."""

import gzip

import numpy as np
import pytest
from astropy import units as u
from astropy.io import fits
from astropy.table import Table
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_sfh.errors import ComputeError, SfhInputError
from napari_sfh.io.objects import writing
from napari_sfh.io.objects.blocks import open_catalogue
from napari_sfh.io.objects.columns import match_band_columns
from napari_sfh.io.objects.photometry import read_band_photometry
from napari_sfh.io.objects.vector_columns import match_catalogue_columns
from napari_sfh.io.objects.writing import CatalogueWriter
from napari_sfh.types import Flag

BANDS = ("J0390", "J0400", "uJAVA")
PIVOT = np.array([3900.0, 4000.0, 3500.0])
C_AA_S = 2.99792458e18


def f_lambda(jansky, pivot):
    return jansky * 1e-23 * C_AA_S / pivot**2


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("J0390", "J0390_err"),
        ("FLUX_J0390", "FLUX_ERR_J0390"),
        ("mag_j0390", "e_mag_j0390"),
        ("F_J0390_uJy", "F_J0390_uJy_err"),
        ("FLUX_AUTO_J0390", "FLUXERR_AUTO_J0390"),
        ("MAG_J0390", "MAGERR_J0390"),
        ("F_J0390", "eF_J0390"),
        ("J0390_flux", "J0390_sigma"),
        ("flux_J0390", "err_J0390"),
    ],
)
def test_usual_names_are_found(name, error):
    found = match_band_columns(["ID", "z", name, error, "flags_J0390", "SNR_J0390"], BANDS)
    assert (found["J0390"].value, found["J0390"].error) == (name, error)
    assert set(found) == {"J0390"}


def test_an_error_of_the_band_alone_is_none_where_it_may_be_of_two_columns():
    found = match_band_columns(["flux_J0390", "mag_J0390", "err_J0390"], BANDS)
    assert (found["J0390"].value, found["J0390"].error) == ("flux_J0390", "")


@pytest.mark.parametrize(
    ("flux", "error", "redshifts"),
    [("flux_{}", "flux_{}_err", ["z", "z_err"]), ("flux_{}", "err_{}", ["z", "z_err"]), ("{}_flux", "{}_err", ["Z"]),
     ("{}", "e_{}", ["z_phot"]), ("mag_{}", "magerr_{}", ["z_spec", "z_ml"])],
)  # fmt: skip
def test_a_redshift_is_no_z_band(flux, error, redshifts):
    names = [*redshifts, *(form.format(band) for form in (flux, error) for band in "grz")]
    found = match_band_columns(names, ("g", "r", "z"))
    assert [(found[b].value, found[b].error) for b in "gz"] == [(flux.format(b), error.format(b)) for b in "gz"]
    assert "z" not in match_band_columns([n for n in names if n != flux.format("z")], ("g", "r", "z"))


def test_names_of_other_bands_are_not_taken():
    found = match_band_columns(["J03900", "xJ0390", "J0400"], BANDS)
    assert set(found) == {"J0400"}


def test_fluxes_come_before_magnitudes_and_equals_are_refused():
    found = match_band_columns(["MAG_J0390", "FLUX_J0390"], BANDS)
    assert found["J0390"].value == "FLUX_J0390"
    with pytest.raises(SfhInputError, match=r"`columns` J0390="):
        match_band_columns(["FLUX_APER3_J0390", "FLUX_PSFCOR_J0390"], BANDS)
    chosen = match_band_columns(["FLUX_APER3_J0390", "FLUX_PSFCOR_J0390"], BANDS, {"J0390": "FLUX_PSFCOR_J0390:Jy"})
    assert (chosen["J0390"].value, chosen["J0390"].unit) == ("FLUX_PSFCOR_J0390", "Jy")


@pytest.mark.parametrize("given_columns", [{"J9999": "a"}, {"J0390": "nowhere"}, {"J0390": "a,b,c"}])
def test_wrong_columns_are_told(given_columns):
    with pytest.raises(SfhInputError, match="`columns`"):
        match_band_columns(["a", "b"], BANDS, given_columns)


def test_a_table_without_bands_is_refused():
    with pytest.raises(SfhInputError, match="BAND=COLUMN"):
        match_band_columns(["ra", "dec"], BANDS, source="mine.csv")


def photometry(columns, units=None, given=None):
    table = Table(columns)
    for name, unit in (units or {}).items():
        table[name].unit = unit
    return read_band_photometry(table, match_band_columns(table.colnames, BANDS, given), BANDS, PIVOT, "mine")


def test_units_agree():
    jy = photometry({"J0390": [1.0], "J0390_err": [0.1]}, {"J0390": u.Jy, "J0390_err": u.Jy})
    micro = photometry({"J0390_ujy": [1e6], "J0390_ujy_err": [1e5]})
    cgs = photometry({"J0390": [f_lambda(1, 3900)], "J0390_err": [f_lambda(0.1, 3900)]}, {"J0390": "erg/s/cm2/AA"})
    mixed = photometry({"J0390": [1.0], "J0390_err": [100.0]}, {"J0390": u.Jy, "J0390_err": u.mJy})
    magnitude = -2.5 * np.log10(1 / 3631)
    mag = photometry({"mag_J0390": [magnitude], "mag_J0390_err": [0.1 * 2.5 / np.log(10)]})
    nmgy = photometry({"J0390": [1 / 3.631e-6], "J0390_err": [0.1 / 3.631e-6]}, given={"J0390": "J0390:nmgy"})
    for one in (jy, mixed, micro, cgs, mag, nmgy):
        assert one.flux[0, 0] == pytest.approx(f_lambda(1, 3900), rel=2e-3)
        assert one.error[0, 0] == pytest.approx(f_lambda(0.1, 3900), rel=2e-3)
        assert one.mask.tolist() == [[True, False, False]]
        assert one.flag[0] == Flag.MISSING_BAND


@settings(max_examples=25, deadline=None)
@given(st.lists(st.floats(12, 25), min_size=1, max_size=5))
def test_magnitude_errors_are_relative_flux_errors(magnitudes):
    n = len(magnitudes)
    one = photometry({"J0390": magnitudes, "J0390_err": [0.05] * n}, given={"J0390": "J0390:mag"})
    np.testing.assert_allclose(one.error[:, 0] / one.flux[:, 0], 0.05 * np.log(10) / 2.5, rtol=1e-6)


def test_what_is_no_measurement_is_masked_and_flagged():
    rows = {
        "mag_J0390": [20.0, 99.0, 99.0, np.nan, 20.0, 20.0],
        "mag_J0390_err": [0.1, -99.0, 23.5, 0.1, -0.1, np.nan],
    }
    one = photometry(rows)
    assert one.mask[:, 0].tolist() == [True, False, False, False, False, False]
    assert [bool(f & Flag.UPPER_LIMIT) for f in one.flag] == [False, False, True, False, False, False]
    assert [bool(f & Flag.NO_PHOTOMETRY) for f in one.flag] == [False, True, True, True, True, True]


def test_negative_fluxes_are_measurements_and_limit_signs_are_not():
    one = photometry({"F_J0390_uJy": [-1.0, 2.0], "e_F_J0390_uJy": [1.0, 1.0], "l_F_J0390_uJy": ["", "<"]})
    assert one.mask[:, 0].tolist() == [True, False]
    assert one.flag[0] & Flag.NEGATIVE_FLUX
    assert one.flag[1] & Flag.UPPER_LIMIT


def test_a_flux_without_a_unit_is_refused_by_name():
    with pytest.raises(SfhInputError, match=r"'J0390' has no unit.*`columns` J0390=J0390:uJy"):
        photometry({"J0390": [1.0]})
    with pytest.raises(SfhInputError, match="'km'"):
        photometry({"J0390": [1.0]}, {"J0390": "km"})


@pytest.mark.parametrize(
    ("name", "unit"),
    [
        ("mag_vega_J0390", None),
        ("J0390_vegamag", None),
        ("mag_J0390", "mag(Vega)"),
        ("mag_J0390", "VEGAMAG"),
        ("J0390", "mag(ST)"),
        ("mag_J0390", "mmag"),
        ("J0390", "mag/arcsec2"),
    ],
)
def test_magnitudes_that_are_not_ab_are_refused_unless_the_user_says_they_are(name, unit):
    table, units = {name: [20.0], f"{name}_err": [0.1]}, {name: unit} if unit else {}
    with pytest.raises(SfhInputError, match=r"no AB magnitudes.*`columns` J0390="):
        photometry(table, units)
    said = photometry(table, units, {"J0390": f"{name}:mag"})
    assert said.flux[0, 0] == pytest.approx(f_lambda(3631 * 10**-8, 3900), rel=2e-3)


@pytest.mark.parametrize("unit", ["mag", "mag(AB)", "ABmag", "AB mag"])
def test_units_of_ab_magnitudes_are_read(unit):
    one = photometry({"J0390": [20.0], "J0390_err": [0.1]}, {"J0390": unit})
    assert one.flux[0, 0] == pytest.approx(f_lambda(3631 * 10**-8, 3900), rel=2e-3)


def test_a_description_that_says_vega_is_believed():
    table = Table({"J0390": [20.0], "J0390_err": [0.1]}, units={"J0390": "mag"})
    table["J0390"].description = "Vega magnitude, 3 arcsec"
    with pytest.raises(SfhInputError, match="no AB magnitudes by its name or description"):
        read_band_photometry(table, match_band_columns(table.colnames, BANDS), BANDS, PIVOT)


@pytest.mark.parametrize(
    ("errors", "unit", "given"),
    [
        ([10.0], "%", None),
        ([0.1 * 2.5 / np.log(10)], "mag", None),
        ([1e5], None, "J0390:Jy,J0390_err:uJy"),
        ([10.0], None, "J0390:Jy,J0390_err:%"),
    ],
)
def test_errors_have_the_unit_that_file_or_user_states(errors, unit, given):
    units = {"J0390": "Jy"} | ({"J0390_err": unit} if unit else {})
    one = photometry({"J0390": [1.0], "J0390_err": errors}, units, {"J0390": given} if given else None)
    assert one.error[0, 0] == pytest.approx(f_lambda(0.1, 3900), rel=2e-3)


@pytest.mark.parametrize(
    ("name", "errors", "unit"),
    [
        ("FLUX_IVAR_J0390", 1 / 0.3**2, None),
        ("FLUX_IVAR_J0390", 1e-12 / 0.3**2, "1/uJy2"),
        ("FLUX_IVAR_J0390", 1 / 0.3**2, "Jy"),
        ("FLUX_J0390_var", 0.3**2, None),
        ("FLUX_J0390_VARIANCE", 0.3**2 * 1e6, "mJy2"),
        ("SNR_J0390", 2 / 0.3, None),
        ("SN_FLUX_J0390", 2 / 0.3, None),
    ],
)
def test_errors_are_made_of_variances_and_of_ratios_of_signal_to_noise(name, errors, unit):
    table = Table({"FLUX_J0390": [2.0, 2.0], name: [errors, -1.0]})
    table["FLUX_J0390"].unit, table[name].unit = "Jy", unit
    for given_columns in ({}, {"J0390": f"FLUX_J0390,{name}"}):
        columns = match_band_columns(table.colnames, BANDS, given_columns)
        read = read_band_photometry(table, columns, BANDS, PIVOT)
        assert read.error[0, 0] == pytest.approx(f_lambda(0.3, 3900.0))
        assert read.mask[:, 0].tolist() == [True, False]


def test_errors_come_before_what_they_follow_from():
    found = match_band_columns(["FLUX_J0390", "FLUX_IVAR_J0390", "FLUX_ERR_J0390"], BANDS)["J0390"]
    assert (found.error, found.error_kind) == ("FLUX_ERR_J0390", "")
    table = Table({"mag_J0390": [20.0], "snr_J0390": [10.0]})
    read = read_band_photometry(table, match_band_columns(table.colnames, BANDS), BANDS, PIVOT)
    assert read.error[0, 0] == pytest.approx(read.flux[0, 0] / 10)


@pytest.mark.parametrize(("value", "error"), [("Jy", "km"), ("Jy", "adu"), ("mag", "Jy")])
def test_errors_in_a_unit_that_says_nothing_of_the_values_are_refused(value, error):
    with pytest.raises(SfhInputError, match=f"errors 'J0390_err' are in '{error}'"):
        photometry({"J0390": [1.0], "J0390_err": [0.1]}, {"J0390": value, "J0390_err": error})


def make_table(n=7):
    return Table(
        {
            "name": [f"galaxy {k}" for k in range(n)],
            "J0390": np.linspace(1, 2, n),
            "count": np.arange(n),
            "good": np.arange(n) % 2 == 0,
        },
        units={"J0390": "uJy"},
    )


FORMATS = {".ecsv": "ascii.ecsv", ".csv": "ascii.csv", ".tsv": "ascii.tab", ".vot": "votable"}


@pytest.mark.parametrize("suffix", [".fits", ".ecsv", ".csv", ".tsv", ".vot"])
def test_blocks_written_and_read_are_the_table(tmp_path, suffix):
    table, path = make_table(), tmp_path / f"made{suffix}"
    with CatalogueWriter(path, {"MODEL": ("jpas", "weights")}) as out:
        for start in range(0, 7, 3):
            out.append(table[start : start + 3])
    opened = open_catalogue(path)
    assert opened.names == tuple(table.colnames)
    blocks = list(opened.read_blocks(2))
    assert [len(b) for b in blocks] == [2, 2, 2, 1]
    np.testing.assert_allclose(np.concatenate([b["J0390"] for b in blocks]), table["J0390"])
    assert [str(v).strip() for b in blocks for v in b["name"]] == list(table["name"])
    if suffix not in (".csv", ".tsv"):
        assert str(blocks[0]["J0390"].unit) == "uJy"
    if suffix == ".fits":
        with fits.open(path) as hdus:
            hdus.verify("exception")
            assert (hdus[1].header["MODEL"], hdus[1].header["NAXIS2"]) == ("jpas", 7)
            assert path.stat().st_size % 2880 == 0
    else:
        read = Table.read(path, format=FORMATS[suffix])
        assert read["count"].tolist() == list(range(7))


def write_blocks(path, *blocks):
    with CatalogueWriter(path) as out:
        for block in blocks:
            out.append(block)


@pytest.mark.parametrize("suffix", [".ecsv", ".csv"])
def test_names_that_look_like_comments_are_rows(tmp_path, suffix):
    path = tmp_path / f"t{suffix}"
    write_blocks(path, Table({"ID": ["#1", "a"]}), Table({"ID": ["#2", "#3"]}))
    rows = path.read_text().splitlines()
    assert [row.strip('"') for row in rows[-4:]] == ["#1", "a", "#2", "#3"]


def test_a_failure_leaves_no_file_and_long_texts_are_told(tmp_path):
    with pytest.raises(SfhInputError, match="ecsv"):
        write_blocks(tmp_path / "made.fits", Table({"name": ["a"]}), Table({"name": ["b" * 100]}))
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_is_full_at_the_end_is_told_with_the_file(tmp_path, monkeypatch):
    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(writing, "writeto", fail)
    with pytest.raises(ComputeError, match=r"made\.vot: writing failed .*space"):
        write_blocks(tmp_path / "made.vot", Table({"name": ["a"]}))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("suffix", ["fits", "ecsv"])
def test_a_table_of_no_rows_is_refused(tmp_path, suffix):
    make_table()[:0].write(tmp_path / f"none.{suffix}")
    with pytest.raises(SfhInputError, match="has no rows"):
        list(open_catalogue(tmp_path / f"none.{suffix}").read_blocks())


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("empty.csv", "a,b\n"),
        ("twice.csv", "a,a\n1,2\n"),
        ("no.ecsv", "# %ECSV 1.0\n"),
        ("a.parquet", "x"),
        ("a.vot", ""),
    ],
)
def test_tables_that_are_none_are_refused(tmp_path, name, content):
    (tmp_path / name).write_text(content)
    with pytest.raises(SfhInputError, match=name):
        open_catalogue(tmp_path / name)


def test_a_csv_by_semicolons_with_comments(tmp_path):
    path = tmp_path / "mine.csv"
    path.write_text("# survey\nid; mag_J0390\n1; 20.5\n2; \n", encoding="utf-8")
    opened = open_catalogue(path)
    (block,) = opened.read_blocks()
    one = read_band_photometry(block, match_band_columns(opened.names, BANDS), BANDS, PIVOT)
    assert one.mask[:, 0].tolist() == [True, False]


@pytest.mark.parametrize("name", ["c.csv", "c.csv.gz", "c.txt"])
@pytest.mark.parametrize(
    ("separator", "decimal"), [(";", ","), ("\t", ","), (" ", ","), ("|", "."), ("|", ","), (";", "."), (",", ".")]
)
def test_text_of_every_separator_and_decimal_mark(tmp_path, name, separator, decimal):
    rows = [["id", "J0390_uJy", "J0390_uJy_err"], ["a", "1.5", "0.25"], ["b", "2.5e1", "3"]]
    text = "\n".join(separator.join(word.replace(".", decimal) for word in row) for row in rows) + "\n"
    (tmp_path / name).write_bytes(gzip.compress(text.encode()) if name.endswith("gz") else text.encode())
    (block,) = open_catalogue(tmp_path / name).read_blocks()
    assert block["J0390_uJy"].tolist() == [1.5, 25.0]
    assert block["J0390_uJy_err"].tolist() == [0.25, 3.0]


@pytest.mark.parametrize(("suffix", "kind"), [(".ecsv", "ascii.ecsv"), (".vot", "votable")])
def test_tables_of_other_formats_may_be_gzipped(tmp_path, suffix, kind):
    make_table().write(tmp_path / f"t{suffix}", format=kind)
    packed = tmp_path / f"t{suffix}.gz"
    packed.write_bytes(gzip.compress((tmp_path / f"t{suffix}").read_bytes()))
    (block,) = open_catalogue(packed).read_blocks()
    np.testing.assert_allclose(block["J0390"], make_table()["J0390"])


def test_numbers_as_text_are_read_and_a_word_among_them_is_shown():
    one = photometry({"J0390_uJy": ["1.5", "", " 2 "], "J0390_uJy_err": ["0.1", "0.1", "0.1"]})
    assert one.mask[:, 0].tolist() == [True, False, True]
    with pytest.raises(SfhInputError, match=r"'J0390_uJy' holds no numbers but '<2'"):
        photometry({"J0390_uJy": ["1.5", "<2"]})


def test_a_first_line_that_is_no_names_is_refused(tmp_path):
    (tmp_path / "c.csv").write_text("a" * 200_000 + ",b\n1,2\n")
    with pytest.raises(SfhInputError, match=r"c\.csv: not readable as csv \(field larger"):
        open_catalogue(tmp_path / "c.csv")


def test_texts_beyond_ascii_are_escaped_in_fits_alone(tmp_path):
    table = Table({"größe": [1, 2], "Unnamed: 0": [0, 1], "name": ["galaxía", "b"]})
    for suffix in ("fits", "ecsv"):
        with CatalogueWriter(tmp_path / f"t.{suffix}", {"NOTE1": "of galaxía"}) as out:
            out.append(table)
    made = Table.read(tmp_path / "t.fits")
    assert made.colnames == ["gr\\xf6\\xdfe", "Unnamed_0", "name"]
    assert [str(v).strip() for v in made["name"]] == ["galax\\xeda", "b"]
    assert made.meta["NOTE1"] == "of galax\\xeda"
    assert Table.read(tmp_path / "t.ecsv")["name"].tolist() == ["galaxía", "b"]


def test_of_several_tables_that_with_most_rows_is_read(tmp_path):
    head, rows = Table({"Field Header Card": ["x"]}), make_table()
    hdus = [fits.PrimaryHDU(), fits.BinTableHDU(head, name="LDAC_IMHEAD"), fits.BinTableHDU(rows, name="LDAC_OBJECTS")]
    fits.HDUList(hdus).writeto(tmp_path / "t.fits")
    opened = open_catalogue(tmp_path / "t.fits")
    assert (opened.names, opened.n_rows) == (tuple(rows.colnames), 7)
    assert any("LDAC_OBJECTS" in note for note in opened.notes)


@pytest.mark.parametrize("name", ["c.txt", "c.cat", "c.dat.gz"])
@pytest.mark.parametrize(
    "comments",
    ["# id J0390_uJy err_J0390", "# made by CIGALE of a survey\n#id,J0390_uJy,err_J0390\n# units uJy",
     "#   1 id  Running number [count]\n#   2 J0390_uJy  a flux [uJy]\n#   3 err_J0390"],
)  # fmt: skip
def test_names_may_stand_in_comments(tmp_path, comments, name):
    separator = "," if "," in comments else " "
    text = "\n".join([comments, *(separator.join(row) for row in (("1", "20.5", "0.5"), ("2", "30.5", "0.5")))]) + "\n"
    (tmp_path / name).write_bytes(gzip.compress(text.encode()) if name.endswith("gz") else text.encode())
    opened = open_catalogue(tmp_path / name)
    assert opened.names == ("id", "J0390_uJy", "err_J0390")
    assert [block["J0390_uJy"].tolist() for block in opened.read_blocks(1)] == [[20.5], [30.5]]


@pytest.mark.parametrize("comments", ["", "# of survey A\n", "#   1 NUMBER  Number\n#   3 MAG_J0390\n", "# 1 2\n"])
def test_numbers_in_place_of_names_are_told(tmp_path, comments):
    (tmp_path / "sextractor.dat").write_text(comments + " 1 20.5\n 2 20.5\n")
    with pytest.raises(SfhInputError, match="no comment names its 2 columns"):
        open_catalogue(tmp_path / "sextractor.dat")


def test_errors_of_zero_are_told():
    with pytest.raises(SfhInputError, match="'mag_J0390_err' holds errors of 0"):
        photometry({"mag_J0390": [20.0, 21.0, 99.0], "mag_J0390_err": [0.0, 0.0, 99.0]})


@pytest.mark.parametrize(("value", "error", "used"), [
    (-99.0, 99.0, False), (-999.0, 0.1, False), (1e30, 1e30, False), (-0.5, 0.1, True), (-98.5, 0.1, True),
])  # fmt: skip
def test_fill_values_are_no_fluxes(value, error, used):
    one = photometry({"F_J0390_uJy": [value, 1.5], "e_F_J0390_uJy": [error, 0.1]})
    assert one.mask[:, 0].tolist() == [used, True]


def test_whole_numbers_may_be_minus_99():
    one = photometry({"F_J0390_uJy": [-99.0, -99.0, 5.0], "e_F_J0390_uJy": [40.0, 99.0, 1.0]})
    assert one.mask[:, 0].tolist() == [True, False, True]
    assert not photometry({"F_J0390_uJy": [-99.0, -99.0], "e_F_J0390_uJy": [0.1, 0.1]}).mask.any()


@pytest.mark.parametrize("encoding", ["latin-1", "utf-8"])
def test_letters_beyond_ascii_in_columns_of_fits_are_letters(tmp_path, encoding):
    """As bytes they ended a table in CSV or VOTable in a traceback, after all was computed."""
    names = np.array(["é1".encode(encoding), b"b"])
    fits.BinTableHDU.from_columns([fits.Column("ID", "3A", array=names)]).writeto(tmp_path / "c.fits")
    (block,) = open_catalogue(tmp_path / "c.fits").read_blocks()
    assert block["ID"].tolist() == ["é1", "b"]


def test_columns_without_a_name_and_damage_are_told_in_a_line(tmp_path):
    (tmp_path / "index.csv").write_text(",ID,mag_J0390,\n0,a,20.5,\n")
    opened = open_catalogue(tmp_path / "index.csv")
    (block,) = opened.read_blocks()
    assert opened.names == tuple(block.colnames) == ("col1", "ID", "mag_J0390", "col4")
    (tmp_path / "ragged.csv").write_text("a,b\n1,2\n1,2,3\n")
    with pytest.raises(SfhInputError, match="breaks off") as caught:
        list(open_catalogue(tmp_path / "ragged.csv").read_blocks())
    assert "\n" not in str(caught.value)
    (tmp_path / "latin.csv").write_bytes("ID,mag_J0390\né,20.5\n".encode("latin-1"))
    with pytest.raises(SfhInputError, match="save it as UTF-8"):
        open_catalogue(tmp_path / "latin.csv")


@pytest.mark.parametrize(
    ("card", "value"),
    [("TTYPE2", "-32"), ("TTYPE2", "(1.0, 2.0)"), ("TFORM2", "T"), ("TFIELDS", "99"), ("TFIELDS", "'2'")],
)
def test_a_damaged_header_of_a_table_is_told(tmp_path, card, value):
    path = tmp_path / "damaged.fits"
    vector_table().writeto(path)
    content = path.read_bytes()
    at = content.index(card.ljust(8).encode() + b"=", 2880)
    path.write_bytes(content[:at] + f"{card:8}= {value:>20}".ljust(80).encode() + content[at + 80 :])
    with pytest.raises(SfhInputError, match=r"damaged\.fits: ") as caught:
        list(open_catalogue(path).read_blocks())
    assert "\n" not in str(caught.value)


ORDER = ("J0410", "J0390", "J0400")


def vector_table(*columns, **cards):
    """Four objects in three bands, whose fluxes are 1, 2, 3 uJy in J0390, J0400, J0410; HDUs with the table first."""
    flux = np.tile([3.0, 1.0, 2.0], (4, 1))
    made = fits.BinTableHDU.from_columns(
        [fits.Column("ID", "J", array=np.arange(4)), fits.Column("FLUX_AUTO", "3D", "uJy", array=flux), *columns]
    )
    made.header.update(cards)
    return made


VECTOR_NAMES = {
    "a card": lambda: [vector_table(FILTERS=",".join(ORDER))],
    "numbered cards": lambda: [vector_table(**{f"BAND{k}": name for k, name in enumerate(ORDER, 1)})],
    "a column": lambda: [vector_table(fits.Column("NAMES", "24A", dim="(8,3)", array=np.array([ORDER] * 4)))],
    "a column of texts": lambda: [vector_table(fits.Column("NAMES", "24A", array=[" ".join(ORDER)] * 4))],
    "a table": lambda: [
        vector_table(),
        fits.BinTableHDU.from_columns([fits.Column("filter", "8A", array=np.array(ORDER))], name="FILTERS"),
    ],
}


@pytest.mark.parametrize("where", VECTOR_NAMES)
def test_vectors_have_the_order_that_the_file_states(tmp_path, where):
    fits.HDUList([fits.PrimaryHDU(), *VECTOR_NAMES[where]()]).writeto(tmp_path / "c.fits")
    catalogue = open_catalogue(tmp_path / "c.fits")
    bands = ("J0390", "J0400", "J0410")
    columns, (note,) = match_catalogue_columns(catalogue, bands)
    assert "1 J0410" in note
    (block,) = catalogue.read_blocks()
    flux = read_band_photometry(block, columns, bands, np.full(3, 4000.0)).flux
    np.testing.assert_allclose(flux / flux[:, :1], np.tile([1.0, 2.0, 3.0], (4, 1)))


@pytest.mark.parametrize(("n_bands", "words"), [(3, "as many as"), (4, "FILTERS"), (2, "FILTERS")])
def test_vectors_without_names_are_taken_in_order_where_they_are_as_many(tmp_path, n_bands, words):
    vector_table().writeto(tmp_path / "c.fits")
    bands = ("J0390", "J0400", "J0410", "J0420")[:n_bands]
    catalogue = open_catalogue(tmp_path / "c.fits")
    if n_bands == 3:
        columns, notes = match_catalogue_columns(catalogue, bands)
        assert [columns[band].index for band in bands] == [0, 1, 2]
        assert words in notes[0]
        return
    with pytest.raises(SfhInputError, match=words):
        match_catalogue_columns(catalogue, bands)


def test_names_of_another_number_of_bands_are_refused(tmp_path):
    vector_table(FILTERS="J0390,J0400").writeto(tmp_path / "c.fits")
    with pytest.raises(SfhInputError, match="2 bands"):
        match_catalogue_columns(open_catalogue(tmp_path / "c.fits"), ("J0390", "J0400", "J0410"))


def test_a_vector_is_chosen_with_its_relative_errors(tmp_path):
    more = [
        fits.Column("FLUX_APER", "3D", "uJy", array=np.ones((4, 3))),
        fits.Column("FLUX_RELERR_APER", "3D", array=np.full((4, 3), 0.1)),
    ]
    vector_table(*more, FILTERS=",".join(ORDER)).writeto(tmp_path / "c.fits")
    catalogue, bands = open_catalogue(tmp_path / "c.fits"), ("J0390", "J0400", "J0410")
    columns, _ = match_catalogue_columns(catalogue, bands, {"ALL": "FLUX_APER"})
    (block,) = catalogue.read_blocks()
    seen = read_band_photometry(block, columns, bands, np.full(3, 4000.0))
    np.testing.assert_allclose(seen.error, 0.1 * seen.flux)


def test_units_with_several_strokes_are_read_without_a_warning(recwarn):
    photometry({"J0390": [1.0], "J0390_err": [0.1]}, None, {"J0390": "J0390:1e-19 erg/s/cm2/AA,J0390_err"})
    assert not recwarn.list


def test_one_unit_may_be_stated_for_all_columns(tmp_path):
    """S-PLUS: J0390_auto with e_J0390_auto, magnitudes without a word that they are."""
    Table({"J0390_auto": [20.0], "e_J0390_auto": [0.1], "J0400_auto": [20.0], "e_J0400_auto": [0.1]}).write(
        tmp_path / "c.fits"
    )
    catalogue, bands = open_catalogue(tmp_path / "c.fits"), ("J0390", "J0400")
    (block,) = catalogue.read_blocks()
    columns, _ = match_catalogue_columns(catalogue, bands)
    with pytest.raises(SfhInputError, match="ALL=:uJy"):
        read_band_photometry(block, columns, bands, np.full(2, 4000.0))
    columns, _ = match_catalogue_columns(catalogue, bands, {"ALL": ":mag"})
    seen = read_band_photometry(block, columns, bands, np.full(2, 4000.0))
    np.testing.assert_allclose(seen.error / seen.flux, 0.0921, rtol=1e-3)
