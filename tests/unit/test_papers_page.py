"""The page of the papers: printed numbers are valid, values are looked up, what is missing is said."""

import json
import re
from pathlib import Path

import pytest

from napari_sfh.errors import SfhInputError
from napari_sfh.training import cli
from napari_sfh.training.papers import papers_page, printed_numbers
from napari_sfh.training.papers.measured_values import NOT_MEASURED, MeasuredValues


@pytest.fixture(scope="module")
def papers():
    return printed_numbers.load_printed_papers()


def test_every_number_has_a_place_and_keys_are_unique(papers):
    numbers = [n for p in papers for n in p.numbers]
    assert len(numbers) == 325
    assert len({n.key for n in numbers}) == len(numbers)
    assert all(n.place for n in numbers)
    assert all(n.status for n in numbers if n.kind != "context")


def test_a_result_has_ours_or_a_reason(papers):
    bare = [n.key for p in papers for n in p.of_kind("result") if not n.ours and not n.why]
    assert bare == []


def test_settings_that_are_the_same_are(papers):
    """Recipe and prior hold what the paper prints."""
    values = MeasuredValues(Path("none"))
    printed = {n.key: n for p in papers for n in p.numbers}
    for key in ("g26_train_total", "g26_batch", "g26_lr_decay_epochs", "g26_lr_plateau", "g26_stop_patience",
                "g26_latent_dim", "g26_n_pix", "g26_age_bins", "g26_peak_age_mean", "g26_width_std"):  # fmt: skip
        number = printed[key]
        assert float(values.find(number.ours[0].path)) == pytest.approx(float(number.value)), key


def test_values_are_found_by_the_longest_key(tmp_path):
    (tmp_path / "papers").mkdir()
    (tmp_path / "papers" / "r.json").write_text(json.dumps({"log U": {"-3.5": [1.25, 2]}, "log U -3": 7, "x": -0.5}))
    values = MeasuredValues(tmp_path)
    assert values.find("r:log U.-3.5.0") == 1.25
    assert values.find("r:log U -3") == 7
    assert values.find("r:log U.-3.5.5") is None
    assert values.find("nothing:a.b") is None
    assert values.format_value("r:x", "{:+.1f}") == "−0.5"
    assert values.format_value("r:y", "{}") == NOT_MEASURED
    with pytest.raises(SfhInputError, match="cannot be written"):
        values.format_value("r:log U", "{:.2f}")


def test_the_page_without_reports_holds_no_number_of_ours(tmp_path):
    page = papers_page.format_papers_page(MeasuredValues(tmp_path), [])
    assert "[[" not in page
    assert "{{" not in page
    results = page.split("### ")[0].split("| bias of LW age, young systems, F336W removed |")[1].split("\n")[0]
    assert NOT_MEASURED in results
    assert "100 %" in results


def test_the_page_holds_the_reports_values(tmp_path):
    reports = tmp_path / "reports"
    reports.mkdir()
    means = {"lg_age_mw": {"bias": 0.01234, "std": 0.4321}}
    (reports / "phangs-galceran2026.json").write_text(json.dumps({"accuracy": means}))
    out = tmp_path / "out"
    assert cli.main(["papers", "--reports", str(reports), "--output", str(out)]) == 0
    row = next(
        x for x in (out / "papers.md").read_text().splitlines() if x.startswith("| scatter of mass-weighted age")
    )
    assert re.search(r"`phangs`: 0\.432; the paper's network: not measured", row)


def test_islands_and_labels_are_tables(tmp_path):
    apart = [{"property": "lg_age_mw", "chance": 0.99, "here": 10.1, "elsewhere": 9.5}]
    island = {
        "n": 100,
        "share": 0.05,
        "family": "old",
        "family_share": 0.97,
        "family_share_of_all": 0.06,
        "apart": apart,
    }
    few = {**island, "n": 3, "family": "lonely-family"}
    (tmp_path / "paper-phangs.json").write_text(json.dumps({"latent_islands": [island, few]}))
    error = {"nmad": 0.125, "against_truth": {"nmad": 0.0625}}
    row = {"n_spaxels": 96, **{kind: {"lg_age": error, "mh": error} for kind in ("labels", "A", "B")}}
    (tmp_path / "spaxel-label-noise.json").write_text(json.dumps({"label_noise": {"40": row}}))
    page = papers_page.format_papers_page(MeasuredValues(tmp_path), [])
    assert "| 100 | old | 97% / 6% | MW age (log yr) 10.10 / 9.50 |" in page
    assert "lonely-family" not in page
    assert "| 40 | log age | 0.125 | 0.125 | 0.125 | 0.062 | 0.062 |" in page


def test_weights_tell_of_their_training():
    values = MeasuredValues(Path("none"))
    assert values.find("weights:phangs:training.epochs") > 1
    assert values.find("weights:phangs:training.nothing") is None


def test_mistakes_in_the_numbers_are_named():
    good = '[[number]]\nkey = "a"\nquantity = "q"\nplace = "p"\nkind = "result"\nstatus = "like terms"\n'
    head = 'paper = "P"\n'
    assert printed_numbers.parse_printed_paper("p", head + good).numbers[0].text == "lost"
    with pytest.raises(SfhInputError, match="twice"):
        printed_numbers.parse_printed_paper("p", head + good + good)
    with pytest.raises(SfhInputError, match="status"):
        printed_numbers.parse_printed_paper("p", head + good.replace("like terms", "better"))
    with pytest.raises(SfhInputError, match="colour"):
        printed_numbers.parse_printed_paper("p", head + good + 'colour = "red"\n')
