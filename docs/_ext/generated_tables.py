"""Tables that are made from the package: age bins, mass scales, flags, what a result file holds."""

from __future__ import annotations

import inspect
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

from astropy.io import fits

from napari_sfh.analysis.maps import MAPS, list_result_maps
from napari_sfh.instruments.bundle_header import list_bundles
from napari_sfh.io.result_hdus import build_result_hdus
from napari_sfh.io.results import read_result
from napari_sfh.model.bundle import load_bundle
from napari_sfh.physics.ages import AGE_EDGES_GYR, AGE_GYR, LG_AGE_YR
from napari_sfh.physics.quantities import MEANS
from napari_sfh.training.prior.prior_config import load_prior
from napari_sfh.types import Flag

#: A result whose layout is described; it is written anew by the code of today.
RESULT = Path(__file__).parents[2] / "tests" / "data" / "bb56859_wide_sfh.fits.gz"
#: What stands behind the name of a quantity's error or quantiles.
_END = r"_(ERR|P16|P84)$"
_BINS_HEAD = "One row a bin; *16 values*: one in each [age bin](../method/method.md#age-bins)."


def describe_age_bins() -> Iterator[str]:
    """Number, ends and centre of every age bin."""
    yield from ("| bin | from (Gyr) | to (Gyr) | centre (Gyr) | log10 centre (yr) |", "|---" * 5 + "|")
    rows = zip(AGE_EDGES_GYR[:-1], AGE_EDGES_GYR[1:], AGE_GYR, LG_AGE_YR, strict=True)
    for k, (low, high, centre, lg) in enumerate(rows, 1):
        yield f"| {k} | {low:g} | {high:g} | {centre:.4g} | {lg:.2f} |"


def describe_mass_scales() -> Iterator[str]:
    """The library on whose scale the masses of each bundle of histories are, with its initial mass function."""
    yield from ("| weights | mass scale of | IMF |", "|---|---|---|")
    for name, path in list_bundles().items():
        bundle = load_bundle(path)
        if bundle.basis is None or not bundle.targets.n_age:
            continue
        libraries = tomllib.loads(bundle.meta["prior"]["toml"]).get("libraries")
        first = next(iter(libraries or load_prior(bundle.meta["prior"]["name"]).libraries))
        yield f"| `{name}` | {first} | {bundle.meta['libraries'][first]['imf']} |"


def describe_flags() -> Iterator[str]:
    """Bit, name and meaning of every flag, from the comments beside them."""
    comments = dict(re.findall(r"(\w+) = \d+  # (.+)", inspect.getsource(Flag)))
    yield from ("| bit | name | meaning |", "|---|---|---|")
    for flag in Flag:
        if flag.value:
            yield f"| {flag.value} | {flag.name} | {comments[str(flag.name)]} |"


def describe_result_file() -> Iterator[str]:
    """The images and the columns of BINS with units and comments, and the maps that are computed from them."""
    result = read_result(RESULT)
    hdus = list(build_result_hdus(result))
    images = [h for h in hdus if str(h.header.get("CTYPE1", "")).startswith("RA")]
    yield from ("### Images on the sky", "", "| extension | unit | content |", "|---|---|---|")
    rows = [(h.name, h.header.get("BUNIT", ""), "".join(str(h.header["COMMENT"]).split("\n"))) for h in images]
    for name, unit, text in _merge_rows(rows):
        yield f"| {name} | {unit} | {text} |"
    (bins,) = (h for h in hdus if h.name == "BINS")
    comments = [bins.header.get(f"TCOMM{k}", "") for k in range(1, len(bins.columns) + 1)]
    yield from (
        "",
        "### Columns of BINS",
        "",
        _BINS_HEAD,
        "",
    )
    yield from ("| column | unit | content |", "|---|---|---|")
    rows = [(c.name, c.unit or "", _count_values(c) + text) for c, text in zip(bins.columns, comments, strict=True)]
    for name, unit, text in _merge_rows(rows):
        yield f"| {name} | {unit} | {text} |"
    stored = {hdu.name for hdu in images}
    yield from ("", "### Maps that are computed", "", "No images of the file: the window and")
    yield "`napari_sfh.analysis.maps.make_map_image(result, NAME)` make them, in these units."
    yield from ("", "| map | unit | content |", "|---|---|---|")
    for name in list_result_maps(result):
        if name not in stored and not name.endswith("_ERR"):
            yield f"| `{name}` | {MAPS[name].unit} | {MAPS[name].title} |"


def _count_values(column: fits.Column) -> str:
    """How many values a row has, where they are more than one."""
    n = re.match(r"\d*", column.format).group()
    return f"{n} values, " if n not in ("", "1") else ""


def _merge_rows(rows: list[tuple[str, str, str]]) -> Iterator[tuple[str, str, str]]:
    """Name, unit and text with what belongs together in one row: a quantity and its errors, all times, all bands."""
    units = {q.map_name: q.unit for q in MEANS}
    names, families = [name for name, _, _ in rows], set()
    for name, unit, text in rows:
        family = re.sub(r"_F\d+W", "_BAND", re.sub(r"^T\d0", "T10 ... T90", name))
        if family in families or (re.search(_END, name) and re.sub(_END, "", name) in names):
            continue
        families.add(family)
        ends = [f"`{end}`" for end in ("_ERR", "_P16", "_P84") if f"{name}{end}" in names]
        more = f"; with {', '.join(ends)}" if ends else ""
        what = text.replace(" 10 %", " 10 ... 90 %") if name == "T10" else text
        yield f"`{family}`", unit or units.get(name, ""), what + more
