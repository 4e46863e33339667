"""Write docs/results/stand-ins.md: what ACS images in place of UVIS ones cost, for all shipped weights of these bands.

    python docs/make_standins.py [N]

N objects of the prior ``wide`` (2000); some minutes on two cores. Templates are fetched if they are not at hand.
"""

from __future__ import annotations

import sys
from pathlib import Path

from napari_sfh.instruments.bundle_header import list_bundles
from napari_sfh.model.bundle import load_bundle
from napari_sfh.training.prior.prior_config import load_prior
from napari_sfh.training.simulator.simulation import prepare_prior
from napari_sfh.training.studies import camera_substitution

HEAD = """# Another camera's bands

ACS F435W is not UVIS F438W (it is broader and reaches 3600 Å), and V and I of ACS differ a little from those of UVIS.
The network takes ACS (and WFPC2) images as the bands that it was trained on, uncorrected, and flags the bins
`OTHER_CAMERA`. What ACS costs, measured by `python docs/make_standins.py`: every object is observed twice with the same
noise, and the two answers are compared.
"""


def main(n: int) -> None:
    """Measure and write."""
    source = prepare_prior(load_prior("wide"))
    parts = [HEAD]
    for name, path in list_bundles().items():
        bundle = load_bundle(path)
        if bundle.instrument.band_names != source.instrument.band_names:
            continue
        costs = camera_substitution.measure_substitution_costs(source, bundle, n)
        parts.append(
            camera_substitution.format_substitution_table(
                costs, f"Weights `{name}` ({bundle.sha256[:12]}), {n} objects of the prior `wide`"
            )
        )
    out = Path(__file__).parent / "results" / "stand-ins.md"
    out.write_text("\n".join(parts), encoding="utf-8")
    print(out.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 2000)
