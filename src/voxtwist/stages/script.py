"""What every script of `pipelines/` runs in."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from voxtwist.terminal import one_line_errors
from voxtwist.vcs import locked_outputs

log = logging.getLogger(__name__)


@contextmanager
def stage_script() -> Iterator[None]:
    """Errors in one line; and a stage that fails or is stopped leaves its earlier outputs behind.

    DVC deletes a stage's outputs before it starts the stage, so that a misspelt setting would cost
    the last checkpoint. `persist: true` would keep them, but DVC then no longer finds earlier runs
    of the stage in its run cache. So what dvc.lock names is put back out of DVC's cache. After a
    kill, `dvc checkout` does the same.
    """
    with one_line_errors():
        try:
            yield
        except BaseException:
            if os.environ.get("RANK", "0") == "0":  # one of many processes does it
                put_back_outputs()
            raise


def put_back_outputs() -> None:
    """Restore the outputs that dvc.lock names for the stage that DVC is running, where it can.

    Never raises: the reason why the stage failed is to be seen.
    """
    stage = os.environ.get("DVC_STAGE")
    if stage is None:
        return
    # `pipelines/corpus/dvc.yaml:codec`; a stage of the root pipeline has only its name.
    file, _, name = stage.rpartition(":")
    try:
        from voxtwist.tracking.objects import Objects

        root = Path(os.environ["DVC_ROOT"])
        outputs = locked_outputs((root / file).parent if file else root, name)
        objects = Objects(root) if outputs else None
    except Exception as error:
        log.warning("the earlier outputs of %s were not put back: %s", stage, error)
        return
    for path, digest in outputs.items():
        try:
            assert objects is not None
            objects.restore(digest, Path(path))
        except Exception as error:
            log.warning("%s was not put back as it was: %s", path, error)
