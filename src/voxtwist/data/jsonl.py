"""One sample as one line of SFT JSONL."""

import numpy as np
import orjson

from voxtwist.vocabulary import IGNORED_LABEL, Sample


def sample_line(sample: Sample) -> bytes:
    """The line with its newline; the bytes that ``json.dumps`` gives with compact separators.

    Labels repeat the ids behind the prompt, so those digits are made once and written twice.
    """
    ids, labels = sample
    prompt = int(np.argmax(labels != IGNORED_LABEL))
    head = orjson.dumps(ids[:prompt], option=orjson.OPT_SERIALIZE_NUMPY)[1:-1]
    tail = orjson.dumps(ids[prompt:], option=orjson.OPT_SERIALIZE_NUMPY)[1:-1]
    masked = b"%d," % IGNORED_LABEL * prompt
    mask = b"1," * (len(ids) - 1) + b"1"
    return b'{"input_ids":[%b,%b],"labels":[%b%b],"attention_mask":[%b]}\n' % (
        head, tail, masked, tail, mask,
    )  # fmt: skip
