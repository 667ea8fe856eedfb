"""A model as ONNX answers as the model does, on images of any size."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from napari_gaussproto.core.base.errors import ConfigError
from napari_gaussproto.core.mixture.frozen import FrozenMixture
from napari_gaussproto.core.mixture.layer import LOG_ZERO, GaussianPrototypeLayer
from napari_gaussproto.core.model.model_file import load_model
from napari_gaussproto.core.model.predict import segment
from napari_gaussproto.core.training.quick_fit import quick_fit
from napari_gaussproto.io.model_files.onnx_file import write_onnx
from tests.core.builders import tiny_model, two_tone


@pytest.mark.parametrize("name", ["plants", "peanut-grid"])
def test_a_shipped_model_answers_as_here(tmp_path: Path, name: str) -> None:
    model = load_model(name, "cpu")
    path = write_onnx(model, tmp_path / name)
    assert path.name == f"{name}.onnx"
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    photo = two_tone(7 * model.alignment, 5 * model.alignment, 1)[0]
    image = np.moveaxis(photo, -1, 0)[None].astype(np.float32) / 255
    posterior, likelihood = session.run(None, {"image": image})
    found = segment(photo, model, tile=None)
    assert np.abs(np.exp(posterior[0]) - found.class_probabilities(cells=True)).max() < 1e-4
    with torch.no_grad():
        cells = model.extract(torch.from_numpy(image))[0].flatten(1).T
        scores = model.layer.scores(cells)
        wanted = scores.class_log_posterior.T.reshape(posterior[0].shape).numpy()
        assert np.abs(posterior[0] - wanted).max() < 1e-4
        wanted = scores.log_likelihood.T.reshape(likelihood[0].shape).numpy()
    largest = np.abs(wanted[wanted > LOG_ZERO]).max()
    np.testing.assert_allclose(likelihood[0], wanted, rtol=0, atol=1e-4 + 1e-5 * largest)
    about = session.get_modelmeta().custom_metadata_map
    assert json.loads(about["classes"])[0]["name"] == model.classes[0].name
    assert len(json.loads(about["prototypes"])) == len(model.prototypes)
    assert about["cell_size"] == str(model.cell_size)
    assert about["photo_pixels"] == str(model.config.photo_pixels or "")


@pytest.mark.parametrize("seed", [0, 1])
def test_likelihoods_of_a_fitted_model_agree_absolutely(tmp_path: Path, seed: int) -> None:
    """Its values are small; those of shipped models are in the thousands where a cell is far."""
    model = quick_fit(*two_tone(128, 128), tiny_model(seed))
    path = write_onnx(model, tmp_path / "fitted")
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    photo = two_tone(7 * model.alignment, 5 * model.alignment, 1)[0]
    image = np.moveaxis(photo, -1, 0)[None].astype(np.float32) / 255
    _, likelihood = session.run(None, {"image": image})
    with torch.no_grad():
        cells = model.extract(torch.from_numpy(image))[0].flatten(1).T
        wanted = model.layer.scores(cells).log_likelihood.T.reshape(likelihood[0].shape).numpy()
    np.testing.assert_allclose(likelihood[0], wanted, rtol=0, atol=1e-4)


@pytest.mark.parametrize("covariance", ["diagonal", "spherical", "full"])
def test_a_frozen_mixture_is_its_layer(covariance: str) -> None:
    layer = layer_of(covariance)
    z = torch.randn(50, 5, generator=torch.Generator().manual_seed(1)) * 3
    with torch.no_grad():
        posterior, likelihood = FrozenMixture(layer)(z)
        scores = layer.scores(z)
        torch.testing.assert_close(posterior, scores.class_log_posterior, rtol=1e-5, atol=1e-4)
        torch.testing.assert_close(likelihood, scores.log_likelihood, rtol=1e-5, atol=1e-4)


def layer_of(covariance: str) -> GaussianPrototypeLayer:
    """Four prototypes of three classes, one of which has none that is switched on."""
    generator = torch.Generator().manual_seed(0)
    layer = GaussianPrototypeLayer(5, [0, 0, 1, 2], 3, covariance=covariance)
    layer.set_parameters(
        torch.randn(4, 5, generator=generator),
        0.5 + torch.rand(4, 5, generator=generator),
        torch.rand(4, generator=generator),
    )
    with torch.no_grad():
        layer.off_diagonal.normal_(generator=generator)
        layer.log_temperature.fill_(0.7)
        layer.raw_prior.normal_(generator=generator)
    layer.active[3] = False
    return layer


def test_superpixels_and_missing_packages_are_sentences(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    regions = tiny_model(partition="superpixel")
    with pytest.raises(ConfigError, match="has superpixels as cells, which a graph cannot hold"):
        write_onnx(regions, tmp_path / "x.onnx")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ConfigError, match=r"pip install napari-gaussproto\[onnx\]"):
        write_onnx(tiny_model(), tmp_path / "x.onnx")
