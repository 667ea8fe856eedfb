"""Write tensors to a safetensors file; the form of model files and of checkpoints."""

from __future__ import annotations

from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from napari_gaussproto.core.base.atomic import replacing
from napari_gaussproto.core.base.errors import ModelFileError


def write_tensors(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    """Write tensors of any shape and device; a crash leaves the old file or the new one.

    Raises
    ------
    ModelFileError
        When it cannot be written there; a former file is left as it was.
    """
    contiguous = {key: value.detach().cpu().contiguous() for key, value in tensors.items()}
    try:
        with replacing(path) as partial:
            # safetensors lets nobody but the owner read its files; these get the mode that
            # the person's umask gives to new ones.
            partial.touch()
            mode = partial.stat().st_mode
            save_file(contiguous, partial, metadata=metadata)
            partial.chmod(mode)
    except (OSError, SafetensorError) as error:
        raise ModelFileError(
            f"“{path}” could not be written ({error}): choose another folder, or make room there."
        ) from error
