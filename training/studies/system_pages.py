"""Markdown tables of what the published systems reach; every number comes from a measurement."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from napari_sfh.training.studies.narrow_bands.realistic_catalogues import COMPARED_SCALARS
from napari_sfh.training.studies.narrow_bands.spaxel_tests import PAPER_GRADIENT_SCATTER, PAPER_SCATTER

_NAMES = {
    "lg_age": "log age",
    "lg_age_lw": "LW log age",
    "mh": "[M/H]",
    "mh_mw": "[M/H]",
    "mh_lw": "LW [M/H]",
    "ebv": "E(B-V)",
}
Measured = Mapping[str, Any]


def _format_rows(head: list[str], rows: list[list[str]]) -> list[str]:
    return [f"| {' | '.join(head)} |", "| --- " * len(head) + "|", *(f"| {' | '.join(row)} |" for row in rows)]


def _format_record(measured: Measured) -> list[str]:
    machine, seconds = measured.get("machine", {}), measured.get("seconds")
    spent = "" if seconds is None else f"; {seconds:.0f} s of processor time"
    commit = f" Commit {measured['commit']}." if measured.get("commit") else ""
    command = f"    {measured.get('command', '')}"
    return ["", command, "", f"Machine: {machine.get('cpu', 'unknown')}{spent}.{commit}", ""]


def format_spaxel_page(measured: Measured) -> str:
    """Sets A and B, classes, trends and learning curve of the spaxel network; or noise of the labels, or a look-up."""
    if "label_noise" in measured:
        return "\n".join([*_format_record(measured), *format_label_noise_table(measured["label_noise"]), ""])
    if "lookup" in measured:
        return "\n".join([*_format_record(measured), *format_lookup_table(measured), ""])
    spread = measured["spread"]
    facts = (
        f"{measured['n_galaxies']} galaxies, {measured['n_spaxels']} spaxels in all, {measured['bands']} bands; "
        f"labels spread by {spread['lg_age']:.3f} dex in log age and {spread['mh']:.3f} in [M/H]; "
        f"labels: {measured['labels']}."
    )
    rows = []
    for kind, tables in measured["sets"].items():
        for name in ("lg_age", "mh"):
            t = tables[name]
            g, truth = t.get("gradient"), t.get("against_truth")
            rows.append(
                [
                    kind,
                    _NAMES[name],
                    f"{t['bias']:+.3f}",
                    f"{t['std']:.3f}",
                    f"{t['nmad']:.3f}",
                    f"{PAPER_SCATTER[kind][name]:.2f}",
                    "" if truth is None else f"{truth['nmad']:.3f}",
                    "" if g is None else f"{g['nmad']:.3f}",
                    f"{PAPER_GRADIENT_SCATTER[kind][name]:.2f}",
                ]
            )
    head = ["set", "quantity", "bias", "std", "robust std", "paper", "against truth", "gradient: robust std", "paper"]
    lines = [*_format_record(measured), facts, "", *_format_rows(head, rows)]
    if measured.get("classes", {}).get("scatter"):
        lines += ["", "Trained on one class of galaxies, applied to both (robust std; galaxies split):", ""]
        cells = [
            [a, b, *(f"{t[name]['nmad']:.3f}" for name in ("lg_age", "mh"))]
            for a, tests in measured["classes"]["scatter"].items()
            for b, t in tests.items()
        ]
        lines += _format_rows(["trained on", "applied to", "log age", "[M/H]"], cells)
    if "learning_curve" in measured:
        curve = measured["learning_curve"]
        lines += ["", f"Robust std of log age by what was trained on ({curve['runs']} runs, mean and std):", ""]
        cells = [
            [f"{100 * share:g} %", *(f"{curve[k]['mean'][i]:.3f} ± {curve[k]['std'][i]:.3f}" for k in ("A", "B"))]
            for i, share in enumerate(curve["shares"])
        ]
        lines += _format_rows(["share", "set A", "set B"], cells)
    lines += _format_trends(measured)
    return "\n".join([*lines, ""])


def format_label_noise_table(rows: Measured) -> list[str]:
    """Robust standard deviations by S/N of the spectra that labels are fitted to.

    Parameters
    ----------
    rows : mapping
        Of `label_noise.measure_label_noise`.

    Returns
    -------
    list of str
        Lines of Markdown.
    """
    cells = [
        [
            snr,
            _NAMES[name],
            f"{row['labels'][name]['nmad']:.3f}",
            *(f"{row[kind][name]['nmad']:.3f}" for kind in ("A", "B")),
            *(f"{row[kind][name]['against_truth']['nmad']:.3f}" for kind in ("A", "B")),
        ]
        for name in ("lg_age", "mh")
        for snr, row in rows.items()
    ]
    head = ["S/N of the fit", "quantity", "labels − truth", "A − labels", "B − labels", "A − truth", "B − truth"]
    n = next(iter(rows.values()))["n_spaxels"]
    return [
        f"Robust std; {n} spaxels. The fit sees one pixel's S/N, the bands a hundred pixels together.",
        "",
        *_format_rows(head, cells),
    ]


def format_lookup_table(measured: Measured) -> list[str]:
    """What the label of the most similar trained spectrum gives in both sets.

    Parameters
    ----------
    measured : mapping
        Of ``paper-systems spaxels --lookup``.

    Returns
    -------
    list of str
        Lines of Markdown.
    """
    cells = [
        [
            kind,
            *(f"{row[name]['std']:.3f} / {row[name]['nmad']:.3f}" for name in ("lg_age", "mh")),
            f"{100 * row['same_galaxy']:.0f} %",
        ]
        for kind, row in measured["lookup"].items()
    ]
    return [
        f"{measured['n_spaxels']} spaxels of {measured['n_galaxies']} galaxies; labels: {measured['labels']}. Std / "
        "robust std of the label of the most similar spectrum that was trained on.",
        "",
        *_format_rows(["set", "log age", "[M/H]", "found in the same galaxy"], cells),
    ]


def _format_trends(measured: Measured) -> list[str]:
    """Correlation of galaxies' errors with their properties."""
    rows = [
        [kind, _NAMES[name], key, f"{t['correlation_of_median']:+.2f}", f"{t['correlation_of_scatter']:+.2f}"]
        for kind, tables in measured["sets"].items()
        for name, trends in tables.get("trends", {}).items()
        for key, t in trends.items()
    ]
    if not rows:
        return []
    head = ["set", "quantity", "property", "median error", "scatter"]
    return ["", "Correlation of galaxies' errors with their properties:", "", *_format_rows(head, rows)]


def format_catalogue_page(measured: Measured) -> str:
    """Errors by magnitude of the weights that ship and of the paper's networks, and across libraries."""
    lines = _format_record(measured)
    lines += [f"Weights `{measured['model']}`: bias / std / NMAD, truths inside the 68 % interval.", ""]
    if "by_magnitude" in measured:
        lines += _format_magnitudes(measured["by_magnitude"])
    for name, rows in measured.get("by_library", {}).items():
        lines += ["", f"The same on {name} alone:", "", *_format_magnitudes(rows)]
    if "faint_end" in measured:
        lines += ["", *_format_faint_end(measured["faint_end"])]
    networks = measured.get("paper_networks")
    if networks:
        lines += ["", f"The paper's three networks ({networks['n']} objects, {networks['epochs']} epochs):", ""]
        lines += _format_magnitudes(networks["by_magnitude"])
        lines += ["", "The paper's networks across libraries, magnitudes 16 to 18: bias / std / NMAD.", ""]
        cells = [
            [source, name, *(_format_errors(t) for t in tables.values())]
            for source, tests in networks["across"].items()
            for name, tables in tests.items()
        ]
        lines += _format_rows(["trained on", "tested on", "log age", "[M/H]", "E(B-V)"], cells)
    if "realism" in measured:
        lines += ["", "One step towards galaxies after the other: light-weighted age and [M/H].", ""]
        lines += _format_realism(measured["realism"])
    return "\n".join([*lines, ""])


def _format_faint_end(measured: Measured) -> list[str]:
    """Scatter of log age of a network at the faintest magnitude, and the least that the bands allow."""
    cells = [
        [name, str(row["n"]), *(f"{row[k]:.3f}" for k in ("spread", "network", "median", "optimum", "told"))]
        for name, row in measured["rows"].items()
    ]
    head = ["objects", "number", "spread of the truth", "weights", "median", "mean", "mean, told which"]
    return [
        f"Scatter (std) of log age at magnitude {measured['magnitude']:g}, of the weights (they answer the median) and "
        f"without a network: median and mean of the posterior over {measured['n_models']} noiseless objects of "
        'the prior. The mean\'s scatter is the least that the bands allow. "Common ages" begin at '
        f'{1000 * measured["youngest_common_gyr"]:.0f} Myr, the youngest that every library has. "Told which": only '
        "such objects are in the prior.",
        "",
        *_format_rows(head, cells),
    ]


def _format_realism(skies: Mapping[str, Mapping[str, Any]]) -> list[str]:
    cells = [
        [
            sky,
            f"`{name}`",
            *(_format_errors(row[k]) if k in row else "" for k in COMPARED_SCALARS),
            f"{100 * row['out_of_depth']:.1f} %",
        ]
        for sky, rows in skies.items()
        for name, row in rows.items()
    ]
    return _format_rows(["objects", "weights", "log age", "[M/H]", "E(B-V)", "out of distribution"], cells)


def _format_magnitudes(rows: Mapping[str, Mapping[str, Any]]) -> list[str]:
    first = next(iter(rows.values()))
    names = [name for name in first if name != "out_of_depth"]
    strange = "out_of_depth" in first
    cells = [
        [
            magnitude,
            *(_format_errors(row[n]) for n in names),
            *([f"{100 * row['out_of_depth']:.1f} %"] if strange else []),
        ]
        for magnitude, row in rows.items()
    ]
    spread = [f"{first[n]['spread']:.3f}" for n in names]
    cells.append(["spread of the truth", *spread, *([""] if strange else [])])
    head = ["magnitude", *(_NAMES[n] for n in names), *(["out of distribution"] if strange else [])]
    return _format_rows(head, cells)


def _format_errors(t: Mapping[str, float]) -> str:
    covered = f", {100 * t['p68']:.0f} %" if "p68" in t else ""
    return f"{t['bias']:+.3f} / {t['std']:.3f} / {t['nmad']:.3f}{covered}"


def format_percentile_page(measured: Measured) -> str:
    """Accuracies beside the thesis', and coverage; or those of weights on spectra like stacks."""
    if "stack_like" in measured:
        return "\n".join([*_format_record(measured), *_format_stack_like(measured), ""])
    rows = []
    for name, found in measured["accuracy"].items():
        printed, cover = measured["thesis"].get(name), measured["coverage"][name]
        rows.append(
            [
                name,
                f"{found['r2']:.2f}",
                "" if printed is None else f"{printed:.2f}",
                f"{found['nmad']:.3f}",
                f"{100 * cover['p68']:.1f}",
                f"{100 * cover['p95']:.1f}",
            ]
        )
    table = _format_rows(["quantity", "100 R2", "thesis", "NMAD", "68 %", "95 %"], rows)
    joint = measured.get("joint_coverage")
    lines = [*_format_record(measured), *table]
    if joint:
        away = max(abs(a - b) for a, b in zip(joint["nominal"], joint["true"], strict=True))
        lines += ["", f"Joint coverage of all ten (TARP): at most {100 * away:.1f} % from nominal."]
    return "\n".join([*lines, ""])


def _format_stack_like(measured: Measured) -> list[str]:
    """R2, NMAD and coverage of each quantity, a column a view."""
    views = measured["stack_like"]
    first = next(iter(views.values()))
    names = [name for name in first if name not in ("n", "out_of_depth")]
    cells = [
        [
            name,
            *(
                f"{row[name]['r2']:.1f} / {row[name]['nmad']:.2f} / {100 * row[name]['p68']:.0f} %"
                for row in views.values()
            ),
        ]
        for name in names
    ]
    warned = [f"{100 * row['out_of_depth']:.1f} %" for row in views.values()]
    return [
        f"Weights `{measured['model']}` (sha256 `{measured['sha256'][:12]}`), {first['n']} new objects of their prior: "
        "100 R2 / NMAD / truths inside the 68 % interval.",
        "",
        *_format_rows(["quantity", *views], [*cells, ["out of distribution", *warned]]),
    ]
