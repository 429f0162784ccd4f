"""A checkpoint is read by the oldest transformers that knows Qwen3 as by the present one."""

import json
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
import torch
from transformers import AutoTokenizer

from voxtwist import params
from voxtwist.model.base import load_model
from voxtwist.model.twist import twist_checkpoint

ROOT = Path(__file__).parents[2]
READ = """
import json, sys, torch, transformers
from transformers import AutoModelForCausalLM, AutoTokenizer
model = AutoModelForCausalLM.from_pretrained(sys.argv[1]).eval()
tokenizer = AutoTokenizer.from_pretrained(sys.argv[1])
messages = [{"role": "user", "content": "Hi?"}]
ids = tokenizer.apply_chat_template(messages, add_generation_prompt=True, enable_thinking=False)
ids += tokenizer.convert_tokens_to_ids(["<text>", "<|s_0|>", "<|s_4095|>"])
with torch.no_grad():
    logits = model(torch.tensor([ids])).logits[0, -1]
print(json.dumps({
    "version": transformers.__version__, "dtype": str(model.dtype), "ids": ids,
    "theta": model.config.rope_theta, "rows": model.config.vocab_size,
    "text": tokenizer.decode(ids, skip_special_tokens=True), "logits": logits[:64].tolist(),
}))
"""


@pytest.mark.slow
def test_transformers_4_51_reads_the_same_model(stand_ins, tmp_path):
    checkpoint = tmp_path / "twist"
    codec = params.Codec(
        name="cosyvoice", n_codes=4096, frame_rate_hz=50,
        path=str(stand_ins / "models/CosyVoice-tiny"), speaker=None, prompt_audio=None,
    )  # fmt: skip
    twist = params.Twist(init="mean+std", noise=1.0, pad_to_multiple_of=128)
    twist_checkpoint(stand_ins / "models/Qwen3-tiny", checkpoint, codec, "v1.1", twist, seed=0)

    # Its own transformers goes before the rest, which is that of this environment.
    venv = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)
    python = venv / "bin/python"
    subprocess.run(
        [sys.executable, "-m", "pip", "--python", python, "install", "-qq", "--no-deps",
         "-r", ROOT / "requirements/oldest.txt"],
        check=True,
    )  # fmt: skip
    (own,) = venv.glob("lib/python*/site-packages")
    (own / "rest.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    done = subprocess.run([python, "-c", READ, checkpoint], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    read = json.loads(done.stdout)

    assert read["version"] == "4.51.0"
    model, tokenizer = load_model(checkpoint), AutoTokenizer.from_pretrained(checkpoint)
    assert read["rows"] == 155_776
    assert read["dtype"] == "torch.float32"
    assert read["theta"] == model.config.rope_parameters["rope_theta"]
    assert read["text"] == tokenizer.decode(read["ids"], skip_special_tokens=True)
    assert read["text"].endswith("<|s_0|><|s_4095|>")
    with torch.no_grad():
        logits = model(torch.tensor([read["ids"]])).logits[0, -1, :64]
    assert read["logits"] == pytest.approx(logits.tolist(), abs=1e-4)
