"""Stage `codec` of the embedded corpus: a k-means codec fitted on the embedded voice."""

from pathlib import Path

from voxtwist import params
from voxtwist.corpus.codec import fit_codec, measure_round_trip
from voxtwist.files import write_json
from voxtwist.terminal import one_line_errors

with one_line_errors():
    settings = params.load()
    codec = fit_codec(
        settings.corpus, settings.codec.n_codes, settings.seed, Path("data/codec/kmeans")
    )
    metrics = measure_round_trip(codec, settings.corpus, settings.seed, Path("samples/codec"))
    write_json(metrics, Path("metrics/codec.json"))
