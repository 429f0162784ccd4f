"""The chunked loss is the plain one."""

import pytest
import torch
from torch.nn.functional import cross_entropy

from voxtwist.model import loss
from voxtwist.model.embedding import SplitTable

TEXT, VOCABULARY, FIRST_SPEECH = 30, 40, 34


@pytest.fixture
def case(monkeypatch):
    monkeypatch.setattr(loss, "CHUNK", 7)  # so that several chunks are needed
    torch.manual_seed(0)
    hidden = torch.randn(50, 8, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(VOCABULARY, 8, dtype=torch.float64)
    labels = torch.randint(0, VOCABULARY, (50,))
    labels[:12] = -100
    labels[30:33] = -100
    return hidden, weight, labels


def test_value_and_gradients_equal_full_logits_in_float64(case):
    hidden, weight, labels = case
    table = SplitTable(weight, TEXT)
    weighted, tallies = loss.speech_and_text_loss(
        hidden, labels, table, FIRST_SPEECH, speech_weight=2
    )
    (weighted / 3).backward()
    ours = hidden.grad.clone(), torch.cat([table.text_rows.grad, table.new_rows.grad])

    hidden.grad = None
    weight.requires_grad_()
    targets = labels[1:]
    each = cross_entropy(hidden[:-1] @ weight.T, targets, ignore_index=-100, reduction="none")
    speech = targets >= FIRST_SPEECH
    expected = each[~speech].sum() + 2 * each[speech].sum()
    (expected / 3).backward()
    assert weighted.item() == pytest.approx(expected.item(), rel=1e-9)
    assert tallies["text"].nll.item() == pytest.approx(each[~speech].sum().item(), rel=1e-9)
    assert float(tallies["speech"].count) == int(speech.sum())
    assert float(tallies["text"].count) == int((targets != -100).sum() - speech.sum())
    torch.testing.assert_close(ours[0], hidden.grad)
    torch.testing.assert_close(ours[1], weight.grad)


@pytest.mark.parametrize("restricted", [0.0, 1.0])
def test_hits_count_the_most_likely_ids(case, restricted):
    hidden, weight, labels = case
    logits = hidden.detach() @ weight.T
    best = logits.argmax(-1)
    labels[1::2] = best[:-1][::2]  # right ones, and what was drawn between them
    labels[:12] = -100
    targets, at = labels[1:], torch.arange(49)
    speech = targets >= FIRST_SPEECH
    if restricted:  # the best of the new rows counts where the label is speech
        best[:-1][speech] = TEXT + logits[:-1, TEXT:][speech].argmax(-1)
    right = best[at] == targets
    _, tallies = loss.speech_and_text_loss(
        hidden, labels, SplitTable(weight, TEXT), FIRST_SPEECH, restricted
    )
    assert int(tallies["speech"].hits) == int((right & speech).sum()) > 0
    assert int(tallies["text"].hits) == int((right & ~speech).sum()) > 0
    assert tallies["text"].hits < tallies["text"].count


@pytest.mark.parametrize("restricted", [0.5, 1.0])
def test_restricted_speech_is_a_softmax_over_the_new_rows(case, restricted):
    hidden, weight, labels = case
    table = SplitTable(weight, TEXT)
    _, free = loss.speech_and_text_loss(hidden, labels, table, FIRST_SPEECH)
    weighted, tallies = loss.speech_and_text_loss(
        hidden, labels, table, FIRST_SPEECH, restricted, 3
    )
    weighted.backward()
    ours = hidden.grad.clone(), torch.cat([table.text_rows.grad, table.new_rows.grad])

    hidden.grad = None
    weight.requires_grad_()
    targets = labels[1:]
    speech = torch.nonzero(targets >= FIRST_SPEECH).squeeze(1)
    logits = hidden @ weight.T
    text = torch.nonzero((targets != -100) & (targets < FIRST_SPEECH)).squeeze(1)
    full = cross_entropy(logits[text], targets[text], reduction="sum")
    expected = cross_entropy(logits[speech, TEXT:], targets[speech] - TEXT, reduction="none")
    whole = loss._drawn(targets, targets >= FIRST_SPEECH, 1 - restricted)[speech]
    assert whole.any() == (restricted < 1)
    assert not whole.all()
    expected[whole] = cross_entropy(logits[speech[whole]], targets[speech[whole]], reduction="none")
    expected = expected.sum()
    (full + 3 * expected).backward()
    assert weighted.item() == pytest.approx((full + 3 * expected).item(), rel=1e-12)
    assert tallies["speech"].nll.item() == pytest.approx(expected.item(), rel=1e-12)
    assert tallies["speech"].count == len(speech)
    assert tallies["text"].nll.item() == free["text"].nll.item()
    torch.testing.assert_close(ours[0], hidden.grad)
    torch.testing.assert_close(ours[1], weight.grad)


def test_the_share_that_has_the_whole_softmax_depends_on_the_sample_alone():
    targets = torch.randint(100, 600, (5000,), generator=torch.Generator().manual_seed(0))
    targets[::50] = -100  # samples of 49 codes
    drawn = loss._drawn(targets, targets >= 100, 0.1)
    assert not drawn[targets == -100].any()
    assert drawn.float().mean().item() == pytest.approx(0.1, abs=0.02)
    alone = loss._drawn(targets[2000:2050], targets[2000:2050] >= 100, 0.1)
    assert torch.equal(alone, drawn[2000:2050])
    assert drawn[targets >= 100].view(100, 49).any(0).float().mean() > 0.9  # places in an answer
    assert loss._drawn(targets, targets >= 100, 1.0).sum() == (targets >= 100).sum()
    assert not loss._drawn(targets, targets >= 100, 0.0).any()


@pytest.mark.parametrize("restricted", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("kept", ["nothing", "speech"])
def test_a_batch_without_text_reaches_every_parameter_all_the_same(case, restricted, kept):
    # Devices would else wait for each other's gradients for ever.
    hidden, weight, labels = case
    labels[(labels < FIRST_SPEECH) | (torch.tensor(kept == "nothing"))] = -100
    table = SplitTable(weight, TEXT)
    weighted, tallies = loss.speech_and_text_loss(hidden, labels, table, FIRST_SPEECH, restricted)
    weighted.backward()
    gradients = [tensor.grad for tensor in (hidden, table.text_rows, table.new_rows)]
    assert all(gradient is not None for gradient in gradients)
    assert tallies["text"].nll == tallies["text"].count == 0
    assert (sum(g.abs().sum() for g in gradients) == 0) == (kept == "nothing")
