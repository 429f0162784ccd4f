"""The code, settings and data of a run, beside the project and out of its way."""

import ast
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from mlflow.entities import Run

from voxtwist.errors import VoxtwistError
from voxtwist.preset import editable_yaml
from voxtwist.tracking.objects import Objects
from voxtwist.tracking.query import hashes_of
from voxtwist.tracking.runs import PARENT_VARIABLE, PATCH, RECREATES_VARIABLE, flatten
from voxtwist.tracking.store import Store
from voxtwist.vcs import knows_commit, md5, run_dvc, run_git


class Worktree:
    """A git worktree with a DVC cache that is the project's."""

    def __init__(self, root: Path, folder: Path) -> None:
        self.root, self.folder = root, folder.resolve()

    def check_out(self, commit: str) -> None:
        """Make the worktree at a commit.

        Raises:
            VoxtwistError: the folder is taken, or git does not know the commit.
        """
        if self.folder.exists() and any(self.folder.iterdir()):
            raise VoxtwistError(
                f"{self.folder} is not empty: name another folder with --into, or remove an "
                f"earlier recreation with `git worktree remove --force {self.folder}`"
            )
        if not knows_commit(self.root, commit):
            raise VoxtwistError(
                f"git does not know the commit {commit} of the run: fetch it with "
                "`git fetch --all`, or push it from where the model was trained"
            )
        run_git(self.root, "worktree", "prune")
        run_git(self.root, "worktree", "add", "--detach", str(self.folder), commit)

    def apply_patch(self, store: Store, run: Run) -> bool:
        """Bring back what differed from the commit; whether there was anything.

        Raises:
            VoxtwistError: the run's patch is lost.
        """
        if run.data.tags.get("git.dirty") != "true":
            return False
        try:
            patch = store.client.download_artifacts(run.info.run_id, PATCH)
        except Exception as error:
            raise VoxtwistError(
                f"run {run.info.run_id} had changes that were not committed, and its artifact "
                f"{PATCH} cannot be read ({error}): the model cannot be made again"
            ) from None
        if Path(patch).stat().st_size:
            run_git(self.folder, "apply", "--whitespace=nowarn", patch)
        return True

    def write_settings(self, params: Mapping[str, str]) -> dict[str, tuple[Any, Any]]:
        return write_settings(self.folder / "params.yaml", params)

    def restore(self, objects: Objects, tags: Mapping[str, str], from_raw: bool) -> list[str]:
        """Put the run's inputs where it found them; the names of those restored.

        Paths are those of the run's tags `path.*`.

        Args:
            from_raw: leave the splits and the start out: they will be made from the raw data.

        Raises:
            VoxtwistError: the bytes are neither in the cache nor in the remote.
        """
        self.dvc("config", "--local", "cache.dir", str(objects.cache_folder))
        made = {"splits", "start"} if from_raw else set()
        # The split files come with their folder.
        inputs = {
            name: digest
            for name, digest in hashes_of(dict(tags)).items()
            if name not in {"checkpoint", "train", "eval"} | made
        }
        places = objects.where(inputs.values())
        for name, digest in inputs.items():
            path = tags.get(f"path.{name}")
            if path is None:
                raise VoxtwistError(
                    f"the run does not tell where its {name} was: no tag path.{name}"
                )
            if places.get(digest) == "work tree":  # for example raw data that DVC only watches
                self._link(path, digest)
            else:
                objects.restore(digest, self.folder / path)
        # It tells of another run's data, and stages take their inputs' hashes from it.
        (self.folder / "dvc.lock").unlink(missing_ok=True)
        return list(inputs)

    def reproduce(self, store: Store, run_id: str, stages: list[str]) -> None:
        """Run stages even if DVC remembers their results; the new run says what it recreates.

        Raises:
            VoxtwistError: a stage failed.
        """
        environment = self.environment() | {
            "MLFLOW_TRACKING_URI": store.uri,
            RECREATES_VARIABLE: run_id,
        }
        options = ["--quiet", "--force", "--single-item", "--no-run-cache"]
        self.dvc("repro", *options, *stages, environment=environment)

    def stages(self) -> list[str]:
        """Names of the stages in the worktree's dvc.yaml."""
        return list(yaml.safe_load((self.folder / "dvc.yaml").read_bytes())["stages"])

    def dvc(self, *arguments: str, environment: Mapping[str, str] | None = None) -> None:
        """DVC in the worktree; what it prints goes to stderr."""
        done = run_dvc(
            self.folder, *arguments, environment=environment or self.environment(), show=True
        )
        if done.returncode:
            raise VoxtwistError(
                f"`dvc {' '.join(arguments)}` failed in {self.folder}: see above, or mend it there"
            )

    def environment(self) -> dict[str, str]:
        """This environment, with the worktree's code, and not as part of a DVC stage of ours."""
        ours = {"MLFLOW_RUN_ID", PARENT_VARIABLE}
        kept = {k: v for k, v in os.environ.items() if not k.startswith("DVC_") and k not in ours}
        return kept | {
            "PYTHONPATH": str(self.folder / "src"),
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        }

    def _link(self, path: str, digest: str) -> None:
        source, target = (self.root / path).resolve(), self.folder / path
        if md5(source) != digest:
            raise VoxtwistError(
                f"{source} has changed: the run used {digest}, which is in no cache"
            )
        if not target.exists():  # an absolute path is its own target
            target.parent.mkdir(parents=True, exist_ok=True)
            target.symlink_to(source)


def write_settings(file: Path, params: Mapping[str, str]) -> dict[str, tuple[Any, Any]]:
    """Set what differs from the run's params; comments and layout of the file stay.

    A param that the file does not have is left out: it was no setting.

    Returns:
        Of each change by dotted name: the old and the new value.
    """
    yaml = editable_yaml()
    values = yaml.load(file.read_text(encoding="utf-8"))
    changes = {}
    for name, old in flatten(values).items():
        text = params.get(name)
        if text is None or _same(old, text):
            continue
        new = _value(text, old)
        *sections, last = name.split(".")
        place = values
        for section in sections:
            place = place[section]
        place[last] = new
        changes[name] = old, new
    if changes:
        yaml.dump(values, file)
    return changes


def _same(value: Any, text: str) -> bool:
    """Whether MLflow's text says the value; a whole number may have been logged as a float."""
    if isinstance(value, bool | str | None):
        return str(value) == text
    return bool(_value(text, value) == value)


def _value(text: str, old: Any) -> Any:
    """What was logged as `text`; words stay words."""
    if isinstance(old, str) and text != "None":
        return text
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text
