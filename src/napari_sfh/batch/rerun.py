"""Whether a result file is already what a run would make: complete, unaltered, of the same files, settings and weights.

An input file is known by its name, size and date of change, as by ``make``: hashing cubes of 10 GB would take longer
than many runs. The weights are known by their sha256, the result file by the checksums of its extensions.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from napari_sfh import __version__
from napari_sfh.config import RunConfig
from napari_sfh.digests import hash_file
from napari_sfh.errors import SfhInputError
from napari_sfh.io.cleaning.companions import find_companion_files
from napari_sfh.io.mosaic_images.weight_maps import find_weight_map_file
from napari_sfh.io.outputs import check_outputs, check_result_name, summary_page_path
from napari_sfh.io.results import read_provenance

#: Setting of a result that holds what `describe_input_files` returns.
INPUTS: str = "inputs"
#: Settings that change where a result is computed, not what it is.
_NOT_COMPARED = ("device",)


def list_input_files(config: RunConfig) -> dict[str, Path]:
    """Every file that a run reads, apart from its weights, by what it is to the run."""
    files = dict(config.photometry) if config.cube is None else {"cube": config.cube, **config.photometry}
    beside = [] if config.cube is None else find_companion_files(config.cube)
    files |= {f"cube's {path.name}": path for path in beside}
    for band, path in config.photometry.items():
        weight = find_weight_map_file(path)
        if weight is not None:
            files[f"{band} weight"] = weight
    if config.maps is not None:
        files["maps"] = config.maps
    for key, text in (("binning", config.binning), ("lsf", config.lsf)):
        if text is not None and Path(text).is_file():
            files[key] = Path(text)
    return files


def check_run_outputs(config: RunConfig, output: Path) -> None:
    """Refuse an output of a run that is one of its inputs, or would replace a file that is no result.

    Parameters
    ----------
    config : RunConfig
    output : Path
        The result file; its page is looked at, too.

    Raises
    ------
    SfhInputError
        Names the file and says what to do.
    """
    weights = [Path(config.model)] if Path(config.model).is_file() else []
    check_outputs([output, summary_page_path(output)], [*list_input_files(config).values(), *weights])
    check_result_name(output)


def describe_input_files(config: RunConfig) -> str:
    """Size in bytes and date of change (seconds since 1970) of every file of a run: ``cube 123 1700000000, ...``."""
    files = list_input_files(config)
    seen = {key: path.stat() for key, path in files.items() if path.exists()}
    return ", ".join(f"{key} {s.st_size} {int(s.st_mtime)}" for key, s in sorted(seen.items()))


def hash_weights_file(model: str) -> str:
    """sha256 of the weights file that ``model`` names, as results carry it.

    Raises
    ------
    SfhInputError
        No such weights.
    """
    from napari_sfh.instruments.bundle_header import find_bundle_file

    return hash_file(find_bundle_file(model))


def explain_rerun(config: RunConfig, output: Path) -> str:
    """Why ``config`` must be run for ``output`` to be its result; empty where that is done already.

    Parameters
    ----------
    config : RunConfig
        What is asked for.
    output : Path
        The result file that may be there already.

    Returns
    -------
    str
        A reason for a person.

    Raises
    ------
    SfhInputError
        An input file or the weights cannot be read.
    """
    if not output.exists():
        return "there was no result"
    try:
        made = read_provenance(output)
    except SfhInputError as error:
        return str(error).removeprefix(f"{output}: ")
    if made["model_sha256"] != hash_weights_file(config.model):
        return f"other weights: made with {made['model_name']} {made['model_sha256'][:12]}"
    if made.get("version") != __version__:
        return f"made by version {made.get('version')}, this is {__version__}"
    for key, value in config.settings().items():
        if key not in _NOT_COMPARED and made.get(key) != value:
            return f"other settings: {key} was {_format_setting(made.get(key))}, is {_format_setting(value)}"
    gone = [k for k in made if k.startswith("photometry_") and k not in config.settings()]
    if gone:
        return f"other settings: {gone[0]} was {made[gone[0]]}, is not given"
    return _explain_changed_files(str(made.get(INPUTS, "")), describe_input_files(config))


def _format_setting(value: Any) -> str:
    return "not given" if value is None else str(value)


def _explain_changed_files(before: str, now: str) -> str:
    """Which input files are others."""
    if before == now:
        return ""
    if not before:
        return "made by a run that did not record its input files"
    others = sorted({entry.rsplit(" ", 2)[0] for entry in {*before.split(", ")} ^ {*now.split(", ")}})
    return f"other input files (size or date): {', '.join(others)}"
