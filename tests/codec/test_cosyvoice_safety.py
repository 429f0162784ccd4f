"""Nothing runs from a model folder, and no file ends in anything but a clear message."""

import shutil

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from voxtwist.codec.cosyvoice import CosyVoice
from voxtwist.codec.cosyvoice.config import CosyVoiceConfig
from voxtwist.errors import VoxtwistError


@pytest.fixture
def model_dir(tiny_dir, tmp_path):
    for name in ("cosyvoice.yaml", "flow.pt", "hift.pt"):
        shutil.copy(tiny_dir / name, tmp_path)
    return tmp_path


def test_yaml_tags_are_never_called(model_dir, tmp_path):
    """The same settings come out of a file whose every tag would leave a mark."""
    path, mark = model_dir / "cosyvoice.yaml", tmp_path / "mark"
    before = CosyVoiceConfig.read(model_dir)
    text = path.read_text().replace("!apply:random.seed [1986]", f"!apply:os.mkdir [{mark}]")
    path.write_text(text + f"\nextra: !new:pathlib.Path.touch\n    self: !name:os.mkdir {mark}\n")
    assert CosyVoiceConfig.read(model_dir) == before
    assert not mark.exists()
    path.write_text(text + f'\nextra: !!python/object/apply:os.mkdir ["{mark}"]\n')
    with pytest.raises(VoxtwistError, match="cannot be read as YAML"):
        CosyVoiceConfig.read(model_dir)
    assert not mark.exists()


class MakesAFolder:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        import os

        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("name", ["flow.pt", "hift.pt"])
def test_pickled_code_is_never_run(model_dir, name):
    mark = model_dir / "mark"
    torch.save({"weight": MakesAFolder(mark)}, model_dir / name)
    with pytest.raises(VoxtwistError, match=f"{name} cannot be read as plain tensors"):
        CosyVoice.load(model_dir)
    assert not mark.exists()


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut short", b"\x80\x02."])
def test_damaged_weights_are_named(model_dir, content):
    (model_dir / "flow.pt").write_bytes(content)
    with pytest.raises(VoxtwistError, match=r"flow\.pt"):
        CosyVoice.load(model_dir)


@pytest.mark.parametrize("version", [2, 3])
def test_later_versions_are_refused_by_name(model_dir, version):
    path = model_dir / "cosyvoice.yaml"
    renamed = path.rename(model_dir / f"cosyvoice{version}.yaml")
    with pytest.raises(VoxtwistError, match=f"CosyVoice {version}"):
        CosyVoice.load(model_dir)
    text = renamed.read_text().replace("MaskedDiffWithXvec", "CausalMaskedDiffWithXvec")
    path.write_text(text)
    with pytest.raises(VoxtwistError, match="the flow is CausalMaskedDiffWithXvec"):
        CosyVoice.load(model_dir)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("solver: 'euler'", "solver: 'heun'", "solver: Input should be 'euler'"),
        ("num_blocks: 2", "num_blocks: many", "encoder.num_blocks"),
        ("num_blocks: 2", "num_blocks: 1000000000", "encoder.num_blocks"),
        ("sample_rate: 22050", "sample_rate: !ref <sample_rate>", "must name a number or word"),
        ("sample_rate: 22050", "sample_rate: 24000\nx: !ref <nothing>", None),
        ("    hop_size: 256", "    hop_size: 300", "300 samples in feat_extractor and 256 in hift"),
        ("spk_embed_dim: 192", "a: &a [1]\nb: *a", "aliases"),
        ("    fmax: 8000", "", "feat_extractor.fmax"),
    ],
)
def test_unknown_settings_are_named(model_dir, old, new, message):
    path = model_dir / "cosyvoice.yaml"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new, 1))
    if message is None:
        assert CosyVoiceConfig.read(model_dir).hift.sampling_rate == 24_000
    else:
        with pytest.raises(VoxtwistError, match=message):
            CosyVoiceConfig.read(model_dir)


@settings(deadline=None, max_examples=150)
@given(data=st.data())
def test_damaged_yaml_never_crashes(tiny_dir, tmp_path_factory, data):
    """Any bytes, or the real file with a stretch of it replaced: settings or a VoxtwistError."""
    real = (tiny_dir / "cosyvoice.yaml").read_bytes()
    start = data.draw(st.integers(0, len(real)))
    end = data.draw(st.integers(start, min(len(real), start + 40)))
    yaml_bits = st.sampled_from([b"!ref <flow>", b"&a ", b"*a", b"!!int x", b"? ", b"\t", b"- ["])
    junk = data.draw(st.lists(yaml_bits | st.binary(max_size=8), max_size=6).map(b"".join))
    whole = data.draw(st.booleans())
    folder = tmp_path_factory.getbasetemp() / "fuzz"
    folder.mkdir(exist_ok=True)
    (folder / "cosyvoice.yaml").write_bytes(real[:start] + junk + real[end:] if whole else junk)
    try:
        assert CosyVoiceConfig.read(folder).sample_rate > 0
    except VoxtwistError as error:
        assert "cosyvoice.yaml" in str(error)


def test_deeply_nested_yaml_is_refused(model_dir):
    (model_dir / "cosyvoice.yaml").write_text("[" * 5_000)
    with pytest.raises(VoxtwistError, match="cannot be read as YAML"):
        CosyVoiceConfig.read(model_dir)
