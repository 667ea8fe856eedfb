"""What napari sees of the plugin."""

from __future__ import annotations

from importlib import import_module

import pytest
from npe2 import PluginManifest

import napari_gaussproto

MANIFEST = PluginManifest.from_distribution("napari-gaussproto")


def test_manifest_is_valid_and_its_names_can_be_imported() -> None:
    MANIFEST.validate_imports()
    assert MANIFEST.display_name == "Gaussian Prototypes"


@pytest.mark.parametrize("command", MANIFEST.contributions.commands, ids=lambda c: c.id)
def test_every_command_is_a_callable(command: object) -> None:
    module, name = command.python_name.split(":")
    assert callable(getattr(import_module(module), name))


def test_every_contribution_names_a_command() -> None:
    known = {command.id for command in MANIFEST.contributions.commands}
    used = {widget.command for widget in MANIFEST.contributions.widgets}
    used |= {sample.command for sample in MANIFEST.contributions.sample_data}
    assert used <= known
    assert "napari-gaussproto.segment" in used


def test_version_is_known() -> None:
    assert napari_gaussproto.__version__ == MANIFEST.package_version
