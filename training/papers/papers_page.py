"""The page of the five papers: every printed number, ours on like terms or why not, and measured explanations.

``page.md`` is its frame. In it ``[[PATH|FORMAT]]`` is a value of `measured_values`, ``[[paper:KEY]]`` a printed number,
``{{NAME}}`` a table made here.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from napari_sfh.io.atomic import ensure_folder, write_text_atomically
from napari_sfh.physics.means import MEAN_NAMES
from napari_sfh.physics.quantities import QUANTITIES
from napari_sfh.training.papers.measured_values import NOT_MEASURED, MeasuredValues
from napari_sfh.training.papers.printed_numbers import PrintedNumber, PrintedPaper, load_printed_papers
from napari_sfh.training.papers.recipe_choices import measure_seed_spread
from napari_sfh.training.studies.system_pages import format_label_noise_table, format_lookup_table

#: Name of the page, and of the folder of its figures beside it.
PAGE, FIGURE_FOLDER = "papers.md", "papers"
_VALUE = re.compile(r"\[\[([^\]|]+?)(?:\|([^\]]+))?\]\]")
#: Standard error of a median over that of a mean, Gaussian errors.
_MEDIAN_ERROR = 1.2533
_TABLE = re.compile(r"\{\{([a-z0-9-]+)\}\}")


def write_papers_page(reports: Path, output: Path, figures: Path | None = None) -> list[Path]:
    """Write the page, and copies of the figures beside it; returns the paths.

    Parameters
    ----------
    reports : path
        Folder of the reports.
    output : path
        Folder of the page.
    figures : path, optional
        Folder of ``evaluate --paper``; what an earlier call copied is kept without it.
    """
    ensure_folder(output)
    folder = output / FIGURE_FOLDER
    copied: list[Path] = []
    if figures is not None:
        folder.mkdir(exist_ok=True)
        copied = [Path(shutil.copy2(p, folder / p.name)) for p in sorted(figures.glob("*.png"))]
    page = output / PAGE
    write_text_atomically(page, format_papers_page(MeasuredValues(reports), _list_figures(folder)))
    return [page, *copied]


def _list_figures(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.glob("*.png")) if folder.is_dir() else []


def format_papers_page(values: MeasuredValues, figures: list[str]) -> str:
    """The page as Markdown.

    Parameters
    ----------
    values : MeasuredValues
        Our numbers, looked up in the reports.
    figures : list of str
        File names of the pictures beside the page.

    Returns
    -------
    str
    """
    papers = load_printed_papers()
    printed = {n.key: n for paper in papers for n in paper.numbers}
    tables: dict[str, Callable[[], str]] = {
        f"{paper.name}-{kind}s": _table_maker(paper, kind, values)
        for paper in papers
        for kind in ("result", "setting", "context")
    }
    tables |= {
        "counts": lambda: _format_counts(papers, values),
        "recipe-choices": lambda: _format_recipe_choices(values.read_report("recipe-choices")),
        "physics-choices": lambda: _format_physics_choices(values.read_report("physics-choices")),
        "noise-parts": lambda: _format_noise_parts(values.read_report("paper-phangs")),
        "ppxf-variants": lambda: _format_ppxf_variants(values.read_report("ppxf-variants")),
        "latent-islands": lambda: _format_latent_islands(values.read_report("paper-phangs")),
        "label-noise": lambda: _format_label_noise(values.read_report("spaxel-label-noise")),
        "lookup": lambda: _format_lookup(values.read_report("spaxel-lookup")),
        "lookup-fitted": lambda: _format_lookup(values.read_report("spaxel-lookup-fitted")),
        "labels-six-screens": lambda: _format_label_noise(values.read_report("spaxel-labels-six-screens")),
        "architectures": lambda: _format_architectures(values),
        "figures": lambda: _format_figures(figures),
    }

    def value(match: re.Match[str]) -> str:
        path, pattern = match.group(1), match.group(2) or "{}"
        if path.startswith("paper:"):
            return printed[path.removeprefix("paper:")].text
        return values.format_value(path, pattern)

    text = (resources.files("napari_sfh.training.papers") / "page.md").read_text(encoding="utf-8")
    text = _TABLE.sub(lambda m: tables[m.group(1)](), text)
    return _VALUE.sub(value, text).rstrip() + "\n"


def _table_maker(paper: PrintedPaper, kind: str, values: MeasuredValues) -> Callable[[], str]:
    numbers = paper.of_kind(kind)
    if kind != "setting":  # results that ours cannot be set beside are told with the context, folded away
        alone = tuple(n for n in paper.of_kind("result") if n.status == "not comparable")
        numbers = tuple(n for n in numbers if n not in alone) if kind == "result" else numbers + alone
    return lambda: _format_numbers(numbers, values, kind)


def _format_numbers(numbers: tuple[PrintedNumber, ...], values: MeasuredValues, kind: str) -> str:
    if kind == "context":
        rows = [
            f"| {_cell(n.quantity)} | {_cell(n.text)} | {n.place} | {_cell(_join_terms(n.terms, n.why))} |"
            for n in numbers
        ]
        return "\n".join(["| what | the paper | place | terms |", "|---|---|---|---|", *rows])
    head = ["| what | the paper | place | ours | terms |", "|---|---|---|---|---|"]
    return "\n".join(head + [_format_number(n, values) for n in numbers])


def _format_number(n: PrintedNumber, values: MeasuredValues) -> str:
    found = [(one.label, values.format_value(one.path, one.format)) for one in n.ours]
    known = any(text != NOT_MEASURED for _, text in found)
    ours = "; ".join(f"{label}: {text}" for label, text in found) if known else n.status if not found else NOT_MEASURED
    terms = _join_terms(n.status if known else "", n.terms, n.why)
    return f"| {_cell(n.quantity)} | {_cell(n.text)} | {n.place} | {_cell(ours)} | {_cell(terms)} |"


def _join_terms(*terms: str) -> str:
    return ". ".join(t.rstrip(".") for t in terms if t)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _format_counts(papers: tuple[PrintedPaper, ...], values: MeasuredValues) -> str:
    """How many numbers of each paper are results, and how many of these have ours beside them."""
    lines = ["| paper | numbers | lost in the text | results | with ours beside them | settings | context |"]
    lines.append("|---" * 7 + "|")
    for paper in papers:
        results = paper.of_kind("result")
        beside = sum(any(values.find(o.path) is not None for o in n.ours) for n in results)
        lost = sum(not n.value for n in paper.numbers)
        counts = [len(paper.numbers), lost, len(results), beside]
        counts += [len(paper.of_kind(k)) for k in ("setting", "context")]
        lines.append(f"| {paper.title} | {' | '.join(str(c) for c in counts)} |")
    return "\n".join(lines)


def _head_of_means(first: str, more: str = "") -> list[str]:
    names = " | ".join(QUANTITIES[k].title for k in MEAN_NAMES)
    columns = 1 + len(MEAN_NAMES) + (more.count("|") + 1 if more else 0)
    return [f"| {first} | {names} |{f' {more} |' if more else ''}", "|---" * columns + "|"]


def _format_recipe_choices(study: Mapping[str, Any] | None) -> str:
    if study is None:
        return f"*{NOT_MEASURED}*"
    rows = study["rows"]
    settings = study["settings"]
    spread = measure_seed_spread(rows)
    head = _head_of_means("choice", "SMAPE of masses | weights | s")
    lines = [
        f"{settings['n']} objects drawn (70 % fitted), {settings['epochs']} epochs, {settings['n_test']} test spectra; "
        f"standard deviations in dex. Half the range of the trainings that differ in random numbers alone: "
        + ", ".join(f"{QUANTITIES[k].title} {v:.3f}" for k, v in spread.items())
        + ". Differences below that mean nothing.",
        "",
        *head,
    ]
    for name, row in rows.items():
        means = " | ".join(f"{row['accuracy'][k]['std']:.3f}" for k in MEAN_NAMES)
        smape = f"{row['smape']:.0f} %" if "smape" in row else ""
        lines.append(f"| {name} | {means} | {smape} | {row['weights']} | {row['seconds']:.0f} |")
    return "\n".join(lines)


def _format_physics_choices(study: Mapping[str, Any] | None) -> str:
    if study is None:
        return f"*{NOT_MEASURED}*"
    settings = study["settings"]
    lines = [f"{settings['n']} objects drawn, {settings['epochs']} epochs, {settings['n_test']} test spectra each."]
    lines += [f"- `{k}`: isochrones {v['isochrones']}; IMF {v['imf']}" for k, v in study["libraries"].items()]
    for home, row in study["rows"].items():
        lines += ["", f"Trained with the stars of `{home}`: shift of the median / standard deviation, dex.", ""]
        lines += _head_of_means("tested with")
        for test, found in row["tests"].items():
            cells = [f"{found['shift'][k]:+.3f} / {found['accuracy'][k]['std']:.3f}" for k in MEAN_NAMES]
            lines.append(f"| {test} | {' | '.join(cells)} |")
    return "\n".join(lines).replace("| -", "| \N{MINUS SIGN}")


def _format_noise_parts(report: Mapping[str, Any] | None) -> str:
    if report is None or "noise_parts" not in report:
        return f"*{NOT_MEASURED}*"
    rows = {
        "the prior's own noise": report["accuracy"],
        **report["noise_parts"],
        "all of it": report["realistic_noise"],
    }
    lines = _head_of_means("noise: std, dex")
    for name, row in rows.items():
        cells = [f"{row[k]['std']:.3f}" for k in MEAN_NAMES]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _format_ppxf_variants(study: Mapping[str, Any] | None) -> str:
    if study is None:
        return f"*{NOT_MEASURED}*"
    lines = _head_of_means("pPXF: bias ± its error / std")
    for name, row in study["rows"].items():
        cells = [
            f"{a['bias']:+.3f} ± {_MEDIAN_ERROR * a['nmad'] / a['n'] ** 0.5:.3f} / {a['std']:.3f}"
            for a in (row["accuracy"][k] for k in MEAN_NAMES)
        ]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines).replace("| -", "| \N{MINUS SIGN}")


#: Islands of fewer objects are not described.
_LEAST_ISLAND = 20


def _format_latent_islands(report: Mapping[str, Any] | None) -> str:
    """Each island: its size, its commonest family, and the two properties that set it apart most."""
    if report is None or "apart" not in report.get("latent_islands", [{}])[0]:
        return f"*{NOT_MEASURED}*"
    lines = ["| objects | mostly of the family | its share there / of all | what sets it apart: there / elsewhere |"]
    lines.append("|---" * 4 + "|")
    for island in report["latent_islands"]:
        if island["n"] < _LEAST_ISLAND:
            continue
        apart = "; ".join(
            f"{QUANTITIES[row['property']].label if row['property'] in QUANTITIES else row['property']} "
            f"{row['here']:.2f} / {row['elsewhere']:.2f}"
            for row in island["apart"][:3]
        )
        share = f"{island['family_share']:.0%} / {island['family_share_of_all']:.0%}"
        lines.append(f"| {island['n']} | {island['family']} | {share} | {apart} |".replace(" -", " \N{MINUS SIGN}"))
    return "\n".join(lines)


def _format_label_noise(study: Mapping[str, Any] | None) -> str:
    return f"*{NOT_MEASURED}*" if study is None else "\n".join(format_label_noise_table(study["label_noise"]))


def _format_lookup(study: Mapping[str, Any] | None) -> str:
    return f"*{NOT_MEASURED}*" if study is None else "\n".join(format_lookup_table(study))


#: Reports of networks trained alike, and what they are.
_ARCHITECTURES = {
    "galceran2026": "attention (Galceran et al. 2026)",
    "four_branch": "four branches, no attention (Galceran et al. 2024)",
    "stem": "ours, of `phangs` and `wide`",
}


def _format_architectures(values: MeasuredValues) -> str:
    lines = _head_of_means("network: std, dex", "MW errors: r | LW errors: r | scatter at S/N 5 over 100, LW age")
    for name, words in _ARCHITECTURES.items():
        report = values.read_report(f"architectures/{name}")
        if report is None:
            continue
        means = " | ".join(f"{report['accuracy'][k]['std']:.3f}" for k in MEAN_NAMES)
        r = " | ".join(f"{report['error_correlation'][k]['r']:+.2f}" for k in ("mw", "lw"))
        low, high = (report["by_snr"][s]["accuracy"]["lg_age_lw"]["std"] for s in ("5", "100"))
        lines.append(f"| {words} | {means} | {r} | {low / high:.1f} |")
    return "\n".join(lines)


#: What the figures show, by their names.
_CAPTIONS = {
    "fig01": "Optical depths of the test set", "fig02": "The network, drawn from its layers",
    "fig03": "Four cases: history, metallicities, spectrum, bands; network blue, pPXF orange, truth black",
    "fig04": "Error of the SFR by age", "fig05": "Means recovered: network, pPXF",
    "fig06": "Age and metallicity errors: network, pPXF", "fig07": "Errors against both optical depths",
    "fig08": "Errors against S/N", "fig09": "LW age without bands", "fig10": "LW age without segments",
    "fig11": "LW [M/H] without bands", "fig12": "LW [M/H] without segments", "fig13": "Maps of a galaxy, two answers",
    "fig14": "Offsets of two answers", "fig15": "Loss and scatter against the size of the training set",
    "fig16": "Age and metallicity: truth and network", "fig17": "Latent space: ages", "fig18": "Latent space: [M/H]",
    "fig19": "Latent space: dust and Balmer lines", "fig20": "Means recovered with realistic noise",
    "fig21": "Segments and absorption features", "fig22": "Bands", "fig23": "MW age without bands",
    "fig24": "MW age without segments", "fig25": "MW [M/H] without bands", "fig26": "MW [M/H] without segments",
}  # fmt: skip


def _format_figures(figures: list[str]) -> str:
    if not figures:
        return f"*{NOT_MEASURED}*"
    lines = []
    for name in figures:
        stem = name.removesuffix(".png")
        caption = _CAPTIONS.get(stem[:5], stem)
        number = stem[3:5].lstrip("0")
        lines += [f"**Figure {number}.** {caption}.", "", f"![{caption}]({FIGURE_FOLDER}/{name})", ""]
    return "\n".join(lines).rstrip()
