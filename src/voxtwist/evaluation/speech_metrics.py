"""From utterances to figures: one set for every part of the corpus, held out and taught."""

from collections.abc import Iterator, Sequence

from voxtwist.evaluation.statistics import Estimate, mean, ratio
from voxtwist.evaluation.utterance import Utterance


def summarise(utterances: Sequence[Utterance], resamples: int) -> dict[str, Estimate]:
    """Every figure with its interval, by names such as "heldout/numbers/wer"."""
    groups: dict[str, list[Utterance]] = {}
    for utterance in utterances:
        groups.setdefault(f"{utterance.group}/{utterance.part}", []).append(utterance)
    return {
        f"{group}/{name}": estimate
        for group, members in groups.items()
        for name, estimate in _figures(members, resamples)
    }


def _figures(rows: list[Utterance], resamples: int) -> Iterator[tuple[str, Estimate]]:
    def per_item(values: Sequence[float]) -> Estimate:
        return mean(values, resamples)

    def per_unit(above: Sequence[float], below: Sequence[float]) -> Estimate:
        return ratio(above, below, resamples)

    yield "wer", per_unit([r.words.errors for r in rows], [r.words.length for r in rows])
    yield (
        "reference_wer",
        per_unit(
            [r.reference_words.errors for r in rows], [r.reference_words.length for r in rows]
        ),
    )
    yield "cer", per_unit([r.characters.errors for r in rows], [r.characters.length for r in rows])
    yield "text_exact", per_item([r.exact for r in rows])
    yield "text_chrf", per_item([r.chrf for r in rows])
    yield "well_formed", per_item([r.well_formed for r in rows])
    yield "runaway", per_item([r.runaway for r in rows])
    yield "seconds", per_item([r.seconds for r in rows])
    yield (
        "codes_per_character",
        per_unit([r.n_codes for r in rows], [max(len(r.text), 1) for r in rows]),
    )
    yield (
        "reference_codes_per_character",
        per_unit([r.reference_n_codes for r in rows], [max(len(r.answer), 1) for r in rows]),
    )
    yield "repetition", per_item([r.repetition for r in rows])
    yield "reference_repetition", per_item([r.reference_repetition for r in rows])
    scored = [r.mos for r in rows if r.mos]
    if scored:
        yield "dnsmos", per_item([score.overall for score in scored])
        yield "dnsmos_p808", per_item([score.p808 for score in scored])
    scored = [r.reference_mos for r in rows if r.reference_mos]
    if scored:
        yield "reference_dnsmos", per_item([score.overall for score in scored])
        yield "reference_dnsmos_p808", per_item([score.p808 for score in scored])
