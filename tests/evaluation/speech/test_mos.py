"""DNSMOS against the scores of the speechmos package itself (0.0.1.1, with librosa 0.11)."""

import numpy as np
import pytest

from voxtwist.evaluation.speech.mos import Dnsmos, Scores


def siren(seconds: float) -> np.ndarray:
    """A sweep with overtones and a little noise: the same samples everywhere."""
    t = np.arange(int(16_000 * seconds)) / 16_000
    phase = 2 * np.pi * (200 * t + 15 * np.sin(2 * np.pi * 1.5 * t))
    tone = sum(np.sin(k * phase) / k for k in range(1, 8)) * (0.5 + 0.5 * np.sin(6 * np.pi * t))
    noise = np.random.default_rng(0).normal(size=len(t))
    return (0.2 * tone + 0.005 * noise).astype(np.float32)


EXPECTED = {
    2.0: Scores(overall=2.2875, signal=3.3825, background=2.5521, p808=2.5733),
    11.5: Scores(overall=2.3829, signal=3.4326, background=2.6703, p808=2.6426),
}


@pytest.mark.parametrize("seconds", [2.0, 11.5])
def test_scores_are_those_of_the_authors_code(seconds: float) -> None:
    score = Dnsmos().score([siren(seconds)], 16_000)[0]
    expected = EXPECTED[seconds]
    assert score.signal == pytest.approx(expected.signal, abs=1e-3)
    assert score.background == pytest.approx(expected.background, abs=1e-3)
    assert score.overall == pytest.approx(expected.overall, abs=1e-3)
    assert score.p808 == pytest.approx(expected.p808, abs=0.01)


def test_noise_costs_opinion() -> None:
    clean = siren(3.0)
    noisy = clean + np.random.default_rng(1).normal(scale=0.1, size=len(clean)).astype(np.float32)
    first, second = Dnsmos().score([clean, noisy], 16_000)
    assert second.background < first.background - 0.5
