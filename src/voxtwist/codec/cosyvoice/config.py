"""`cosyvoice.yaml` read as inert data.

The file is HyperPyYAML, whose tags (`!new:`, `!name:`, `!apply:`) import and call whatever they
name. Here a tag is only remembered as text, and `!ref <key>` is looked up only where it stands for
one of the file's own top-level numbers or words. Nothing in the file is ever imported or called.
"""

import re
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from voxtwist.errors import VoxtwistError

_CLASS = "!class"
_FLOW_CLASS = "MaskedDiffWithXvec"

# Ten times the published model's sizes and more: keeps a corrupt file from asking for terabytes.
Size = Annotated[int, Field(ge=1, le=65_536)]


class _Section(BaseModel):
    """Keys that this decoder does not need (dropout, training settings) are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class EncoderConfig(_Section):
    input_size: Size
    output_size: Size
    attention_heads: Size
    linear_units: Size
    num_blocks: Annotated[int, Field(ge=1, le=128)]
    normalize_before: Literal[True]
    input_layer: Literal["linear"]
    pos_enc_layer_type: Literal["rel_pos_espnet"]
    selfattention_layer_type: Literal["rel_selfattn"]
    use_cnn_module: Literal[False]
    macaron_style: Literal[False]


class LengthRegulatorConfig(_Section):
    channels: Size
    sampling_ratios: Annotated[list[Literal[1]], Field(min_length=1, max_length=32)]


class EstimatorConfig(_Section):
    in_channels: Size
    out_channels: Size
    channels: Annotated[list[Size], Field(min_length=1, max_length=8)]
    attention_head_dim: Size
    num_heads: Size
    n_blocks: Annotated[int, Field(ge=1, le=32)]
    num_mid_blocks: Annotated[int, Field(ge=0, le=64)]
    act_fn: Literal["gelu"]


class SolverConfig(_Section):
    solver: Literal["euler"]
    t_scheduler: Literal["cosine"]
    inference_cfg_rate: Annotated[float, Field(ge=0, le=10)]


class SolverParams(_Section):
    content: SolverConfig


class DecoderConfig(_Section):
    cfm_params: SolverParams
    estimator: EstimatorConfig


class FlowConfig(_Section):
    """Tokens to mel."""

    input_size: Size
    output_size: Size
    spk_embed_dim: Size
    vocab_size: Size
    input_frame_rate: Annotated[int, Field(ge=1, le=1000)]
    encoder: EncoderConfig
    length_regulator: LengthRegulatorConfig
    decoder: DecoderConfig


class StftConfig(_Section):
    n_fft: Size
    hop_len: Size


class F0Config(_Section):
    cond_channels: Size


class VocoderConfig(_Section):
    """Mel to waveform. `nsf_*` shape the excitation: see `vocoder.HarmonicSource`."""

    in_channels: Size
    base_channels: Size
    nb_harmonics: Annotated[int, Field(ge=0, le=64)]
    sampling_rate: Size
    nsf_alpha: float
    nsf_sigma: float
    nsf_voiced_threshold: float
    upsample_rates: Annotated[list[Size], Field(min_length=1, max_length=8)]
    upsample_kernel_sizes: Annotated[list[Size], Field(min_length=1, max_length=8)]
    istft_params: StftConfig
    resblock_kernel_sizes: Annotated[list[Size], Field(min_length=1, max_length=8)]
    resblock_dilation_sizes: Annotated[list[list[Size]], Field(min_length=1, max_length=8)]
    source_resblock_kernel_sizes: Annotated[list[Size], Field(min_length=1, max_length=8)]
    source_resblock_dilation_sizes: Annotated[list[list[Size]], Field(min_length=1, max_length=8)]
    lrelu_slope: float
    audio_limit: float
    f0_predictor: F0Config

    @property
    def hop(self) -> int:
        """Samples per mel frame."""
        hop = self.istft_params.hop_len
        for rate in self.upsample_rates:
            hop *= rate
        return hop


class MelConfig(_Section):
    """The prompt's mel spectrogram."""

    n_fft: Size
    num_mels: Size
    sampling_rate: Size
    hop_size: Size
    win_size: Size
    fmin: float
    fmax: float
    center: Literal[False]


class CosyVoiceConfig(_Section):
    sample_rate: Size
    flow: FlowConfig
    hift: VocoderConfig
    feat_extractor: MelConfig

    @model_validator(mode="after")
    def _parts_agree(self) -> "CosyVoiceConfig":
        rates = {self.sample_rate, self.hift.sampling_rate, self.feat_extractor.sampling_rate}
        if len(rates) > 1:
            raise ValueError(f"its parts disagree on the sample rate: {sorted(rates)}")
        if self.hift.hop != self.feat_extractor.hop_size:
            raise ValueError(
                f"a mel frame is {self.feat_extractor.hop_size} samples in feat_extractor "
                f"and {self.hift.hop} in hift"
            )
        return self

    @classmethod
    def read(cls, model_dir: Path) -> "CosyVoiceConfig":
        """Read `model_dir`/cosyvoice.yaml.

        Raises:
            VoxtwistError: no such file, another version of CosyVoice, or settings that this
                decoder does not know.
        """
        path = Path(model_dir) / "cosyvoice.yaml"
        _require_version_1(path)
        sections = _read_inert(path)
        flow = sections.get("flow")
        flow_class = str(flow.get(_CLASS, "")).rpartition(".")[2] if isinstance(flow, dict) else ""
        if flow_class != _FLOW_CLASS:
            raise VoxtwistError(
                f"{path}: the flow is {flow_class or 'missing'}, and this decoder is for "
                f"{_FLOW_CLASS} (CosyVoice v1: CosyVoice-300M, -SFT, -Instruct). "
                "Give the folder of a v1 model"
            )
        try:
            return cls.model_validate(sections)
        except ValidationError as error:
            first = error.errors()[0]
            field = ".".join(str(part) for part in first["loc"]) or "settings"
            raise VoxtwistError(f"{path}: {field}: {first['msg']}") from None


def _require_version_1(path: Path) -> None:
    if path.is_file():
        return
    for version in (2, 3):
        if path.with_name(f"cosyvoice{version}.yaml").is_file():
            raise VoxtwistError(
                f"{path.parent} holds CosyVoice {version}, whose tokens and rates differ. "
                "Give the folder of a v1 model (CosyVoice-300M or CosyVoice-300M-SFT)"
            )
    raise VoxtwistError(f"{path} does not exist: give the folder of a CosyVoice-300M model")


class _Ref(str):
    """The text of a `!ref`, not looked up yet."""


class _InertLoader(yaml.SafeLoader):
    """Plain data only. Aliases are refused: a few lines of them can expand without bound."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("YAML aliases (*name) are not supported")
        return super().compose_node(parent, index)


def _inert(loader: yaml.SafeLoader, tag: str, node: yaml.Node) -> Any:
    if isinstance(node, yaml.MappingNode):
        return loader.construct_mapping(node, deep=True) | {_CLASS: tag}
    if isinstance(node, yaml.SequenceNode):
        return loader.construct_sequence(node, deep=True)
    return _Ref(node.value) if tag == "ref" else node.value


_InertLoader.add_multi_constructor("!", _inert)


def _read_inert(path: Path) -> dict[str, Any]:
    try:
        with path.open(encoding="utf-8") as file:
            top = yaml.load(file, _InertLoader)  # a SafeLoader that calls nothing
    # ValueError: bytes that are not UTF-8, impossible dates, absurdly long integers.
    except (yaml.YAMLError, ValueError, RecursionError, OSError) as error:
        raise VoxtwistError(f"{path} cannot be read as YAML: {error}") from None
    if not isinstance(top, dict):
        raise VoxtwistError(f"{path} is not a mapping of settings")
    wanted = {key: top[key] for key in CosyVoiceConfig.model_fields if key in top}
    return {key: _resolve(value, top, path) for key, value in wanted.items()}


def _resolve(value: Any, top: dict, path: Path) -> Any:
    if isinstance(value, dict):
        return {key: _resolve(item, top, path) for key, item in value.items()}
    if isinstance(value, list):
        return [_resolve(item, top, path) for item in value]
    if isinstance(value, _Ref):
        name = re.fullmatch(r"<(\w+)>", value.strip())
        target = top.get(name[1]) if name else None
        if not isinstance(target, int | float | str) or isinstance(target, _Ref):
            raise VoxtwistError(f"{path}: !ref {value} must name a number or word of this file")
        return target
    return value
