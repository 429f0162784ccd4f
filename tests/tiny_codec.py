"""A codec of phones that learnt nothing: as quick as the real one, with as many codes as asked."""

from itertools import islice, product
from string import ascii_lowercase

import numpy as np
import torch

from voxtwist.codec.phones import PhoneCodec
from voxtwist.codec.phones.codec import PAUSE
from voxtwist.codec.phones.decoder import PhoneDecoder
from voxtwist.codec.phones.encoder import PhoneHead
from voxtwist.codec.phones.world import FEATURES


def tiny_codec(n_codes: int, seed: int = 0) -> PhoneCodec:
    phones = [PAUSE, *ascii_lowercase][: int(np.ceil(n_codes**0.5))]
    pairs = np.array(list(islice(product(range(len(phones)), repeat=2), n_codes)))
    scale = torch.stack([torch.zeros(FEATURES), torch.full((FEATURES,), 0.1)])
    scale[0, 0] = np.log(200)  # Hz
    scale[:, 1] = torch.tensor([0.0, 1.0])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return PhoneCodec(phones, pairs, PhoneHead(len(phones)), PhoneDecoder(len(phones)), scale)
