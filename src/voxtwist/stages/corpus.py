"""Stage `codec` of the embedded corpus: a codec fitted on the embedded voice, and measured."""

from pathlib import Path

from voxtwist.corpus.codec import fit_codec, round_trip_speech
from voxtwist.corpus.voice import SAMPLE_RATE
from voxtwist.evaluation.speech.round_trip import measure_round_trip
from voxtwist.params import Params


def codec_stage(params: Params, folder: Path, samples: Path) -> dict[str, float]:
    """Fit the codec into `folder`.

    Returns:
        What `measure_round_trip` says of it.
    """
    codec = fit_codec(params.corpus, params.codec.n_codes, params.seed, folder)
    sentences, spoken = round_trip_speech(params.corpus, params.seed)
    return measure_round_trip(codec, sentences, spoken, SAMPLE_RATE, samples)
