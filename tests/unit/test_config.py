"""Priors: what ships is valid, and every mistake in a file is named."""

import numpy as np
import pytest

from napari_sfh.errors import SfhInputError
from napari_sfh.training.prior.distributions import parse_distribution
from napari_sfh.training.prior.prior_config import list_priors, load_prior, parse_prior

GOOD = """
name = "test"
n = 10
max_age_gyr = 13.0
[libraries]
toy = 1
[[family]]
name = "a"
kind = "constant"
weight = 1
start_gyr = 10.0
end = 0.0
[[enrichment]]
law = "constant"
weight = 1
mh = 0.0
"""


def test_shipped_priors_are_valid():
    assert {"galceran2026", "wide", "tiny"} <= set(list_priors())
    for name in list_priors():
        prior = load_prior(name)
        assert prior.name == name
        assert prior.source


def test_galceran2026_has_the_numbers_of_the_paper():
    prior = load_prior("galceran2026")
    weights = {f.name: f.weight for f in prior.families}
    assert prior.n == sum(weights.values()) == 165_000
    assert sum(w for name, w in weights.items() if name.startswith("gp")) == 150_000
    assert (weights["skewnormal"], weights["skewnormal+burst"]) == (9_000, 6_000)
    assert prior.laws[0].params["z_final"].values == (0.010, 0.030)
    assert prior.noise.snr.values == (15, 20, 35, 50)
    assert prior.dust.slope.values == (0.7,)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("n = 10", "n = 10\ntypo = 1"), "unknown key 'typo'"),
        (
            ("end = 0.0", "end = 0.0\ntau = 1.0"),
            r"unknown key 'family\[0\].tau'; known are name, kind, weight, bursts, start_gyr",
        ),
        (("end = 0.0", ""), r"key 'family\[0\].end' is missing"),
        (('kind = "constant"', 'kind = "magic"'), r"kind = 'magic': choose from gp"),
        (("start_gyr = 10.0", "start_gyr = {uniform = [5, 50]}"), r"start_gyr.*allowed range is 0.01 to 20"),
        (("start_gyr = 10.0", "start_gyr = {uniform = [9, 5]}"), "must increase"),
        (("start_gyr = 10.0", "start_gyr = {uniforn = [5, 9]}"), "expected a number or a table with one of"),
        (("start_gyr = 10.0", "start_gyr = {loguniform = [0, 9]}"), "must increase and be positive"),
        (("start_gyr = 10.0", "start_gyr = {normal = [5, -1], range = [1, 9]}"), "standard deviation must be positive"),
        (("start_gyr = 10.0", "start_gyr = {choice = [5, 6], weights = [1]}"), "expected a list of 2 numbers"),
        (
            ("start_gyr = 10.0", "start_gyr = {uniform = [5, 9], range = [1, 2]}"),
            "unknown key 'range' beside 'uniform'",
        ),
        (("max_age_gyr = 13.0", "max_age_gyr = 130.0"), "max_age_gyr = 130.0: must be at most 17.8"),
        (("n = 10", "n = 0"), "n = 0: must be at least 1"),
        (("n = 10", 'n = "ten"'), "n = 'ten' is not of type int"),
        (("toy = 1", "toy = -1"), "positive shares"),
        (('law = "constant"', 'law = "linear"'), "z_initial' is missing"),
        (("n = 10", 'n = 10\nout_of_range = "wrap"'), "out_of_range = 'wrap': choose 'clip' or 'error'"),
        (("weight = 1\nstart", "weight = 0\nstart"), "at least one needs a positive weight"),
        (('name = "test"', "name = test"), "not valid TOML"),
    ],
)
def test_a_mistake_is_named(change, message):
    assert change[0] in GOOD
    with pytest.raises(SfhInputError, match=message):
        parse_prior(GOOD.replace(*change), "prior.toml")


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ("[dust]\ntau_bc = -1", r"dust.tau_bc = -1: allowed range is 0 to 20"),
        ("[noise]\nsnrr = 3", r"unknown key 'noise.snrr'"),
        ("[photometry]\ndepth = [1, 2]", "expected a non-negative number, or a table of one per band"),
        ("[nebular]\nfixed_width = 1", "nebular.fixed_width = 1 is not of type bool"),
    ],
)
def test_a_mistake_in_a_section_is_named(section, message):
    with pytest.raises(SfhInputError, match=message):
        parse_prior(GOOD + section, "prior.toml")


def test_unknown_prior_and_unreadable_file(tmp_path):
    with pytest.raises(SfhInputError, match="no such prior or file"):
        load_prior("galceran2027")
    with pytest.raises(SfhInputError, match=r"none\.toml: cannot be read"):
        load_prior(tmp_path / "none.toml")


def test_hash_follows_the_draws_and_nothing_else():
    prior = parse_prior(GOOD, "a")
    assert parse_prior("# comment\n" + GOOD.replace("n = 10", "n = 20"), "b").sha256 == prior.sha256
    assert parse_prior(GOOD.replace("start_gyr = 10.0", "start_gyr = 9.0"), "b").sha256 != prior.sha256


def test_families_held_out():
    prior = load_prior("tiny")
    held = prior.restrict_families(without=["gp"])
    assert [f.weight > 0 for f in held.families] == [False, True, True]
    assert held.family_names == prior.family_names
    assert held.sha256 != prior.sha256
    with pytest.raises(SfhInputError, match="family 'nope' is not in prior 'tiny'"):
        prior.restrict_families(["nope"])
    with pytest.raises(SfhInputError, match="no family left"):
        prior.restrict_families(without=prior.family_names)


@pytest.mark.parametrize(
    ("value", "mean", "low", "high"),
    [
        (3, 3, 3, 3),
        ({"uniform": [1, 3]}, 2, 1, 3),
        ({"loguniform": [1, np.e**2]}, (np.e**2 - 1) / 2, 1, np.e**2),
        ({"normal": [0, 1], "range": [0, 9]}, np.sqrt(2 / np.pi), 0, 9),
        ({"choice": [1, 5], "weights": [3, 1]}, 2, 1, 5),
    ],
)
def test_distributions_have_their_mean_and_support(value, mean, low, high):
    x = parse_distribution(value, "x").sample(np.random.default_rng(1), 200_000)
    assert x.mean() == pytest.approx(mean, abs=0.02)
    assert x.min() >= low
    assert x.max() <= high


@pytest.mark.parametrize(("name", "start"), [("wide", "c3300e4c7453"), ("galceran2026", "47b45695728a")])
def test_digests_that_shipped_weights_record(name, start):
    assert load_prior(name).sha256.startswith(start)
