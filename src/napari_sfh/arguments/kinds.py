"""Whether a value is of the kind that an annotation states, and words for both. Nothing heavy is imported."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from numbers import Integral, Real
from typing import Any, Literal, get_args, get_origin

#: Kinds of numbers in an array, as NumPy's `dtype.kind`, by the name of the annotation.
ARRAY_KINDS: Mapping[str, str] = {
    **dict.fromkeys(("F32", "F64", "Floats", "AnyArray", "NDArray[np.floating]", "NDArray[np.float64]"), "biuf"),
    **dict.fromkeys(("NDArray[np.integer]", "NDArray[np.intp]", "I32", "I64"), "iu"),
    **dict.fromkeys(("Bool", "NDArray[np.bool_]"), "b"),
}
_NUMBERS: Mapping[str, str] = {"biuf": "numbers", "iu": "whole numbers", "b": "truth values"}
_FUNCTIONS = ("Callable", "ReportProgress", "BlockEstimator")
_WORDS: Mapping[str, str] = {
    "Path": "a path, as text or `pathlib.Path`", "str": "text", "float": "a plain number", "int": "a whole number",
    "bool": "True or False", "None": "None", "Event": "a `threading.Event`",
}  # fmt: skip
#: Where objects come from.
_MAKERS: Mapping[str, str] = {
    "Result": "`napari_sfh.run` or `napari_sfh.read_result`",
    "RunConfig": "`napari_sfh.configure_run` or `napari_sfh.RunConfig`",
    "EstimateConfig": "`napari_sfh.estimate.EstimateConfig`",
    "Instrument": "`napari_sfh.instruments.files.load_instrument`",
    "Disc": "`napari_sfh.analysis.disc.guess_disc`",
    "OtherResult": "`read_other_result`",
    "Comparison": "`compare_results`",
    "SpaxelTruth": "`read_truth`",
    "BinnedTruth": "`bin_truth`",
    "PpxfFit": "`fit_ppxf`",
    "BinHistory": "`history_from_network` or `history_from_ppxf`",
    "BinView": "`average_bin_views`",
    "TemplateBasis": "`napari_sfh.load_bundle(NAME).basis`",
    "Observation": "a result, as `data`",
    "BinMap": "a result, as `bins`",
    "Table": "`build_summary_table`",
    "WCS": "astropy, or of a result, as `wcs`",
    "Figure": "Matplotlib",
}


@lru_cache(maxsize=1024)
def split_annotation(kind: str, mark: str) -> tuple[str, ...]:
    """Parts of an annotation between marks outside brackets.

    Parameters
    ----------
    kind : str
        The annotation.
    mark : str
        One letter.

    Returns
    -------
    tuple of str

    Examples
    --------
    >>> split_annotation("dict[str, int | None] | None", "|")
    ('dict[str, int | None]', 'None')
    """
    parts, depth = [""], 0
    for letter in kind:
        depth += {"[": 1, "(": 1, "]": -1, ")": -1}.get(letter, 0)
        if letter == mark and not depth:
            parts.append("")
        else:
            parts[-1] += letter
    return tuple(part.strip() for part in parts)


def is_of_kind(value: Any, kind: str, known: Mapping[str, Any]) -> bool:
    """Whether a value is what an annotation without ``|`` outside its brackets states.

    Parameters
    ----------
    value : object
    kind : str
        The annotation.
    known : mapping
        Names of its module: aliases of ``Literal``.

    Returns
    -------
    bool
    """
    head, _, inner = kind.partition("[")
    head, inner = head.rpartition(".")[2], inner.removesuffix("]")
    if kind in ARRAY_KINDS:
        return _is_plain_array(value, ARRAY_KINDS[kind])
    if head in _FUNCTIONS:
        return callable(value)
    if head in ("Mapping", "dict"):
        key, item = split_annotation(inner, ",")
        return isinstance(value, Mapping) and all(
            is_of_kind(k, key, known) and _is_any(v, item, known) for k, v in value.items()
        )
    if head in ("Sequence", "tuple"):
        items = split_annotation(inner, ",")
        whole = isinstance(value, Sequence) and not isinstance(value, str | bytes)
        fits = head == "Sequence" or items[-1] == "..." or (whole and len(value) == len(items))
        return whole and fits and all(_is_any(each, items[0], known) for each in value)
    if get_origin(alias := known.get(head)) is Literal:
        return isinstance(value, str) and value in get_args(alias)
    return _is_plain(value, head)


def _is_any(value: Any, kinds: str, known: Mapping[str, Any]) -> bool:
    return any(is_of_kind(value, each, known) for each in split_annotation(kinds, "|"))


def _is_plain(value: Any, kind: str) -> bool:
    """Texts, paths and numbers; objects by the name of their class."""
    match kind:
        case "Any" | "object":
            return True
        case "None":
            return value is None
        case "str" | "Path":
            return isinstance(value, str | os.PathLike) and "\0" not in os.fspath(value)
        case "float":
            return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)
        case "int":
            return isinstance(value, Integral) and not isinstance(value, bool)
        case "bool":
            return type(value).__name__ in ("bool", "bool_") or (isinstance(value, Integral) and value in (0, 1))
        case "Event":
            return callable(getattr(value, "is_set", None))
    return any(base.__name__ == kind for base in type(value).__mro__)


def _is_plain_array(value: Any, numbers: str) -> bool:
    """Whether an array needs no change; those of torch never do."""
    if hasattr(value, "device") and hasattr(value, "numel"):
        return True
    kind: Any = getattr(value, "dtype", None)
    return type(value).__name__ == "ndarray" and kind.kind in numbers and kind.isnative and kind.name != "float16"


def read_array(value: Any, numbers: str) -> Any:
    """A plain array of what may be one; None where it cannot.

    Parameters
    ----------
    value : object
    numbers : str
        Kinds that it may be of, a value of `ARRAY_KINDS`.

    Returns
    -------
    array or None
    """
    import numpy as np

    if isinstance(value, str | bytes | Mapping) or str(getattr(value, "unit", None) or ""):
        return None
    try:
        masked = isinstance(value, np.ma.MaskedArray) and bool(np.ma.getmaskarray(value).any())
        array = value.astype(float).filled(np.nan) if masked else np.asarray(value)
    except (TypeError, ValueError):
        return None
    if array.size == 0:  # of no kind that counts
        return array.astype({"iu": np.intp, "b": np.bool_}.get(numbers, np.float64))
    if array.dtype.kind not in numbers or array.ndim == 0:
        return None
    if array.dtype.name in ("float16", "float128", "longdouble"):
        return array.astype(np.float32 if array.dtype.itemsize < 4 else np.float64)
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def describe_value(value: Any) -> str:
    """What a value is, for a person, in a few words.

    Examples
    --------
    >>> import numpy as np
    >>> describe_value(np.zeros((2, 3))), describe_value(None), describe_value([1, 2])
    ('an array of float64, (2, 3)', 'None', 'a list of 2: [1, 2]')
    """
    name, text = type(value).__name__, "" if hasattr(value, "dtype") else repr(value)
    short = text if len(text) <= 40 and "\n" not in text else ""
    if value is None or isinstance(value, bool | float | int):
        return short or name
    if isinstance(value, str):
        return f"the text {short or repr(value[:30])}"
    if str(unit := getattr(value, "unit", None) or ""):
        return f"a {name} in {unit}"
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        what = "an array" if name == "ndarray" else f"a {name}"
        return f"{what} of {value.dtype}, {value.shape}" if value.shape else f"{value} ({name})"
    if isinstance(value, type):
        return f"the class {value.__name__}"
    if isinstance(value, Sequence | Mapping | set):
        return f"a {name} of {len(value)}" + (f": {short}" if short else "")
    return f"a {name}"


def describe_kinds(wanted: Sequence[str], known: Mapping[str, Any]) -> str:
    """What annotations ask for, for a person.

    Parameters
    ----------
    wanted : sequence of str
        One of them is enough.
    known : mapping
        As of `is_of_kind`.

    Returns
    -------
    str

    Examples
    --------
    >>> describe_kinds(("str", "Path", "None"), {})
    'a path, as text or `pathlib.Path` or None'
    """
    words = [_describe_kind(each, known) for each in wanted if not (each == "str" and "Path" in wanted)]
    return " or ".join(dict.fromkeys(words))


def _describe_kind(kind: str, known: Mapping[str, Any]) -> str:
    head, _, inner = kind.partition("[")
    head, inner = head.rpartition(".")[2], inner.removesuffix("]")
    if kind in ARRAY_KINDS:
        return f"an array of {_NUMBERS[ARRAY_KINDS[kind]]} without a unit"
    if head in _FUNCTIONS:
        return "a function"
    if head in ("Mapping", "dict", "Sequence", "tuple"):
        whole = [_describe_kind(each, known) for each in split_annotation(inner, ",") if each != "..."]
        items = [re.sub(r"^an? ", "", each) for each in whole]
        return f"a dictionary of {' to '.join(items)}" if head in ("Mapping", "dict") else f"a list of {items[0]}"
    if get_origin(alias := known.get(head)) is Literal:
        return f"one of {', '.join(map(str, get_args(alias)))}"
    article = "an" if head[0] in "AEIO" else "a"
    source = f" (from {_MAKERS[head]})" if head in _MAKERS else ""
    return _WORDS.get(head) or f"{article} {head}{source}"
