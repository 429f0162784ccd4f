from pathlib import Path

from voxtwist.files import write_json
from voxtwist.stages.headline import headline, read_metrics


def test_ten_numbers_out_of_all_that_was_measured(tmp_path: Path):
    measured = {
        "train": {
            "after": {"loss_text": 1.23456, "loss_speech": 2.9, "accuracy_text": 0.5},
            "before": {"loss_text": 11.0},
            "tokens": 3000,
            "seconds": 12.0,
        },
        "text_base": {"trivia/acc": 0.5, "trivia/acc_stderr": 0.1, "other/acc": 0.9},
        "text_twist": {"trivia/acc": 0.4},
        "text_sft": {"trivia/acc": 0.3, "comparison": {"trivia/acc": {"before": 0.4}}},
        "speech": {
            "heldout/numbers/wer": 0.1,
            "heldout/numbers/reference_wer": 0.02,
            "heldout/numbers/dnsmos": 1.0,
            "heldout/everyday/wer": 0.9,
            "heldout/everyday/dnsmos": 2.0,
            "taught/numbers/wer": 0.0,
            "intervals": {"heldout/numbers/wer": [0.0, 0.2, 8]},
        },
        "summary": {"loss_text": 7.0},
    }
    for name, values in measured.items():
        write_json(values, tmp_path / f"{name}.json")
    assert headline(read_metrics(tmp_path), "trivia") == {
        "loss_text": 1.235, "loss_speech": 2.9, "acc_base": 0.5, "acc_twist": 0.4, "acc_sft": 0.3,
        "wer_numbers": 0.1, "wer_everyday": 0.9, "dnsmos": 1.5, "tokens_s": 250.0,
    }  # fmt: skip


def test_what_was_not_measured_is_left_out():
    assert headline({"text_sft": {"mmlu/acc": 0.3}}, "mmlu") == {"acc_sft": 0.3}
