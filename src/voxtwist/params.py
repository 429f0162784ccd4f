"""params.yaml as typed, validated settings."""

from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    field_validator,
    model_validator,
)

from voxtwist.errors import VoxtwistError
from voxtwist.files import read_text, yaml_reason

CodecName = Literal["phones", "cosyvoice"]
Format = Literal["v1", "v1.1"]
Column = Literal["question", "answer"]
Alias = Literal["champion", "challenger"]

# `models:/NAME@ALIAS` and MLflow's filters must be able to hold it.
ModelName = Annotated[str, Field(pattern=r"^\w[\w .-]*$", max_length=200)]
Ratio = Annotated[float, Field(ge=0, le=1)]
NonNegative = Annotated[float, Field(ge=0)]


class Settings(BaseModel):
    """A section of params.yaml: unknown names are refused, values never change after reading."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Corpus(Settings):
    everyday: Annotated[int, Field(ge=0)]
    numbers: Annotated[int, Field(ge=0)]
    talk: Annotated[int, Field(ge=0)]
    shards: PositiveInt
    codec_minutes: PositiveFloat
    round_trip_sentences: PositiveInt


class Base(Settings):
    model: str
    revision: str | None


class Codec(Settings):
    name: CodecName
    n_codes: Annotated[int, Field(ge=2)]
    frame_rate_hz: PositiveInt
    path: str
    speaker: str | None
    prompt_audio: str | None


class Data(Settings):
    raw: str
    format: Format
    max_length: PositiveInt | None
    eval_ratio: Annotated[float, Field(gt=0, lt=1)]
    split_seed: int
    group_by: list[Column]
    workers: PositiveInt


class Twist(Settings):
    init: Literal["aligned", "aligned+codec", "codec", "mean+std", "normal", "mean"]
    noise: NonNegative
    pad_to_multiple_of: PositiveInt


class Train(Settings):
    epochs: PositiveFloat
    max_steps: PositiveInt | None
    max_hours: PositiveFloat | None
    learning_rate: PositiveFloat
    new_rows_learning_rate: PositiveFloat
    weight_decay: NonNegative
    warmup_ratio: Ratio
    warmup_steps: Annotated[int, Field(ge=0)] | None
    min_lr_ratio: Ratio
    max_grad_norm: PositiveFloat
    batch_tokens: PositiveInt
    step_tokens: PositiveInt | None
    batching: Literal["packed", "padded", "length_grouped"]
    freeze: Annotated[
        str, Field(pattern=r"^(none|text_embeddings|all_but_new|(lower_layers|lora):[1-9]\d*)$")
    ]
    speech_weight: PositiveFloat
    speech_dropout: Annotated[float, Field(ge=0, lt=1)]
    restrict_speech: Ratio
    keep_text: NonNegative
    text: str | None
    precision: Literal["auto", "fp32", "bf16"]
    gradient_checkpointing: Literal["none", "selective", "full"]
    torch_compile: bool
    eval_steps: PositiveInt
    eval_samples: PositiveInt | None
    log_steps: PositiveInt
    save_steps: PositiveInt


class Generate(Settings):
    temperature: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    top_p: Annotated[float, Field(gt=0, le=1)]
    top_k: Annotated[int, Field(ge=0)]
    repetition_penalty: PositiveFloat
    max_text_tokens: PositiveInt
    max_speech_seconds: PositiveFloat
    batch_size: PositiveInt
    constrained: bool
    server: str | None = None  # none in the settings of versions registered before there was one


class EvaluateText(Settings):
    suites: list[str]
    datasets: str | None
    limit: PositiveInt | None
    batch_size: PositiveInt
    bootstrap: PositiveInt
    server: str | None

    @field_validator("suites")
    @classmethod
    def at_least_one(cls, suites: list[str]) -> list[str]:
        if not suites:
            raise ValueError("name at least one suite, for example [trivia]")
        return suites


class EvaluateSpeech(Settings):
    samples: PositiveInt
    taught: Annotated[int, Field(ge=0)]
    asr: str
    mos: Literal["dnsmos", "none"]
    utmos: str | None
    voice: str | None
    bootstrap: PositiveInt


Number = int | float


class Range(Settings):
    """Numbers between two ends, both included: `{log: [1e-5, 1e-3]}`, `{range: [0, 1]}`."""

    log: tuple[Number, Number] | None = None
    range: tuple[Number, Number] | None = None
    step: Number | None = None

    @model_validator(mode="after")
    def one_kind(self) -> "Range":
        if (self.log is None) == (self.range is None):
            raise ValueError("give one of {log: [low, high]} and {range: [low, high]}")
        if self.step is not None and (self.log or self.step <= 0):
            raise ValueError("step goes with range, and is greater than 0")
        return self


class Sweep(Settings):
    space: dict[str, list[bool | Number | str | None] | Range]
    trials: PositiveInt
    seed: int
    max_steps: PositiveInt | None
    max_tokens: PositiveInt | None
    max_minutes: PositiveFloat | None
    eval_steps: PositiveInt
    eval_samples: PositiveInt | None
    objective: Literal["speech_nll", "wer"]
    retention: str
    margin: NonNegative
    text: str | None
    text_samples: PositiveInt
    pareto: bool
    sampler: Literal["tpe", "random", "qmc"]
    pruner: Literal["median", "hyperband", "none"]


class Tracking(Settings):
    experiment: Annotated[str, Field(min_length=1, max_length=200)]
    model: ModelName


class Promotion(Settings):
    text_metrics: list[str]
    text_margin: PositiveFloat
    wer_margin: PositiveFloat
    alpha: Annotated[float, Field(gt=0, lt=0.5)]
    min_well_formed: Ratio
    max_runaway: Ratio
    no_overlap: list[Column]
    bootstrap: PositiveInt


class Params(Settings):
    """All of params.yaml; each section is handed to the stages that it concerns."""

    preset: str
    seed: int
    corpus: Corpus
    base: Base
    codec: Codec
    data: Data
    twist: Twist
    train: Train
    generate: Generate
    evaluate_text: EvaluateText
    evaluate_speech: EvaluateSpeech
    sweep: Sweep
    tracking: Tracking
    promotion: Promotion

    @model_validator(mode="after")
    def one_voice(self) -> "Params":
        if self.codec.speaker and self.codec.prompt_audio:
            raise ValueError("codec.speaker and codec.prompt_audio exclude each other: keep one")
        return self

    @model_validator(mode="after")
    def speech_that_ends(self) -> "Params":
        """A softmax that is always over the new rows never makes text ids unlikely in speech."""
        if self.train.restrict_speech < 1:
            return self
        if self.data.format == "v1":
            raise ValueError(
                "train.restrict_speech is 1, which needs data.format v1.1: in v1 the end of the "
                "turn, a text id, ends the speech, and would never become unlikely inside it; set "
                "restrict_speech below 1"
            )
        if self.generate.server:
            raise ValueError(
                f"generate.server is {self.generate.server}, whose answers are free, and with "
                "train.restrict_speech at 1 text ids never become unlikely inside speech: train "
                "with restrict_speech below 1, or set server to null"
            )
        return self

    @model_validator(mode="after")
    def logits_where_they_are(self) -> "Params":
        if self.generate.server and self.generate.constrained:
            raise ValueError(
                "generate.constrained needs a model here, and generate.server is "
                f"{self.generate.server}: set constrained to false, or server to null"
            )
        return self


def load(path: Path = Path("params.yaml")) -> Params:
    """Read and validate a params file.

    Raises:
        VoxtwistError: the file is missing, is no YAML mapping, or a setting is unknown, missing or
            out of range; the message names each setting, its value and what is allowed.
    """
    try:
        values: Any = yaml.safe_load(read_text(path))
    except FileNotFoundError:
        raise VoxtwistError(f"{path} is missing: run from the root of the project") from None
    except yaml.YAMLError as error:
        raise VoxtwistError(f"{path} is not valid YAML: {yaml_reason(error)}") from None
    if not isinstance(values, dict):
        raise VoxtwistError(f"{path} holds no settings: it must be a YAML mapping")
    return check(values, path)


def check(values: dict[str, Any], path: Path) -> Params:
    """Settings of a file, perhaps changed by options, as `load` validates them."""
    try:
        return Params(**values)
    except ValidationError as error:
        raise VoxtwistError(f"{path}: {explain(error)}") from None


def explain(error: ValidationError) -> str:
    """One line a wrong setting: `train.learning_rate is -1: input should be greater than 0`."""
    lines = []
    for problem in error.errors():
        name = ".".join(str(part) for part in problem["loc"]) or "settings"
        message = problem["msg"][0].lower() + problem["msg"][1:]
        if problem["type"] == "missing":
            lines.append(f"{name} is missing")
        elif problem["type"] == "extra_forbidden":
            lines.append(f"{name} is not a setting: check its spelling")
        elif problem["loc"]:
            lines.append(f"{name} is {problem['input']!r}: {message}")
        else:
            lines.append(message)
    return "; ".join(lines)
