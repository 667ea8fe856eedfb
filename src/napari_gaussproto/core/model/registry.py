"""Models by name: those shipped in the package, and files."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from napari_gaussproto.core.base.errors import ModelFileError
from napari_gaussproto.core.model.summary import SUFFIX

if TYPE_CHECKING:
    from napari_gaussproto.core.model.segmenter import PrototypeSegmenter


def _folder() -> Path:
    # Packages with compiled or large data are always installed unzipped.
    return Path(str(resources.files("napari_gaussproto"))) / "models"


def list_models() -> list[str]:
    """Names of the shipped models, in alphabetical order."""
    return sorted(path.stem for path in _folder().glob(f"*{SUFFIX}"))


def model_path(name_or_path: str | Path) -> Path:
    """File of a shipped model by its name, or of a model by its path.

    Raises
    ------
    ModelFileError
        When it is neither.
    """
    shipped = _folder() / f"{name_or_path}{SUFFIX}"
    if str(name_or_path) in list_models():
        return shipped
    path = Path(name_or_path).expanduser()
    if path.is_file():
        return path
    names = ", ".join(list_models()) or "none"
    raise ModelFileError(
        f"There is no model “{name_or_path}”: "
        f"give the path of a model file or the name of a shipped model ({names})."
    )


def load_model(name_or_path: str | Path, device: str = "auto") -> PrototypeSegmenter:
    """Load a model for use.

    Parameters
    ----------
    name_or_path : str or Path
        A name from `list_models`, or a file.
    device : str
        ``"auto"``, ``"cpu"``, ``"cuda"``, ``"cuda:1"``, ``"mps"``.

    Raises
    ------
    ModelFileError
        See `load_model_file`.
    ConfigError
        When the device is not there.
    """
    # Listing models must not take the seconds that torch needs to load.
    from napari_gaussproto.core.base.device import resolve_device
    from napari_gaussproto.core.model.model_file import load_model_file

    return load_model_file(model_path(name_or_path), resolve_device(device))
