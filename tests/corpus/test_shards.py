"""Shards of the embedded corpus say whose codes they hold."""

import numpy as np
import pyarrow.parquet as pq

from voxtwist.codec.origin import Origin
from voxtwist.corpus.shards import SCHEMA, write_shard
from voxtwist.data.raw import read_batches, read_origin


def test_a_shard_carries_codec_rate_and_number_of_codes(tmp_path):
    file, origin = tmp_path / "train-00000-of-00001.parquet", Origin("phones", 25, 513)
    write_shard([("numbers-00000", "Two?", "Two.")], [np.array([512, 0])], origin, file)
    schema = pq.read_schema(file)
    assert read_origin(schema, file) == origin
    assert schema.equals(SCHEMA)
    [batch] = read_batches(file)
    assert batch.codes.tolist() == [512, 0]
