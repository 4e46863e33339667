"""Results against other answers for the same galaxies: figures of each pair, and one table of all offsets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from napari_sfh.analysis.comparison import offsets
from napari_sfh.analysis.comparison.map_comparison import Comparison, compare_results
from napari_sfh.analysis.comparison.other_results import read_other_result
from napari_sfh.analysis.gas.line_maps import LineFluxes
from napari_sfh.errors import SfhInputError
from napari_sfh.io.atomic import ensure_folder
from napari_sfh.io.fits_access import strip_fits_suffix
from napari_sfh.io.results import read_result
from napari_sfh.types import Result

#: Name of the table in the output folder.
OFFSET_TABLE = "offsets.ecsv"
#: What a pattern of other answers calls the galaxy.
_NAME = "{name}"
_RESULT_ENDINGS = ("_sfh", "_result")


@dataclass(frozen=True)
class GalaxyPair:
    """A result file and the files of other answers."""

    result: Path
    others: tuple[Path, ...]


def list_galaxy_pairs(results: Sequence[Path], pattern: str) -> list[GalaxyPair]:
    """Pairs of results with the file that a pattern names for each galaxy, ``{name}`` being the result's name.

    The name is that of the file without its ending and without ``_sfh``.

    Parameters
    ----------
    results : sequence of Path
    pattern : str
        A path with ``{name}`` in it.

    Returns
    -------
    list of GalaxyPair

    Raises
    ------
    SfhInputError
        The pattern has no ``{name}``, or names a file that is not there.
    """
    if _NAME not in pattern:
        raise SfhInputError(f"`others` {pattern}: write {_NAME} where the galaxy's name stands")
    pairs = []
    for path in results:
        name = strip_fits_suffix(path)
        for ending in _RESULT_ENDINGS:
            name = name.removesuffix(ending)
        other = Path(pattern.replace(_NAME, name))
        if not other.exists():
            raise SfhInputError(f"{other}: no such file, for {path}; check `others`")
        pairs.append(GalaxyPair(path, (other,)))
    return pairs


def compare_galaxies(
    pairs: Sequence[GalaxyPair],
    output: Path,
    min_snr: float = 0.0,
    gas: bool = True,
    on_note: Callable[[str], None] | None = None,
) -> tuple[list[offsets.Offset], list[Path]]:
    """Compare, draw and tabulate.

    Parameters
    ----------
    pairs : sequence of GalaxyPair
    output : path
        Folder of the figures and of the table.
    min_snr : float
        Bins below it are left out of the offsets.
    gas : bool
        Measure the emission lines for the page of maps.
    on_note : callable, optional
        Gets what a reader must know.

    Returns
    -------
    offsets : list of Offset
        Of each pair; of all galaxies together, last, where there are several.
    paths : list of path
        Files written, the table last.

    Raises
    ------
    SfhInputError
        A file is no result, or no answer for its galaxy.
    """
    from napari_sfh.io.objects.writing import CatalogueWriter

    ensure_folder(output)
    found: list[offsets.Offset] = []
    paths: list[Path] = []
    kept: list[Comparison] = []
    for pair in pairs:
        result = read_result(pair.result)
        comparisons = [compare_results(result, read_other_result(other, result)) for other in pair.others]
        for comparison in comparisons:
            found += offsets.measure_offsets(comparison, min_snr)
            if on_note is not None:
                for note in comparison.other.notes:
                    on_note(f"{comparison.other.name}: {note}")
        paths += _draw_pair(result, comparisons, output, strip_fits_suffix(pair.result), min_snr, gas, on_note)
        kept += comparisons
    if len(pairs) > 1:
        found += offsets.measure_joint_offsets(kept, min_snr)
    table = output / OFFSET_TABLE
    with CatalogueWriter(table, name="OFFSETS") as out:
        out.append(offsets.build_offset_table(found))
    return found, [*paths, table]


def _draw_pair(
    result: Result,
    comparisons: Sequence[Comparison],
    output: Path,
    stem: str,
    min_snr: float,
    gas: bool,
    on_note: Callable[[str], None] | None,
) -> list[Path]:
    from napari_sfh.figures.files import save_figure
    from napari_sfh.figures.offsets import draw_map_columns, draw_offset_page

    lines = None
    if gas:
        try:
            lines = _measure_gas(result)
        except SfhInputError as error:
            if on_note:
                on_note(f"no maps of the gas: {error}")
    paths = [save_figure(draw_map_columns(result, comparisons, lines), output / f"{stem}_maps.png", dpi=110)]
    for k, comparison in enumerate(comparisons, 1):
        name = f"{stem}_offsets.png" if len(comparisons) == 1 else f"{stem}_offsets_{k}.png"
        paths.append(save_figure(draw_offset_page(comparison, min_snr), output / name, dpi=110))
    return paths


def _measure_gas(result: Result) -> LineFluxes:
    from napari_sfh.analysis.gas.line_fitting import measure_line_fluxes
    from napari_sfh.analysis.weights import load_result_bundle

    return measure_line_fluxes(result, load_result_bundle(result))
