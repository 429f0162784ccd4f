"""From utterances to figures: one set for every part of the corpus, held out and taught."""

from collections.abc import Iterator, Sequence

from voxtwist.evaluation.speech.utterance import Utterance
from voxtwist.evaluation.speech.wer import Errors
from voxtwist.evaluation.statistics import Estimate, mean, ratio


def summarise_speech(utterances: Sequence[Utterance], resamples: int) -> dict[str, Estimate]:
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

    def errors(name: str) -> Estimate:
        counts: list[Errors] = [getattr(row, name) for row in rows]
        return per_unit([c.errors for c in counts], [c.length for c in counts])

    yield "wer", errors("words")
    yield "reference_wer", errors("reference_words")
    yield "cer", errors("characters")
    yield "reference_cer", errors("reference_characters")
    yield "text_exact", per_item([r.exact for r in rows])
    yield "text_chrf", per_item([r.chrf for r in rows])
    yield "well_formed", per_item([r.well_formed for r in rows])
    yield "eos", per_item([r.ended for r in rows])
    yield "runaway", per_item([r.runaway for r in rows])
    yield "out_of_span", per_item([r.out_of_span for r in rows])
    read = [r for r in rows if r.text_tokens]
    if read:
        leaked = per_unit([r.leaked_mass for r in read], [r.text_tokens for r in read])
        yield "leaked_mass", leaked
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
    for name, values in _opinions(rows):
        known = [value for value in values if value is not None]
        if known:
            yield name, per_item(known)


def _opinions(rows: list[Utterance]) -> Iterator[tuple[str, list[float | None]]]:
    """What only exists of audible answers, and of judges that were asked."""
    yield "dnsmos", [r.mos.overall if r.mos else None for r in rows]
    yield "dnsmos_p808", [r.mos.p808 if r.mos else None for r in rows]
    yield "reference_dnsmos", [r.reference_mos.overall if r.reference_mos else None for r in rows]
    yield "reference_dnsmos_p808", [r.reference_mos.p808 if r.reference_mos else None for r in rows]
    yield "utmos", [r.utmos for r in rows]
    yield "reference_utmos", [r.reference_utmos for r in rows]
    yield "voice_similarity", [r.voice_similarity for r in rows]
