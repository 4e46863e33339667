"""Figures of Galceran et al. (2026) on toy weights: which are drawn, and numbers of known answers."""

import json

import numpy as np
import pytest
from synthetic_toys import toy_source
from toy_universe import write_toy_bundle

from napari_sfh.errors import SfhInputError
from napari_sfh.model.bundle import load_bundle
from napari_sfh.model.targets import make_targets
from napari_sfh.training.commands.evaluate import choose_paper_system
from napari_sfh.training.evaluation import ablation, test_set
from napari_sfh.training.papers.main_paper import (
    ablation_figures,
    architecture_figure,
    figures,
    latent_figures,
    measurements,
    report,
    writing,
)
from napari_sfh.training.papers.main_paper.measurements import AblationTest, PaperFigureSettings


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    bundle = load_bundle(write_toy_bundle(tmp_path_factory.mktemp("w") / "toy.safetensors"))
    few = test_set.draw_test_set_from_source(toy_source(), 30)
    return measurements.measure_paper_figures(bundle, few, PaperFigureSettings(n=30, n_ablation=20, n_ppxf=0, draws=50))


def test_every_figure_but_a_galaxys_is_drawn(toy):
    numbers = [number for number, figure in writing.draw_paper_figures(toy) if figure.axes]
    assert sorted(numbers) == [k for k in range(1, 27) if k not in (13, 14, 15)]


def test_ablation_panels_differ_and_every_column_is_labelled(toy):
    changes = ablation_figures.list_segment_changes(toy.ablation, toy.data.instrument.wave_aa)
    figure = ablation_figures.plot_ablation(toy.ablation, "mh_mw", changes, "segments")
    panels = [axes for axes in figure.axes if axes.get_visible()]
    assert len({axes.get_title() for axes in panels}) == len(panels) == len(changes)
    last = len(panels) % 4 or 4
    lowest = [*panels[-last:], *panels[-4:-last]]
    assert all(axes.get_xlabel() and axes.xaxis.get_tick_params()["labelbottom"] for axes in lowest)
    assert not {"without Hbeta", "without Halpha"} & set(changes)  # two of the segments are the same pixels


def test_histories_reach_the_oldest_age(toy):
    history = figures.plot_four_cases(toy).axes[0]
    values, edges, _ = history.patches[0].get_data()
    assert edges[-1] == pytest.approx(17.8)
    row = toy.cases[0]
    np.testing.assert_array_equal(values, toy.main.truth["mass_frac"][row])


def test_the_numbers_are_plain(toy):
    table = json.loads(json.dumps(report.build_paper_tables(toy), allow_nan=False))
    assert set(table["ablation"]) == set(ablation.CHANGE_KINDS)
    assert table["ablation"]["permuted"][ablation.ALL_INPUT]["all"]["n"] == 20
    assert table["ablation"]["masked"][ablation.ALL_INPUT]["all"]["lg_age_lw"]["scatter_rise"] == pytest.approx(0)


def test_ablation_table_of_a_known_shift():
    rng = np.random.default_rng(1)
    truth = {k: rng.normal(m, 0.1, 500) for k, m in (("lg_age_mw", 9), ("lg_age_lw", 8), ("mh_mw", 0), ("mh_lw", 0))}
    error = rng.normal(0, 0.05, 500)
    fiducial = {k: v + error for k, v in truth.items()}
    worse = {k: v + 0.3 + 2 * error for k, v in truth.items()}
    found = {"permuted": {ablation.ALL_INPUT: fiducial, "without X": worse}}
    row = report.build_ablation_table(AblationTest(truth, found))["permuted"]["without X"]["age young"]["lg_age_lw"]
    assert row["bias"] == pytest.approx(0.3, abs=0.01)
    assert row["per_cent"] == pytest.approx(100, abs=5)
    assert row["scatter_rise"] == pytest.approx(100)


def test_layers_are_those_that_ran(toy):
    layers = architecture_figure.list_network_layers(toy.bundle)
    latent = next(x for x in layers if x.path == "to_latent")
    assert latent.shape == (toy.bundle.model.network.latent_size,)
    assert {x.lane for x in layers} == {"spectrum", "photometry", "joined", "output"}


def test_width_of_a_line_of_known_strength():
    wave = np.arange(6400.0, 6700.0, 1.25)
    flux = (1 + 0.001 * (wave - 6500)) * (1 + 0.5 * np.exp(-0.5 * ((wave - 6563) / 4) ** 2))
    line, sides = latent_figures.BALMER_AA["Hα"]
    width = latent_figures.measure_line_width(flux[None], np.ones((1, wave.size), bool), wave, line, sides)
    assert width[0] == pytest.approx(0.5 * 4 * np.sqrt(2 * np.pi), rel=0.02)
    nothing = latent_figures.measure_line_width(flux[None], np.ones((1, wave.size), bool), wave + 3000, line, sides)
    assert np.isnan(nothing).all()


def test_islands_of_the_latent_plane():
    rng = np.random.default_rng(2)
    places = np.concatenate([rng.uniform(0, 1, (300, 2)), rng.uniform(0, 0.1, (50, 2)) + 2])
    family = np.repeat([0, 1, 1], [250, 50, 50])
    snr = np.where(np.arange(350) < 300, rng.uniform(10, 20, 350), rng.uniform(15, 60, 350))
    properties = {"age": rng.uniform(0, 1, 350), "snr": snr, "nothing": np.full(350, np.nan)}
    first, second = latent_figures.measure_latent_islands(places, {"family": (family, ("a", "b"))}, properties)
    assert (first["n"], first["family"], first["family_share"]) == (300, "a", pytest.approx(250 / 300))
    assert (second["n"], second["family"], second["family_share_of_all"]) == (50, "b", pytest.approx(100 / 350))
    assert [row["property"] for row in second["apart"]] == ["snr", "age"]
    most = second["apart"][0]
    assert most["here"] > 30 > 20 > most["elsewhere"]
    assert 0.85 < most["chance"] <= 1
    assert first["apart"][0]["chance"] == pytest.approx(1 - most["chance"])


def test_segments_are_the_papers_where_the_spectrum_holds_them():
    assert ablation.list_segments(np.arange(4800, 7000.1, 1.25))[6] == (6300.0, 6500.0)
    assert ablation.list_segments(np.arange(5000, 5600.0, 1.0))[-1] == (5500.0, 5600.0)


def test_masked_and_permuted_parts(toy):
    rng = np.random.default_rng(0)
    for kind in ablation.CHANGE_KINDS:
        changes = dict(ablation.list_input_changes(toy.bundle.instrument, kind))
        changed = changes["without F336W"](toy.data, rng)
        assert changed.phot_mask[:, 1].any() == (kind == "permuted")
        np.testing.assert_array_equal(changed.phot[:, 0], toy.data.phot[:, 0])
        changed = changes["without Halpha"](toy.data, rng)
        inside = (toy.data.instrument.wave_aa >= 6500) & (toy.data.instrument.wave_aa < 6750)
        assert changed.mask[:, inside].any() == (kind == "permuted")
        np.testing.assert_array_equal(changed.flux[:, ~inside], toy.data.flux[:, ~inside])


def test_weights_find_their_paper():
    assert choose_paper_system(("lg_age", "mh_mw", "ebv")) == "jpas"
    assert choose_paper_system(("t10", "t50", "mh_mw")) == "percentiles"
    assert choose_paper_system(("lg_age_lw", "mh_lw")) == "spaxels"
    with pytest.raises(SfhInputError, match="no paper"):
        choose_paper_system(("tau_ism",))


def test_weights_without_histories_are_refused(tmp_path, toy):
    targets = make_targets("scalars", ("lg_age_lw", "mh_lw"))
    bundle = load_bundle(write_toy_bundle(tmp_path / "s.safetensors", targets=targets))
    with pytest.raises(SfhInputError, match="no histories"):
        measurements.measure_paper_figures(bundle, toy.test_set, PaperFigureSettings())
