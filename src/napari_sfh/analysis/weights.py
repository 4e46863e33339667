"""The weights that made a result, found again by their sha256: their templates and posterior belong to it."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from napari_sfh.digests import hash_file
from napari_sfh.errors import SfhInputError
from napari_sfh.types import Result

if TYPE_CHECKING:
    from napari_sfh.model.bundle import Bundle


def find_result_weights(result: Result) -> Path:
    """The weights file that made a result: a shipped one, or the file where the run had it.

    Raises
    ------
    SfhInputError
        Neither has the result's sha256.
    """
    from napari_sfh.instruments.bundle_header import list_bundles

    shipped = list_bundles()
    places = [shipped[name] for name in sorted(shipped, key=lambda name: name != result.model_name)]
    places.append(Path(str(result.settings.get("model", ""))).expanduser())
    for path in places:
        if path.is_file() and hash_file(path) == result.model_sha256:
            return path
    raise SfhInputError(
        f"the weights {result.model_name!r} (sha256 {result.model_sha256[:12]}…) that made this result are not here; "
        "put the file where the run had it, or run the galaxy again with the weights of today"
    )


def load_result_bundle(result: Result) -> Bundle:
    """Open the weights that made a result; the last ones stay in memory.

    Raises
    ------
    SfhInputError
        As `find_result_weights`, or the file is not of this version.
    """
    return _load_bundle_once(find_result_weights(result), result.model_sha256)


@lru_cache(maxsize=1)
def _load_bundle_once(path: Path, sha256: str) -> Bundle:
    from napari_sfh.model.bundle import load_bundle

    return load_bundle(path)
