"""What a notebook hands to the public functions by mistake is refused before any work, in words and for all alike."""

import inspect
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import astropy.units as u
import numpy as np
import pytest
from astropy.wcs import WCS
from smooth_result import make_result

from napari_sfh import RunConfig, SfhInputError
from napari_sfh.analysis.credibility.prior_influence import measure_result_prior_share
from napari_sfh.analysis.disc import guess_disc
from napari_sfh.analysis.gradients import fit_all_gradients
from napari_sfh.analysis.regions import Outline, average_bin_views
from napari_sfh.arguments.checked_calls import check_arguments
from napari_sfh.physics.means import compute_population_means

API = Path(__file__).parents[2] / "docs" / "reference" / "api.md"
#: What the package makes, and users take apart.
PARTS = ("Result", "BinMap", "Observation", "Prediction", "Flag", "BinView", "Progress", "Cancelled")
SKY = WCS(
    {"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CDELT1": -1e-4, "CDELT2": 1e-4, "CUNIT1": "deg", "CUNIT2": "deg"}
)


def list_arguments() -> Iterator[Any]:
    """Every argument with a type of every function and class that the reference lists."""
    for line in re.findall(r"^   ([a-zA-Z_][\w.]*)$", API.read_text(encoding="utf-8"), re.MULTILINE):
        module, _, name = f"napari_sfh.{line}".rpartition(".")
        target = getattr(import_module(module), name)
        if name in PARTS or (isinstance(target, type) and issubclass(target, Exception)):
            continue
        for argument in inspect.signature(target).parameters.values():
            if argument.annotation != "Any":
                yield pytest.param(target, argument.name, id=f"{name}-{argument.name}")


@pytest.mark.parametrize(("function", "name"), list(list_arguments()))
def test_every_public_function_refuses_what_it_cannot_use_and_says_what_it_takes(function: Any, name: str) -> None:
    with pytest.raises(SfhInputError, match=f"`{name}` is an? .*: give "):
        function(**{name: object()})


@check_arguments
def take(path: "str | Path" = "", size: "float" = 1.0, count: "int" = 1, flag: "bool" = False) -> Any:
    """Arguments as they are."""
    return path, size, count, flag


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"path": np.zeros((2, 3))}, r"an array of float64, \(2, 3\): give a path"),
        ({"path": "a\0b"}, "give a path"),
        ({"size": "3"}, "the text '3': give a plain number"),
        ({"size": 3 * u.mag}, "a Quantity in mag: give a plain number"),
        ({"size": float("nan")}, "nan: give a plain number"),
        ({"size": True}, "True: give a plain number"),
        ({"count": 3.0}, "3.0: give a whole number"),
        ({"flag": "no"}, "the text 'no': give True or False"),
        ({"sise": 3.0}, "`sise` is no argument of it; did you mean `size`"),
    ],
)
def test_plain_values_are_told_apart(given: dict[str, Any], words: str) -> None:
    with pytest.raises(SfhInputError, match=words):
        take(**given)


def test_numbers_of_numpy_and_paths_are_what_they_stand_for() -> None:
    values = {"path": Path("a"), "size": np.float32(2), "count": np.int64(3), "flag": np.bool_(True)}
    assert take(**values) == (Path("a"), 2, 3, True)
    assert RunConfig("cube.fits", hdu=1).hdu == "1"
    assert RunConfig("cube.fits", binning=Path("bins.fits")).binning == "bins.fits"


@check_arguments
def measure_rows(image: "NDArray[np.floating]", rows: "NDArray[np.integer]") -> Any:  # noqa: F821
    """Both as they arrive.

    Parameters
    ----------
    image : array (ny, nx)
    rows : int array (ny,)
    """
    return image, rows


def test_arrays_arrive_plain() -> None:
    """Lists, masked arrays, another byte order and half precision."""
    masked = np.ma.masked_greater(np.arange(6, dtype=">f4").reshape(2, 3), 4)
    image, rows = measure_rows(masked, [0, 1])
    assert type(image) is np.ndarray
    assert image.dtype.isnative
    assert rows.tolist() == [0, 1]
    assert np.isnan(image).tolist() == [[False, False, False], [False, False, True]]
    half, _ = measure_rows(np.full((2, 3), 60000, np.float16), np.array([0, 1]))
    assert half.sum() == 360000


@pytest.mark.parametrize(
    ("image", "rows", "words"),
    [
        (np.zeros(6), [0, 1], r"`image` has the shape \(6,\): it must be \(ny, nx\)"),
        (np.zeros((2, 3)), [0, 1, 2], "`image` has ny = 2"),
        (np.zeros((2, 3)), [0.0, 1.0], "an array of whole numbers"),
        (np.zeros((2, 3)), [True, False], "an array of whole numbers"),
        (np.zeros((2, 3)) * u.Jy, [0, 1], "a Quantity in Jy: give an array of numbers without a unit"),
        (np.array([["a"]]), [0], "an array of numbers"),
        (np.array(3.0), [0], r"shape \(\)"),
    ],
)
def test_arrays_of_other_shapes_and_units_are_refused(image: Any, rows: Any, words: str) -> None:
    with pytest.raises(SfhInputError, match=words):
        measure_rows(image, rows)


def test_arrays_fit_the_bins_of_their_result_and_each_other() -> None:
    result = make_result()
    with pytest.raises(SfhInputError, match=f"the result has N = {result.bins.n_bins}"):
        fit_all_gradients(result=result, use=np.ones(result.bins.n_bins + 1, bool))
    for rows in ([-1], [result.bins.n_bins]):
        with pytest.raises(SfhInputError, match="those of the bins are 0 to"):
            average_bin_views(result, rows)
    for odd in (result.bins.n_bins, "x", np.ones(2, bool)):
        with pytest.raises(SfhInputError, match=r"`rows` .*: those of the bins are 0 to"):
            measure_result_prior_share(result, "lg_age_lw", odd)
    with pytest.raises(SfhInputError, match="A = 3"):
        compute_population_means(*(np.ones((2, 3)),) * 3)
    with pytest.raises(SfhInputError, match="corners"):
        Outline(np.zeros(3))
    with pytest.raises(SfhInputError, match="too few"):
        guess_disc(np.array([[1.0], [2.0]]), SKY)
    with pytest.raises(SfhInputError, match="no celestial axes"):
        guess_disc(np.ones((3, 3)), WCS(naxis=2))
    for name in ("AGE", None, np.zeros(2)):
        with pytest.raises(SfhInputError, match="is no predicted quantity"):
            result.prediction.half_width(name)
    with pytest.raises(SfhInputError, match="no bin with a prediction"):
        average_bin_views(result, [])
