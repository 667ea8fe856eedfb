"""What holds for every command: help, and errors that are one line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from napari_gaussproto.cli import app
from napari_gaussproto.core.base import device
from tests.commands.conftest import Cli


def test_an_error_of_the_real_program_is_one_line_and_quick() -> None:
    code = (
        "import runpy, sys\n"
        "sys.argv[1:] = ['info', 'no-such-model']\n"
        "try:\n"
        "    runpy.run_module('napari_gaussproto.cli', run_name='__main__')\n"
        "finally:\n"
        "    print(*{'torch', 'matplotlib', 'napari'} & set(sys.modules))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 1
    assert done.stdout == "\n"  # nothing that takes long was loaded, and nothing was printed
    [line] = done.stderr.splitlines()
    assert line.startswith("Error: There is no model “no-such-model”: give the path")


def test_help_names_every_command(cli: Cli) -> None:
    result = cli("--help")
    assert result.code == 0 and result.err == ""
    for name in ("demo", "predict", "measure", "export", "train", "info"):
        assert name in result.out
        assert cli(name, "--help").code == 0
    assert len(app.registered_commands) == 6


def test_without_arguments_help_is_shown(cli: Cli) -> None:
    result = cli()
    assert "Usage" in result.out + result.err and "predict" in result.out + result.err


@pytest.mark.parametrize("arguments", [("nonsense",), ("predict",), ("info", "a", "b")])
def test_wrong_usage_is_told_from_other_errors(cli: Cli, arguments: tuple[str, ...]) -> None:
    result = cli(*arguments)
    assert result.code == 2 and result.out == ""
    assert "Usage" in result.err and "Traceback" not in result.err


@pytest.mark.parametrize("command", ["predict", "demo"])
def test_an_unknown_device_is_a_sentence(
    cli: Cli, command: str, model_file: Path, photos: list[Path], tmp_path: Path
) -> None:
    more = (photos[0], "--model", model_file) if command == "predict" else ()
    sentence = cli(command, *more, "--device", "abacus", "--out", tmp_path / "o").one_sentence()
    names = ", ".join(device.available_devices())
    assert sentence == f"Error: There is no device “abacus” here: choose {names}, or auto."
    assert not (tmp_path / "o").exists()


def test_a_place_that_cannot_be_written_is_a_sentence(
    cli: Cli, model_file: Path, photos: list[Path], tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("mine")
    faults = {
        "file": "Error: “{}” is a file: choose a folder for the results.",
        "file/below": "Error: The folder “{}” cannot be created (Not a directory): choose another "
        "for the results.",
    }
    for name, expected in faults.items():
        out = tmp_path / name
        sentence = cli("predict", photos[0], "--model", model_file, "--out", out).one_sentence()
        assert sentence == expected.format(out)
    assert (tmp_path / "file").read_text() == "mine"


def test_a_disk_that_fails_is_a_sentence(
    cli: Cli, model_file: Path, photos: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("napari_gaussproto.jobs.batch.one_image.write_label_file", full)
    result = cli("predict", photos[0], "--model", model_file, "--out", tmp_path / "o")
    assert result.code == 1 and "Traceback" not in result.err
    [line] = result.err.splitlines()
    assert line.startswith("Error: A file could not be read or written ([Errno 28] No space left")


def test_the_package_itself_is_the_command_line() -> None:
    command = [sys.executable, "-m", "napari_gaussproto", "info", "no model"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 1 and ended.stderr.startswith("Error: There is no model “no model”")
