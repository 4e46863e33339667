"""Recipes: what ships is valid, and every mistake in a file is named."""

import pytest

from napari_sfh.errors import SfhInputError
from napari_sfh.instruments.files import load_instrument
from napari_sfh.model.sfh_model import ModelConfig
from napari_sfh.training import cli
from napari_sfh.training.fitting.recipe import list_recipes, load_recipe, parse_recipe
from napari_sfh.training.prior.prior_config import load_prior

GOOD = """
name = "mine"
summary = "a test"
prior = "tiny"
n = 100
architecture = "stem"
loss = "light"
"""


def test_shipped_recipes_are_valid_and_their_priors_exist():
    assert {"galceran2026", "phangs", "wide", "tiny"} <= set(list_recipes())
    for name in list_recipes():
        recipe = load_recipe(name)
        assert recipe.name == name
        assert load_prior(recipe.prior).name == recipe.prior


def test_the_papers_recipe_is_the_papers():
    recipe = load_recipe("galceran2026")
    assert (recipe.architecture, recipe.loss, recipe.prior, recipe.n) == (
        "galceran2026",
        "paper",
        "galceran2026",
        165_000,
    )
    s = recipe.fit
    assert (s.batch, s.epochs, s.schedule, s.plateau_epochs, s.plateau_factor, s.stop_epochs) == (
        128,
        250,
        "linear",
        5,
        0.8,
        20,
    )


def test_both_shipped_networks_learn_to_miss_bands_and_wavelengths_at_every_snr():
    for name in ("phangs", "wide"):
        a = load_recipe(name).augment
        assert a.snr_range == (5.0, 200.0)
        assert min(a.drop_band, a.drop_photometry, a.mask_range, a.mask_line) > 0


def test_recipe_from_a_file(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(GOOD + "[fit]\nepochs = 7\n[network]\nlatent = 12\n")
    recipe = load_recipe(path)
    assert recipe.fit.epochs == 7
    config = recipe.model_config()
    assert config.network["latent"] == 12
    assert ModelConfig.from_json(config.to_json()) == config


def test_hash_depends_on_every_setting():
    one, other = parse_recipe(GOOD, "x"), parse_recipe(GOOD + "[fit]\nseed = 2\n", "x")
    assert one.sha256 == parse_recipe(GOOD, "y").sha256 != other.sha256


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nonsense", r"bad.toml: not valid TOML"),
        (GOOD.replace("n = 100", ""), r"bad.toml: key 'n' is missing"),
        (GOOD + "[fit]\nepoch = 3", r"bad.toml: unknown key 'fit.epoch'"),
        (GOOD + "[fit]\nepochs = 3.5", r"fit.epochs = 3.5 is not of type int"),
        (GOOD + "[fit]\nepochs = true", r"fit.epochs = True is not of type int"),
        (GOOD + "[fit]\nendless = 1", r"fit.endless = 1 is not of type bool"),
        (GOOD + "[fit]\nepochs = 0", r"epochs = 0: must be at least 1"),
        (GOOD + "[fit]\nlearning_rate = -1.0", r"learning_rate = -1.0: must be above 0"),
        (GOOD + '[fit]\nschedule = "steps"', r"schedule = 'steps': choose 'linear', 'cosine' or 'constant'"),
        (GOOD + '[fit]\nprecision = "16"', r"precision = '16': choose '32-true', '16-mixed' or 'bf16-mixed'"),
        (GOOD + "[network]\nheads = 2", r"setting 'heads' is not used by 'stem'"),
        (GOOD.replace('"stem"', '"resnet"'), r"architecture: 'resnet' is unknown"),
        (GOOD.replace('"light"', '"mse"'), r"loss = 'mse'; for .* choose paper, paper-mse, paper-smape, light"),
        (GOOD.replace('"stem"', '"four_branch"'), r"loss 'light' needs a network that predicts light \(stem\)"),
        (GOOD + "[augment]\ndrop_band = 1.5", r"drop_band = 1.5: must be at most 1"),
        (GOOD + "[augment]\nsnr_range = [50.0, 5.0]", r"snr_range = \[50.0, 5.0\] must be two increasing numbers"),
        (GOOD + "[augment]\nsnr_mix = [15.0]\nsnr_mix_share = 0.5", r"snr_mix_share = 0.5 leaves spectra without S/N"),
    ],
)
def test_mistakes_are_named(text, message):
    with pytest.raises(SfhInputError, match=message):
        parse_recipe(text, "bad.toml")


def test_command_line_offers_every_command_and_says_what_it_wants(capsys):
    for words in (["--help"], ["train", "--help"], ["release", "--help"], ["evaluate", "--help"]):
        with pytest.raises(SystemExit) as end:
            cli.main(words)
        assert end.value.code == 0
    out = capsys.readouterr().out
    for name in cli.COMMANDS:
        assert name in out


@pytest.mark.parametrize("read", [load_recipe, load_prior, load_instrument])
def test_a_file_that_is_not_in_utf8_is_told(tmp_path, read):
    path = tmp_path / "latin.toml"
    path.write_bytes('summary = "étoiles"\n'.encode("latin-1"))
    with pytest.raises(SfhInputError, match=r"latin\.toml: holds letters that are not in UTF-8 .*; save it as UTF-8"):
        read(path)
