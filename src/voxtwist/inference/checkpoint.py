"""The folder of a checkpoint that a user names: a path, or a version of the model registry."""

from pathlib import Path

from voxtwist.errors import VoxtwistError


def find_checkpoint(name: str, root: Path, experiment: str) -> Path:
    """The folder of `checkpoints/sft`, `models:/voxtwist@champion` or `models:/voxtwist/3`.

    Args:
        root: the project, whose MLflow store and DVC cache know the versions.

    Raises:
        VoxtwistError: nothing is there, or see `registered_checkpoint`.
    """
    if name.startswith("models:/"):
        # MLflow and DVC take seconds to import: only who names a version waits for them.
        from voxtwist.inference.registered import registered_checkpoint

        return registered_checkpoint(name, root, experiment)
    folder = Path(name)
    if not (folder / "config.json").is_file():
        raise VoxtwistError(
            f"{folder} holds no checkpoint (config.json is missing): run `dvc repro` or `dvc pull`,"
            " or name another folder, or a version as models:/NAME@ALIAS or models:/NAME/NUMBER"
        )
    return folder
