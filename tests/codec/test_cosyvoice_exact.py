"""Against what the official implementation computes, and the published model's tensors."""

import math

import pytest
import torch
from safetensors.torch import load_file

from voxtwist.codec.audio import resample
from voxtwist.codec.cosyvoice import CosyVoice
from voxtwist.codec.cosyvoice.config import CosyVoiceConfig
from voxtwist.codec.cosyvoice.flow import Flow, interpolate
from voxtwist.codec.cosyvoice.prompt import kaldi_fbank, prompt_mel, whisper_mel
from voxtwist.codec.cosyvoice.vocoder import HarmonicSource, Vocoder
from voxtwist.codec.cosyvoice.weights import plain_state
from voxtwist.errors import VoxtwistError

CASES = ["n1_p0", "n40_p0", "n41_p0", "n55_p30", "n120_p77"]


def close(ours: torch.Tensor, theirs: torch.Tensor, tolerance: float = 1e-4) -> None:
    torch.testing.assert_close(ours, theirs, atol=tolerance, rtol=0)


@pytest.fixture(scope="module")
def tiny(tiny_dir) -> CosyVoice:
    return CosyVoice.load(tiny_dir)


@pytest.mark.parametrize("case", CASES)
def test_mel(tiny, golden, case):
    given = golden[case]
    mel = tiny.flow(
        given["tokens"],
        given["speaker"],
        given["prompt_tokens"],
        given["prompt_mel"],
        noise=given["noise"],
    )
    close(mel, given["mel"])
    if "mel_speed1.3" in given:
        close(interpolate(mel, int(mel.shape[2] / 1.3)), given["mel_speed1.3"])


@pytest.mark.parametrize("case", CASES)
def test_f0_and_waveform(tiny, golden, case):
    given = golden[case]
    close(tiny.vocoder.f0_predictor(given["mel"]), given["f0"])
    close(tiny.vocoder(given["mel"], given["source"]), given["wav"])


def test_random_excitation_has_the_official_statistics(tiny, golden):
    given = golden["n120_p77"]
    source = tiny.vocoder.m_source(given["f0"], torch.Generator().manual_seed(0))
    assert source.shape == given["source"].shape
    assert source.mean().item() == pytest.approx(given["source"].mean().item(), rel=0.02)
    assert source.std().item() == pytest.approx(given["source"].std().item(), rel=0.05)


def test_excitation_is_harmonics_where_voiced_and_noise_where_not(tiny):
    config = tiny.config.hift
    source = HarmonicSource(config).requires_grad_(False)
    torch.nn.init.zeros_(source.l_linear.bias)
    samples = config.sampling_rate // 10  # bins of 10 Hz
    frames = math.ceil(samples / config.hop)
    for harmonic in (1, 9):
        torch.nn.init.zeros_(source.l_linear.weight)[0, harmonic - 1] = 1.0
        wave = source(torch.full((1, frames), 200.0))[0, 0, :samples]
        assert torch.fft.rfft(wave).abs().argmax().item() * 10 == 200 * harmonic
        unvoiced = source(torch.zeros(1, frames))
        rms = unvoiced.square().mean().sqrt().item()
        assert rms == pytest.approx(config.nsf_alpha / 3, rel=0.05)
        if harmonic == 1:  # only the fundamental starts at a fixed phase
            cycles = 200.0 * torch.arange(1, samples + 1) / config.sampling_rate
            expected = config.nsf_alpha * torch.sin(2 * math.pi * cycles)
            close(wave, expected, tolerance=6 * config.nsf_sigma)


def test_encoder_norms_do_not_damp_small_activations(tiny):
    """Their epsilon is 1e-12; torch's default of 1e-5 would shrink these to a third."""
    x = torch.randn(1, 4, 32, generator=torch.Generator().manual_seed(0))
    for block in tiny.flow.encoder.encoders:
        for norm in (block.norm_mha, block.norm_ff):
            close(norm(1e-3 * x), norm(x), tolerance=1e-3)


def test_front_end(tiny, tiny_dir):
    given = load_file(tiny_dir / "front_end.safetensors")
    wave_22k = torch.from_numpy(resample(given["wav_16k"][0].numpy(), 16_000, 22_050))
    close(wave_22k[None], given["wav_22k"])
    close(kaldi_fbank(given["wav_16k"]), given["kaldi_fbank"])
    close(whisper_mel(given["wav_16k"]), given["whisper_mel"])
    close(prompt_mel(given["wav_22k"], tiny.config.feat_extractor), given["flow_mel"])


@pytest.fixture(scope="module")
def published(published_dir) -> dict[str, dict[str, torch.Tensor]]:
    """file -> name -> tensor without storage, of the published checkpoint."""
    files: dict[str, dict[str, torch.Tensor]] = {"flow.pt": {}, "hift.pt": {}}
    for line in (published_dir / "state_dict_300m.tsv").read_text().splitlines():
        file, key, shape = line.split("\t")
        sizes = [int(size) for size in shape.strip("[]").split(",") if size]
        files[file][key] = torch.empty(sizes, device="meta")
    return files


def parametrised(key: str) -> str:
    for old, new in (("weight_g", "original0"), ("weight_v", "original1")):
        if key.endswith(old):
            return key.removesuffix(old) + "parametrizations.weight." + new
    return key


@pytest.mark.parametrize("prefix", ["", "generator."])
@pytest.mark.parametrize("rename", [str, parametrised])
def test_published_checkpoint_has_exactly_our_tensors(published_dir, published, prefix, rename):
    config = CosyVoiceConfig.read(published_dir)
    with torch.device("meta"):
        flow, vocoder = Flow(config), Vocoder(config.hift)
    flow.load_state_dict(plain_state(published["flow.pt"]), assign=True)
    hift = {prefix + rename(key): tensor for key, tensor in published["hift.pt"].items()}
    vocoder.load_state_dict(plain_state(hift), assign=True)


@pytest.mark.parametrize("prefix", ["", "generator."])
@pytest.mark.parametrize("rename", [str, parametrised])
def test_names_of_weight_norm_do_not_change_the_sound(tiny_dir, tmp_path, golden, prefix, rename):
    for name in ("cosyvoice.yaml", "flow.pt"):
        (tmp_path / name).symlink_to(tiny_dir / name)
    state = torch.load(tiny_dir / "hift.pt", weights_only=True)
    renamed = {prefix + rename(k.removeprefix("generator.")): v for k, v in state.items()}
    torch.save(renamed, tmp_path / "hift.pt")
    given = golden["n1_p0"]
    close(CosyVoice.load(tmp_path).vocoder(given["mel"], given["source"]), given["wav"])


@pytest.mark.parametrize("change", ["missing", "extra", "shape"])
def test_other_tensors_are_refused(tiny_dir, tmp_path, change):
    for name in ("cosyvoice.yaml", "hift.pt"):
        (tmp_path / name).symlink_to(tiny_dir / name)
    state = torch.load(tiny_dir / "flow.pt", weights_only=True)
    if change == "missing":
        del state["encoder_proj.bias"]
    elif change == "extra":
        state["encoder_proj.scale"] = torch.zeros(1)
    else:
        state["encoder_proj.bias"] = torch.zeros(81)
    torch.save(state, tmp_path / "flow.pt")
    with pytest.raises(VoxtwistError, match=r"flow\.pt does not fit cosyvoice\.yaml.*encoder_proj"):
        CosyVoice.load(tmp_path)
