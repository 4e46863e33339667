"""Weights bundles: what is written comes back, what is damaged or made for something else is refused by name."""

import json

import numpy as np
import pytest
import torch
from histories import HISTORY
from muse_hst import MUSE_HST
from safetensors import safe_open
from safetensors.torch import save_file
from toy_universe import (
    make_toy_basis,
    make_toy_config,
    make_toy_data,
    make_toy_metadata,
    write_toy_bundle,
)

from napari_sfh.errors import SfhInputError
from napari_sfh.instruments.bundle_header import find_bundle_file, list_bundles
from napari_sfh.model import bundle as module
from napari_sfh.model.bundle import load_bundle, save_bundle
from napari_sfh.model.inference import draw_posterior_samples, predict_histories
from napari_sfh.model.sfh_model import SfhModel


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return write_toy_bundle(tmp_path_factory.mktemp("weights") / "toy.safetensors", seed=4)


def rewritten(path, tmp_path, change_meta=None, change_tensor=None, digest=True):
    """A copy of a bundle with changes; its digest made right again unless told otherwise."""
    with safe_open(str(path), "pt") as f:
        header, tensors = f.metadata(), {k: f.get_tensor(k) for k in f.keys()}  # noqa: SIM118
    meta = json.loads(header["napari_sfh"])
    if change_meta:
        change_meta(meta)
    if change_tensor:
        change_tensor(tensors)
    text = json.dumps(meta, sort_keys=True)
    header = {"napari_sfh": text, "digest": module.hash_tensors(tensors, text) if digest else header["digest"]}
    out = tmp_path / "changed.safetensors"
    save_file(tensors, out, metadata=header)
    return out


def test_seeded_draws_are_the_same_after_reload(path, tmp_path):
    data, _ = make_toy_data(3, seed=1)
    bundle = load_bundle(path)
    again = load_bundle(
        save_bundle(
            tmp_path / "again.safetensors", bundle.model, MUSE_HST, bundle.filters, bundle.basis, make_toy_metadata()
        )
    )
    a, b = draw_posterior_samples(data, bundle, 64), draw_posterior_samples(data, again, 64)
    for key in a:
        np.testing.assert_array_equal(a[key], b[key])
    p, q = (predict_histories(data, x, draws=64) for x in (bundle, again))
    np.testing.assert_array_equal(p.quantiles["lg_age_mw"], q.quantiles["lg_age_mw"])


def test_what_a_bundle_says_of_itself(path):
    bundle = load_bundle(path)
    assert bundle.name == "toy"
    assert "never for science" in bundle.card
    assert len(bundle.sha256) == 64
    assert not bundle.model.training
    assert not any(p.requires_grad for p in bundle.model.parameters())
    assert [f.name for f in bundle.basis.filters] == ["F275W", "F336W", "F438W", "F555W", "F814W"]


def test_half_precision_only_where_nothing_is_lost(tmp_path):
    basis = make_toy_basis()
    model = SfhModel(make_toy_config(), MUSE_HST, HISTORY, basis)
    weight = model.network.whole.weight
    with torch.no_grad():
        weight.copy_(weight.half().float())
    made = save_bundle(tmp_path / "half.safetensors", model, MUSE_HST, basis.filters, basis, make_toy_metadata())
    with safe_open(str(made), "pt") as f:
        assert f.get_tensor("model.network.whole.weight").dtype == torch.float16
        assert f.get_tensor("model.network.project.weight").dtype == torch.float32
    back = load_bundle(made).model.state_dict()
    for key, value in model.state_dict().items():
        assert torch.equal(back[key], value), key


@pytest.mark.parametrize("keep", [0.0, 0.3, 0.999])
def test_truncated_file(path, tmp_path, keep):
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(path.read_bytes()[: int(keep * path.stat().st_size)])
    with pytest.raises(SfhInputError, match=r"cut.safetensors: not a readable weights"):
        load_bundle(cut)


def test_one_altered_bit_in_the_weights(path, tmp_path):
    content = bytearray(path.read_bytes())
    content[-1000] ^= 1
    altered = tmp_path / "altered.safetensors"
    altered.write_bytes(content)
    with pytest.raises(SfhInputError, match=r"altered.safetensors: altered since it was released"):
        load_bundle(altered)


def test_altered_metadata(path, tmp_path):
    changed = rewritten(path, tmp_path, lambda m: m.update(card="better than it is"), digest=False)
    with pytest.raises(SfhInputError, match="altered since it was released"):
        load_bundle(changed)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda m: m.update(format=99), "format 99, this version reads 1 to 2"),
        (lambda m: m["instrument"]["spectrum"].update(step_aa=1.0), r"norm_pixels has shape \(2201,\)"),
        (lambda m: m["instrument"]["band"].pop(), "curves of .* for bands"),
        (lambda m: m["instrument"].pop("spectrum"), "needs a .spectrum."),
        (lambda m: m["targets"]["age_edges_gyr"].pop(), "age_edges_gyr has shape"),
        (lambda m: m["targets"].update(kind="spectra"), "kind 'spectra' is unknown"),
        (lambda m: m["features"].update(version=0), "feature settings: version 0"),
        (lambda m: m["model"].update(architecture="resnet"), "'resnet' is unknown"),
        (lambda m: m["model"]["network"].update(width=64), "do not fit this version"),
        (lambda m: m.pop("prior"), "metadata lack 'prior'"),
        (lambda m: m.update(name={"path": ""}), "name in its document is of another type"),
        (lambda m: m.update(prior=[]), "prior in its document is of another type"),
        (lambda m: m["prior"].update(sha256={}), "prior.sha256 in its document is of another type"),
    ],
)
def test_a_bundle_for_something_else_is_refused_by_name(path, tmp_path, change, words):
    with pytest.raises(SfhInputError, match=words) as caught:
        load_bundle(rewritten(path, tmp_path, change))
    assert "\n" not in str(caught.value)


def test_a_missing_tensor_is_refused(path, tmp_path):
    for key in ("model.calibration.scalar", "basis.light_v"):
        changed = rewritten(path, tmp_path, change_tensor=lambda t, key=key: t.pop(key))
        with pytest.raises(SfhInputError, match=r"changed\.safetensors"):
            load_bundle(changed)


def test_another_safetensors_file_is_no_bundle(tmp_path):
    other = tmp_path / "other.safetensors"
    save_file({"x": torch.zeros(3)}, other)
    with pytest.raises(SfhInputError, match="no napari-sfh weights"):
        load_bundle(other)


def test_names_are_resolved(path, tmp_path, monkeypatch):
    monkeypatch.setattr("napari_sfh.instruments.bundle_header.weights_folder", lambda: tmp_path)
    with pytest.raises(SfhInputError, match="no weights in"):
        find_bundle_file("default")
    for name in ("aaa", "phangs", "wide"):
        (tmp_path / f"{name}.safetensors").write_bytes(path.read_bytes())
    assert list(list_bundles()) == ["wide", "phangs", "aaa"]
    assert find_bundle_file("default").stem == "wide"
    assert find_bundle_file("phangs").stem == "phangs"
    assert find_bundle_file(path) == path
    run = tmp_path / "run"
    run.mkdir()
    (run / "bundle.safetensors").write_bytes(path.read_bytes())
    assert find_bundle_file(run) == run / "bundle.safetensors"
    with pytest.raises(SfhInputError, match=r"'best' is neither a file.*wide, phangs, aaa"):
        find_bundle_file("best")


def test_metadata_must_be_complete_and_the_folder_writable(tmp_path):
    basis = make_toy_basis()
    model = SfhModel(make_toy_config(), MUSE_HST, HISTORY, basis)
    meta = make_toy_metadata()
    meta.pop("card")
    with pytest.raises(SfhInputError, match="metadata lack 'card'"):
        save_bundle(tmp_path / "x.safetensors", model, MUSE_HST, basis.filters, basis, meta)
    (tmp_path / "file").write_text("")
    with pytest.raises(SfhInputError, match="cannot be made"):
        save_bundle(tmp_path / "file" / "x.safetensors", model, MUSE_HST, basis.filters, basis, make_toy_metadata())


@pytest.mark.parametrize("name", list_bundles())
def test_shipped_bundles_load_and_say_their_figures(name):
    bundle = load_bundle(name)
    assert bundle.name == name
    assert bundle.meta["evaluation"]
    assert bundle.path.stat().st_size < 20e6


def move_edge(edges):
    """The third edge to the middle of its bin."""
    edges[2] = 0.5 * (edges[2] + edges[3])


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("phangs", lambda meta: move_edge(meta["grid"]["age_edges_gyr"])),
        ("phangs", lambda meta: meta["features"].__setitem__("fill_px", 10)),
        ("phangs", lambda meta: meta["features"].__setitem__("min_usable", 0.8)),
        ("narrowband", lambda meta: meta["features"].__setitem__("phot_range", [0.5, 1000.0])),
    ],
)
def test_settings_that_no_shape_betrays_are_refused_though_the_digest_fits(name, change, tmp_path):
    changed = rewritten(find_bundle_file(name), tmp_path, change_meta=change)
    with pytest.raises(SfhInputError, match="does not answer as it did"):
        load_bundle(changed)


def test_new_bundles_hold_their_own_answer(path, tmp_path):
    assert len(load_bundle(path).meta["probe"]) > 10
    changed = rewritten(path, tmp_path, change_meta=lambda meta: move_edge(meta["targets"]["age_edges_gyr"]))
    with pytest.raises(SfhInputError, match="does not answer as it did"):
        load_bundle(changed)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_numbers_that_are_not_finite_are_refused_by_name(path, tmp_path, value):
    def spoil(tensors):
        name = next(k for k in tensors if k.startswith("model.network") and tensors[k].is_floating_point())
        tensors[name].view(-1)[0] = value

    with pytest.raises(SfhInputError, match=r"tensor model\.network.* not finite"):
        load_bundle(rewritten(path, tmp_path, change_tensor=spoil))


def test_a_curve_that_the_card_does_not_name_is_refused(tmp_path):
    def narrow(tensors):
        tensors["basis.filter_0_curve"] = tensors["basis.filter_0_curve"][..., :-1].contiguous()

    with pytest.raises(SfhInputError, match=r"curve of F275W is not the one .*UVIS, sha256"):
        load_bundle(rewritten(find_bundle_file("phangs"), tmp_path, change_tensor=narrow))
