"""report.json and report.html: the numbers of an evaluation, and one self-contained page with its pictures."""

from __future__ import annotations

import base64
import html
import io
import json
import os
from collections.abc import Generator
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from napari_sfh.errors import SfhInputError
from napari_sfh.io.atomic import write_text_atomically
from napari_sfh.jobs import ReportProgress, report_progress
from napari_sfh.training.evaluation import report_figures
from napari_sfh.training.evaluation.evaluation import Evaluation
from napari_sfh.types import Progress

_DPI = 80
_STYLE = """body { font-family: sans-serif; max-width: 1100px; margin: 2em auto; color: #222 }
table { border-collapse: collapse; margin: 0.5em 0 } td, th { padding: 2px 10px; text-align: right;
border-bottom: 1px solid #ddd } th:first-child, td:first-child { text-align: left } img { max-width: 100% }"""


def prepare_output_folder(folder: Path) -> None:
    """Make the output folder, and see that it can be written, before hours are spent.

    Raises
    ------
    SfhInputError
        It cannot be.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".{os.getpid()}.tmp"
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        raise SfhInputError(
            f"`output` {folder}: cannot be written ({error.strerror}); choose another folder"
        ) from error


def write_evaluation_report(evaluation: Evaluation, folder: Path, progress: ReportProgress | None = None) -> list[Path]:
    """Write both files; returns their paths.

    Parameters
    ----------
    evaluation : Evaluation
    folder : Path
        Gets ``report.json`` and ``report.html``.
    progress : optional
        See `jobs.report_progress`.

    Returns
    -------
    list of Path
    """
    report = evaluation.report
    figures: list[tuple[str, Figure]] = []
    for title, figure in _figures(evaluation):
        figures.append((title, figure))
        report_progress(Progress("pictures", len(figures), 0), progress)
    page = _page(report, figures)
    text = json.dumps(report, indent=1, allow_nan=False)
    paths = [folder / "report.json", folder / "report.html"]
    for path, content in zip(paths, (text, page), strict=True):
        write_text_atomically(path, content)
    return paths


def _figures(e: Evaluation) -> Generator[tuple[str, Figure], None, None]:
    p, report = e.predicted, e.report
    yield "Truth against recovered", report_figures.plot_truth_recovered(p.found, p.truth, report["accuracy"])
    if p.mass_frac is None:
        yield "Calibration", report_figures.plot_quantile_calibration(report["calibration"])
        return
    if e.ppxf:
        yield "pPXF on the same spectra and photometry", report_figures.plot_ppxf_comparison(e.ppxf, p, report)
    yield "Star-formation histories", report_figures.plot_history_errors(p, report)
    yield "Age-metallicity error correlation", report_figures.plot_error_correlation(p, report["error_correlation"])
    yield "Calibration", report_figures.plot_quantile_calibration(report["calibration"])
    yield "Signal to noise", report_figures.plot_errors_against_snr(report["by_snr"])
    yield "Optical depths", report_figures.plot_errors_against_dust(report)
    yield "What the input is worth", report_figures.plot_input_importance(report["ablation"])
    figure, report["latent_projection"] = report_figures.plot_latent_space(p)
    yield "Latent space", figure
    if e.independent is not None:
        other = e.independent
        yield (
            "Galaxies from elsewhere",
            report_figures.plot_truth_recovered(other.found, other.truth, report["elsewhere"]["accuracy"]),
        )


def encode_png(figure: Figure) -> bytes:
    """A figure as PNG, without any window."""
    buffer = io.BytesIO()
    figure.set_dpi(_DPI)
    FigureCanvasAgg(figure).print_png(buffer)
    return buffer.getvalue()


def _page(report: dict[str, Any], figures: list[tuple[str, Figure]]) -> str:
    w = report["weights"]
    drawn = "the user's labels" if report["seed"] is None else f"seed {report['seed']}, never trained on"
    parts = [
        f"<!DOCTYPE html><html lang='en'><head><meta charset='utf-8'><title>{_text(w['name'])}: evaluation</title>",
        f"<style>{_STYLE}</style></head><body><h1>{_text(w['name'])} on {_text(report['prior'])}</h1>",
        f"<p>{report['n_test']} objects, {drawn}. Weights sha256 "
        f"<code>{w['sha256'][:16]}</code>. Machine: {_text(report['machine']['cpu'])}.</p>",
        _means_table("Accuracy [dex]", _accuracy_rows(report)),
        _coverage_table(report),
        _ood_table(report),
        _facts_table(report),
    ]
    for title, figure in figures:
        data = base64.b64encode(encode_png(figure)).decode()
        parts.append(f"<h2>{_text(title)}</h2><img alt='{_text(title)}' src='data:image/png;base64,{data}'>")
    parts.append("</body></html>")
    return "\n".join(parts)


def _text(value: Any) -> str:
    return html.escape(str(value))


def _accuracy_rows(report: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    rows = [("test set", report["accuracy"])]
    rows += [(f"S/N {snr}", r["accuracy"]) for snr, r in report["by_snr"].items()]
    rows += [(f"{k} bands", r["accuracy"]) for k, r in report["by_bands"].items()]
    if report["realistic_noise"]:
        rows.append(("realistic noise", report["realistic_noise"]["accuracy"]))
    if "elsewhere" in report:
        rows.append(("elsewhere", report["elsewhere"]["accuracy"]))
        rows += [(f"elsewhere, stars of {name}", r) for name, r in report["elsewhere"]["by_library"].items()]
        strange = report["strange_libraries"].items()
        rows += [(f"elsewhere, stars of {name}, which no weights know", r["accuracy"]) for name, r in strange]
    if "ppxf" in report:
        rows.append((f"network, first {report['ppxf']['n']}", report["ppxf"]["network_on_the_same"]))
        rows.append((f"pPXF, the same {report['ppxf']['n']}", report["ppxf"]["accuracy"]))
    rows += [(f"family: {name}", r) for name, r in report["by_family"].items()]
    return rows


def _means_table(title: str, rows: list[tuple[str, dict[str, Any]]]) -> str:
    names = list(rows[0][1])
    head = "".join(f"<th>{report_figures.label_quantity(k)}</th>" for k in names)
    lines = [f"<h2>{title}: bias / std / NMAD</h2><table><tr><th></th>{head}</tr>"]
    for label, entry in rows:
        cells = "".join(
            "<td>" + " / ".join(_number(entry[k][w]) for w in ("bias", "std", "nmad")) + "</td>" for k in names
        )
        lines.append(f"<tr><td>{_text(label)}</td>{cells}</tr>")
    return "\n".join([*lines, "</table>"])


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _coverage_table(report: dict[str, Any]) -> str:
    lines = ["<h2>Coverage: 68 % / 95 %</h2><table><tr><th></th><th>test set</th>"]
    lines += [f"<th>S/N {snr}</th>" for snr in report["by_snr"]] + ["</tr>"]
    for name, entry in report["coverage"].items():
        cells = [entry] + [r["coverage"].get(name) for r in report["by_snr"].values()]
        text = "".join(f"<td>{c['p68']:.3f} / {c['p95']:.3f}</td>" if c else "<td></td>" for c in cells)
        lines.append(f"<tr><td>{name}</td>{text}</tr>")
    return "\n".join([*lines, "</table>"])


def _ood_table(report: dict[str, Any]) -> str:
    depth = report["out_of_depth"]
    rows = [("false alarms on the test set", depth["false_alarm_rate"]), *depth["detection_rate"].items()]
    body = "".join(f"<tr><td>{_text(k)}</td><td>{100 * v:.1f} %</td></tr>" for k, v in rows)
    return f"<h2>Out of depth: share with a warning</h2><table>{body}</table>"


def _facts_table(report: dict[str, Any]) -> str:
    """Single numbers: histories, correlation of errors, speed."""
    speed = report.get("throughput")
    rows = []
    if report.get("not_estimated"):
        rows.append(("rows without an estimate", str(report["not_estimated"])))
    if "smape" in report:
        rows.append(("SMAPE of the mass fractions, median", f"{report['smape']['median']:.0f} %"))
    for kind in ("mw", "lw") if "error_correlation" in report else ():
        c = report["error_correlation"][kind]
        text = f"r = {c['r']:.2f}, slope {c['slope']:.2f}"
        rows.append((f"error of [M/H] against error of log age, {kind.upper()}", text))
    if speed:
        threads = f"{speed['threads']} thread(s) of {speed['device']}"
        rows += [
            (f"bins per second, point values, {threads}", f"{speed['bins_per_second']:.0f}"),
            (f"bins per second, {speed['draws']} draws each", f"{speed['posterior_bins_per_second']:.0f}"),
        ]
    if "ppxf" in report:
        rows.append(("pPXF, seconds of one core per spectrum", f"{report['ppxf']['seconds_per_spectrum']:.1f}"))
    body = "".join(f"<tr><td>{_text(k)}</td><td>{_text(v)}</td></tr>" for k, v in rows)
    return f"<h2>Histories, correlations, speed</h2><table>{body}</table>"
