"""What a long run needs, looked for before it starts."""

import re
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import numpy as np

from voxtwist.errors import VoxtwistError
from voxtwist.params import Params

MADE_BY_PIPELINE = "data/raw/embedded"  # by pipelines/corpus, when it is data.raw
_COSYVOICE_FILES = ("cosyvoice.yaml", "flow.pt", "hift.pt")
_PROMPT_FILES = ("campplus.onnx", "speech_tokenizer_v1.onnx")
_OF_ALL = re.compile(r"-of-(\d{5})\.parquet$")
TO_BE_FETCHED = "to be fetched"
_ROWS = 3  # of each of three shards


@dataclass(frozen=True)
class Check:
    """One thing looked for.

    Attributes:
        state: "warning": a run would work, but perhaps not as it should.
        found: what is there; `mend`: what to do when that is not enough.
    """

    name: str
    state: Literal["ok", "warning", "missing"]
    found: str
    mend: str | None = None

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def check_inputs(params: Params) -> Iterator[Check]:
    """Data, models and benchmarks that `params` names, one after the other."""
    yield _checked("raw data", lambda: check_data(params))
    yield _checked("base model", lambda: check_base(params))
    yield _checked("codec", lambda: check_codec(params))
    yield _checked("recogniser", lambda: check_asr(params.evaluate_speech.asr))
    yield from _other_judges(params)
    yield _checked("text suites", lambda: check_suites(params))
    yield _checked("benchmarks", lambda: check_benchmarks(params))


def _checked(name: str, check: Callable[[], Check]) -> Check:
    try:
        return check()
    except VoxtwistError as error:
        return Check(name, "missing", "not usable", str(error))


def check_data(params: Params) -> Check:
    """All shards that their names announce, and the first rows of three of them.

    Raises:
        VoxtwistError: there are none, or one that is looked into cannot be read or says that its
            codes are another codec's.
    """
    from voxtwist.codec.origin import Origin
    from voxtwist.data.raw import find_shards, open_shard, read_batches, read_origin
    from voxtwist.data.reject import SpeechRate, find_rejections

    name, raw = "raw data", params.data.raw
    if raw == MADE_BY_PIPELINE:
        return Check(name, "ok", f"{raw} is made by pipelines/corpus")
    shards = find_shards(raw)
    codec = params.codec
    asked = Origin(codec.name, codec.frame_rate_hz, codec.n_codes)
    looked_into = sorted({shards[0], shards[len(shards) // 2], shards[-1]})
    for shard in looked_into:
        with open_shard(shard) as file:
            said = read_origin(file.schema_arrow, shard)
        said.refuse_unless(asked, str(shard), "the settings (codec) say")
        for batch in read_batches(shard, _ROWS):
            rejected = find_rejections(batch, codec.n_codes, codec.frame_rate_hz, SpeechRate())
            if len(rejected) == len(batch):
                first = next(iter(rejected.values()))
                return Check(
                    name, "missing", f"the first {len(batch)} rows of {shard.name} are unusable",
                    f"{first.reason}: {first.detail}; see `voxtwist inspect raw {shard}`",
                )  # fmt: skip
    announced = _OF_ALL.search(shards[0].name)
    count = int(announced[1]) if announced else len(shards)
    found = f"{len(shards)} of {count} shards, {len(looked_into)} looked into"
    if len(shards) < count:
        return Check(name, "warning", found, "the others are left out of training: fetch them")
    return Check(name, "ok", found)


def check_base(params: Params) -> Check:
    """A model on this machine is also looked at as the stage `base` will do it.

    Raises:
        VoxtwistError: see `model.base.check_base`.
    """
    from voxtwist.model import base
    from voxtwist.model.base import EMBEDDED, GGUF_PACKAGE

    model = params.base.model
    if model == EMBEDDED:
        found = find_spec(GGUF_PACKAGE) is not None
        return Check("base model", "ok" if found else "missing", GGUF_PACKAGE, "run `make setup`")
    check = _folder_or_hub("base model", model, params.base.revision, "base.model")
    if check.state == "ok" and not check.found.endswith(TO_BE_FETCHED):
        base.check_base(model, params.base.revision)
    return check


def check_codec(params: Params) -> Check:
    """The codec's files, and its voice.

    Raises:
        VoxtwistError: cosyvoice.yaml is of another version, or the speaker is not in the model.
    """
    codec, folder = params.codec, Path(params.codec.path)
    if codec.name == "phones":
        return Check("codec", "ok", f"{folder} is made by pipelines/corpus")
    from voxtwist.codec.cosyvoice.adapter import DEFAULT_SPEAKER
    from voxtwist.codec.cosyvoice.config import CosyVoiceConfig
    from voxtwist.codec.cosyvoice.weights import read_pt

    voice = _PROMPT_FILES if codec.prompt_audio else ("spk2info.pt",)
    missing = [name for name in (*_COSYVOICE_FILES, *voice) if not (folder / name).is_file()]
    if missing:
        return Check(
            "codec", "missing", f"{folder} lacks {', '.join(missing)}",
            "`hf download FunAudioLLM/CosyVoice-300M-SFT --local-dir models/CosyVoice-300M-SFT` "
            "(or ModelScope: iic/CosyVoice-300M-SFT), and name the folder as codec.path",
        )  # fmt: skip
    flow = CosyVoiceConfig.read(folder).flow
    for setting, asked, has, unit in (
        ("n_codes", codec.n_codes, flow.vocab_size, "codes"),
        ("frame_rate_hz", codec.frame_rate_hz, flow.input_frame_rate, "codes per second"),
    ):
        if has != asked:
            mend = f"set codec.{setting}: {has}"
            return Check("codec", "missing", f"{folder} has {has} {unit}", mend)
    if codec.prompt_audio:
        spoken = codec.prompt_audio
        if not Path(spoken).is_file():
            return Check("codec", "missing", f"no file {spoken}", "name one as codec.prompt_audio")
    else:
        speakers = read_pt(folder / "spk2info.pt")
        spoken = codec.speaker or DEFAULT_SPEAKER
        if spoken not in speakers:
            known = ", ".join(speakers)
            return Check("codec", "missing", f"no speaker {spoken}", f"codec.speaker: {known}")
    return Check("codec", "ok", f"{folder}, voice {spoken}")


def check_asr(name: str) -> Check:
    if name == "moonshine":
        found = find_spec("moonshine_voice") is not None
        state: Any = "ok" if found else "missing"
        return Check("recogniser", state, "moonshine-voice", None if found else "run `make setup`")
    return _folder_or_hub("recogniser", name, None, "evaluate_speech.asr")


def _other_judges(params: Params) -> Iterator[Check]:
    settings = params.evaluate_speech
    if settings.mos == "dnsmos" and find_spec("speechmos") is None:
        yield Check("DNSMOS", "missing", "speechmos is not installed", "run `make setup`")
    for name, folder, file in (
        ("UTMOS", settings.utmos, "hubconf.py"),
        ("voice similarity", settings.voice, "campplus.onnx"),
    ):
        if folder:
            found = (Path(folder) / file).is_file()
            mend = f"put it there, or set evaluate_speech.{'utmos' if name == 'UTMOS' else 'voice'}"
            path = str(Path(folder) / file)
            yield Check(
                name, "ok" if found else "missing", path, None if found else f"{mend}: null"
            )


def check_suites(params: Params) -> Check:
    """All suites with their data.

    Raises:
        VoxtwistError: an unknown suite, or its data are not there.
    """
    from voxtwist.evaluation.text.suites import load_suites

    settings = params.evaluate_text
    folder = Path(settings.datasets) if settings.datasets else None
    suites = load_suites(settings.suites, folder)
    counts = (f"{s.name} ({sum(len(t.eval_docs) for t in s.tasks):,} questions)" for s in suites)
    return Check("text suites", "ok", ", ".join(counts))


def check_benchmarks(params: Params) -> Check:
    """Benchmark questions that the raw data hold, too.

    Raises:
        VoxtwistError: all questions of a task are in them.
    """
    from voxtwist.data.groups import hash_texts
    from voxtwist.data.raw import find_shards, read_questions
    from voxtwist.evaluation.text.suites import load_suites
    from voxtwist.evaluation.text.trained import find_trained

    name, settings = "benchmarks", params.evaluate_text
    if params.data.raw == MADE_BY_PIPELINE:
        return Check(name, "ok", "compared with the training data by the stage split")
    folder = Path(settings.datasets) if settings.datasets else None
    try:
        suites = load_suites(settings.suites, folder)
        hashes = [hash_texts(read_questions(shard)) for shard in find_shards(params.data.raw)]
    except VoxtwistError:  # the checks of data and suites have said so
        return Check(name, "warning", "not compared with the data", "mend data or suites first")
    found = [find_trained(suite, np.concatenate(hashes)) for suite in suites]
    shared = [str(trained) for trained in found if trained.count]
    if shared:
        return Check(name, "warning", "; ".join(shared), "nothing needs to be done")
    count = sum(trained.questions for trained in found)
    return Check(name, "ok", f"none of {count:,} questions is in the raw data")


def _folder_or_hub(name: str, model: str, revision: str | None, setting: str) -> Check:
    """Whether a transformers model is a folder here, in the hub's cache, or on the hub."""
    folder = Path(model)
    if folder.is_dir():
        weights = [*folder.glob("*.safetensors"), *folder.glob("pytorch_model*.bin")]
        if (folder / "config.json").is_file() and weights:
            return Check(name, "ok", f"folder {folder}")
        return Check(
            name, "missing", f"{folder} lacks config.json or its weights", f"name another {setting}"
        )
    from huggingface_hub import HfApi, try_to_load_from_cache

    files = ("model.safetensors", "model.safetensors.index.json")
    cached = (try_to_load_from_cache(model, file, revision=revision) for file in files)
    if any(isinstance(path, str) for path in cached):
        return Check(name, "ok", f"{model} in the hub's cache")
    try:
        info = HfApi().model_info(model, revision=revision, timeout=10, files_metadata=True)
    except Exception as error:  # offline, no such model, no access: a dozen types
        target = f"models/{model.rpartition('/')[2]}"
        return Check(
            name, "missing", f"{model}: no folder, not cached, no answer of the hub "
            f"({type(error).__name__})",
            f"`hf download {model} --local-dir {target}` where there is a network, and set "
            f"{setting}: {target}",
        )  # fmt: skip
    size = sum(file.size or 0 for file in info.siblings or []) / 1e9
    return Check(name, "ok", f"{model} on the hub, {size:.1f} GB {TO_BE_FETCHED}")
