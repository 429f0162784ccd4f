"""TWIST: a text model becomes a text-and-speech model (Hassid et al. 2023, arXiv:2305.13009).

The vocabulary grows by the modality and speech tokens; all rows behind the text vocabulary are
initialised anew, the base model's unused ones included.
"""

import math
from pathlib import Path
from typing import Any

import torch
from scipy import sparse
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from voxtwist.codec.loading import load_code_vectors
from voxtwist.data.index import TokenIndex
from voxtwist.errors import VoxtwistError
from voxtwist.model.alignment import aligned_vectors, count_cooccurrence
from voxtwist.model.base import load_model, load_tokenizer, save_checkpoint
from voxtwist.model.supported import refuse_unsupported
from voxtwist.params import Codec, Twist
from voxtwist.vocabulary import ChatFormat, SpeechVocabulary, extend_tokenizer

_PROBE_QUESTIONS = (
    "What is the capital of France?",
    "How are you today?",
    "Tell me about the sea.",
    "What is 2 plus 3?",
)


def twist_checkpoint(
    base: Path,
    output: Path,
    codec: Codec,
    fmt: str,
    settings: Twist,
    seed: int,
    train_file: Path | None = None,
) -> dict[str, float]:
    """Extend the checkpoint `base` and write it to `output`.

    Args:
        train_file: the training split; needed by `init: aligned` and `aligned+codec`.

    Returns:
        Statistics of the new rows, and `speech_mass`: the probability that the untrained model
        gives to all speech tokens together after a few text prompts.

    Raises:
        VoxtwistError: see `refuse_unsupported`, `extend_tokenizer` and `twist`.
    """
    tokenizer = extend_tokenizer(load_tokenizer(base), codec.n_codes, fmt)
    vocabulary = SpeechVocabulary.from_tokenizer(tokenizer)
    model = load_model(base)
    refuse_unsupported(model)
    vectors = load_code_vectors(codec) if "codec" in settings.init else None
    counts = None
    if "aligned" in settings.init and train_file:
        counts = count_cooccurrence(TokenIndex.open(train_file), tokenizer, seed)
    metrics = twist(model, vocabulary, settings, vectors, seed, counts)
    save_checkpoint(model.config, model.state_dict(), tokenizer, output)
    return metrics | {"speech_mass": speech_mass(model, tokenizer)}


@torch.inference_mode()
def speech_mass(model: Any, tokenizer: PreTrainedTokenizerFast) -> float:
    """Mean probability, in [0, 1], of a speech token as the first one after text prompts."""
    chat = ChatFormat.from_tokenizer(tokenizer)
    first, size = chat.vocabulary.code_offset, chat.vocabulary.size
    masses = [
        model(torch.tensor([chat.prompt_ids(question)])).logits[0, -1].softmax(-1)[first:size].sum()
        for question in _PROBE_QUESTIONS
    ]
    return float(torch.stack(masses).mean())


def twist(
    model: PreTrainedModel,
    vocabulary: SpeechVocabulary,
    settings: Twist,
    code_vectors: Tensor | None,
    seed: int,
    counts: sparse.csr_matrix | None = None,
) -> dict[str, float]:
    """Extend the model in place: input table and head, tied or not.

    Args:
        code_vectors: (n_codes, any width), the codec's own geometry; needed by `init: codec` and
            `aligned+codec`.
        counts: (n_codes, text_size), which text is said while a code sounds; needed by
            `init: aligned` and `aligned+codec`. See `alignment.count_cooccurrence`.

    Returns:
        Statistics of the new rows: their mean norm and that of the text rows, and the mean cosine
        between speech rows (near 1 means that all codes start alike).

    Raises:
        VoxtwistError: `init: codec` without code vectors, or with another number of them.
    """
    generator = torch.Generator().manual_seed(seed)
    embedding: Any
    head: Any
    multiple = settings.pad_to_multiple_of
    size = math.ceil(vocabulary.size / multiple) * multiple
    embedding, head = model.get_input_embeddings(), model.get_output_embeddings()
    tables = [embedding] if embedding.weight is head.weight else [embedding, head]
    old = [table.weight.data.clone() for table in tables]
    model.resize_token_embeddings(size, mean_resizing=False)
    embedding, head = model.get_input_embeddings(), model.get_output_embeddings()
    for table, before in zip((embedding, head), old, strict=False):
        text_rows = _row_for_each_id(before[: vocabulary.text_size], vocabulary.text_size, seed)
        new = new_rows(text_rows, size, vocabulary, settings, code_vectors, generator, counts)
        table.weight.data = torch.cat([text_rows, new.to(text_rows.dtype)])
    model.tie_weights()
    return _statistics(embedding.weight.data, vocabulary)


def _row_for_each_id(rows: Tensor, ids: int, seed: int) -> Tensor:
    """Text rows (ids, width): a tokenizer may have ids, an added [PAD], that the model has no row
    for. They get rows like those that there are."""
    missing = (ids - len(rows), rows.shape[1])
    if missing[0] <= 0:
        return rows
    # A generator of its own: the rows after the text are the same with and without such ids.
    noise = torch.randn(missing, generator=torch.Generator().manual_seed(seed))
    return torch.cat([rows, (rows.float().mean(0) + rows.float().std(0) * noise).to(rows.dtype)])


def new_rows(
    text_rows: Tensor,
    size: int,
    vocabulary: SpeechVocabulary,
    settings: Twist,
    code_vectors: Tensor | None,
    generator: torch.Generator,
    counts: sparse.csr_matrix | None = None,
) -> Tensor:
    """Rows `text_size` to `size` of a table, float32 (size - text_size, width), by `settings.init`.

    - `normal`: N(0, 0.02²).
    - `mean`: the mean text row.
    - `mean+std`: the mean text row plus `noise` times the per-dimension deviation, times noise.
    - `codec`: as `mean+std` with noise 1, but speech rows follow the codec's geometry: its code
      vectors times a fixed random matrix. Sounds that are alike start alike.
    - `aligned`: speech rows lie where the model keeps the words that are said while a code sounds
      (`alignment.aligned_vectors`). A pretrained model attends to and copies what lies near in its
      own space, so that text and speech are linked from the first step.
    - `aligned+codec`: the sum of both, over the root of two.

    In the last three, vectors are standardised over the codes and put at the text rows' mean and
    per-dimension deviation, plus `noise` of that deviation.
    """
    text = text_rows.float()
    mean, std = text.mean(0), text.std(0)
    shape = (size - len(text), text.shape[1])
    noise = torch.randn(shape, generator=generator)
    if settings.init == "normal":
        return 0.02 * noise
    if settings.init == "mean":
        return mean.expand(shape).clone()
    if settings.init == "mean+std":
        return mean + settings.noise * std * noise
    parts = []
    if "codec" in settings.init:
        parts.append(_project(code_vectors, vocabulary, shape[1], settings.init, generator))
    if "aligned" in settings.init:
        if counts is None:
            raise VoxtwistError(f"twist.init is {settings.init}: it needs the training split")
        parts.append(standardise(aligned_vectors(counts, text)))
    vectors = torch.stack(parts).sum(0) / math.sqrt(len(parts))
    rows = mean + std * noise
    first = vocabulary.code_offset - vocabulary.text_size
    speech = slice(first, first + vocabulary.n_codes)
    rows[speech] = mean + std * (vectors + settings.noise * noise[speech])
    return rows


def _project(
    code_vectors: Tensor | None,
    vocabulary: SpeechVocabulary,
    width: int,
    init: str,
    generator: torch.Generator,
) -> Tensor:
    """Code vectors (n_codes, any width) at the model's width, by a fixed random matrix."""
    if code_vectors is None or len(code_vectors) != vocabulary.n_codes:
        have = "no code vectors" if code_vectors is None else f"{len(code_vectors)} code vectors"
        raise VoxtwistError(
            f"twist.init is {init}, but the codec gives {have} for {vocabulary.n_codes} codes: "
            "point codec.path at the codec of the data, or choose another twist.init"
        )
    matrix = torch.randn(code_vectors.shape[1], width, generator=generator)
    return standardise(standardise(code_vectors.float()) @ matrix)


def standardise(vectors: Tensor) -> Tensor:
    """Mean 0 and deviation 1 in each dimension (constant dimensions stay 0)."""
    return (vectors - vectors.mean(0)) / vectors.std(0).clamp(min=1e-6)


def _statistics(table: Tensor, vocabulary: SpeechVocabulary) -> dict[str, float]:
    text = table[: vocabulary.text_size].float()
    speech = table[vocabulary.code_offset : vocabulary.size].float()
    unit = torch.nn.functional.normalize(speech, dim=1)
    n = len(unit)
    cosine = (unit.sum(0).square().sum() - n) / max(n * (n - 1), 1)
    return {
        "text_row_norm": text.norm(dim=1).mean().item(),
        "speech_row_norm": speech.norm(dim=1).mean().item(),
        "speech_row_cosine": cosine.item(),
    }
