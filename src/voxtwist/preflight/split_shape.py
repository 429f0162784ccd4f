"""The average sample of a training split."""

from pathlib import Path

import pyarrow.parquet as pq

from voxtwist.data.files import rows_path
from voxtwist.data.index import TokenIndex
from voxtwist.preflight.estimate import Data

_READ = 100  # samples whose labels are looked at


def split_shape(train: Path) -> Data:
    """What is in an SFT file with its table of rows beside it.

    Raises:
        VoxtwistError: there is no such file.
    """
    index = TokenIndex.open(train)
    table = pq.read_table(rows_path(train), columns=["n_tokens", "n_codes"])
    tokens, codes = (column.to_numpy().mean() for column in table.itercolumns())
    first = [index.read(i)["labels"] for i in range(min(_READ, len(index)))]
    prompt = sum(int((labels == -100).sum()) for labels in first) / len(first)
    return Data(len(index), prompt, tokens - prompt - codes, codes)
