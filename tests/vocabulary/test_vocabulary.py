"""Ids, labels and parsing, against what the tokenizers themselves say."""

import copy
import json
import pickle
import unicodedata

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer

from voxtwist.errors import VoxtwistError
from voxtwist.vocabulary import (
    FORMATS,
    IGNORED_LABEL,
    MODALITY_TOKENS,
    ChatFormat,
    Conversation,
    SpeechVocabulary,
    extend_tokenizer,
    load_extended_tokenizer,
    load_fast_tokenizer,
    parse_generated,
    speech_token,
)
from voxtwist.vocabulary.text_encoder import cuts_at_spaces

N_CODES = 64
CODES = np.array([5, 0, 63, 63])
SPOKEN = "".join(map(speech_token, CODES))

# Runs of what BPE merges over borders, and what template code and normalizers touch.
text = st.lists(
    st.sampled_from(["\n", " ", "\t", "\r\n", "a", "Hi", "12", "'s", "e\u0301", "é", "…", "👩‍🔬"])
    | st.sampled_from(
        ["你好", "שלום", "مرحبا", "\u200b", "\u00a0", "\x00", "ﬁ", "<", "|>", "think>"]
    )
    | st.text(max_size=8),
    max_size=12,
).map("".join)


@pytest.fixture(scope="module", params=["qwen3", "smollm2", "smollm2 with system message"])
def base(request):
    name, *system = request.param.split(" with ")
    tokenizer = request.getfixturevalue(f"{name}_tokenizer")
    if system:
        tokenizer = copy.deepcopy(tokenizer)
        tokenizer.chat_template = (
            "{{ '<|im_start|>system\nYou are SmolLM.<|im_end|>\n' }}" + tokenizer.chat_template
        )
    return tokenizer


@pytest.fixture(scope="module", params=FORMATS)
def extended(base, request):
    return extend_tokenizer(base, N_CODES, request.param)


@pytest.fixture(scope="module")
def chat(extended):
    return ChatFormat.from_tokenizer(extended)


def expected(tokenizer, question, answer):
    """(ids, number of masked ids) from the tokenizer's own template and its own parsing."""
    user, assistant = ({"role": "user", "content": question}, {"role": "assistant"})
    whole = tokenizer.apply_chat_template(
        [user, assistant | {"content": answer}], tokenize=False, enable_thinking=False
    )
    prompt = tokenizer.apply_chat_template(
        [user], tokenize=False, add_generation_prompt=True, enable_thinking=False
    )
    head = whole.rpartition("<|im_end|>")[0]
    if "<text>" in tokenizer.get_added_vocab():
        answer_text = head.removeprefix(prompt)
        whole = f"{prompt}<text>{answer_text}</text><speech>{SPOKEN}</speech><|im_end|>"
        masked = prompt
    else:
        whole = f"{head}{SPOKEN}<|im_end|>"
        masked = prompt[: prompt.rindex("assistant\n") + len("assistant\n")]
    ids, prompt_ids = tokenizer([whole, masked], add_special_tokens=False)["input_ids"]
    return ids, len(prompt_ids)


@settings(
    deadline=None, max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(text, text)
@example("", "yes")
@example("\nhi\n", "\n\n hello \n")
@example("  ", "x" * 5000)
def test_ids_and_labels_are_those_of_the_chat_template(extended, chat, question, answer):
    assume(not any(token in question + answer for token in extended.get_added_vocab()))
    ids, masked = expected(extended, question, answer)
    [sample] = chat.encode_batch([question], [answer], [CODES])
    assert sample.input_ids.tolist() == ids
    assert sample.labels.tolist() == [IGNORED_LABEL] * masked + ids[masked:]
    assert sample.input_ids.dtype == sample.labels.dtype == np.int64


def test_a_batch_gives_what_its_rows_give(chat):
    rows = [("q", "a", CODES), ("", "\n\nlong " * 300, CODES[:1]), ("two\n", " b ", CODES[::-1])]
    batch = pickle.loads(pickle.dumps(chat)).encode_batch(*zip(*rows, strict=True))
    for row, sample in zip(rows, batch, strict=True):
        [alone] = chat.encode_batch(*([field] for field in row))
        np.testing.assert_array_equal(sample, alone)


words = st.text(st.characters(codec="ascii", exclude_categories=["C", "Z"]), min_size=1, max_size=9)


@settings(deadline=None, max_examples=200)
@given(st.lists(words | st.sampled_from(["it's", "'s", "12", "...", "a,b"]), min_size=1))
def test_words_looked_up_have_the_ids_that_they_have_in_text(chat, some):
    for text in (" ".join(some), "user\n" + " ".join(some), " " + " ".join(some) + "\n"):
        for _ in range(2):  # not yet known, and known
            assert chat.text.encode_batch([text]) == [chat.text.encode(text)]


def test_words_are_looked_up_only_where_that_is_known_to_be_right(chat):
    state = json.loads(chat.text.tokenizer.to_str())
    pieces = [{"type": "Digits", "individual_digits": True}, {"type": "Whitespace"}]
    assert cuts_at_spaces(state)
    for change in (
        {"normalizer": {"type": "Lowercase"}},
        {"model": state["model"] | {"type": "Unigram"}},
        {"model": state["model"] | {"dropout": 0.1}},
        {"pre_tokenizer": None},
        {"pre_tokenizer": {"type": "Metaspace"}},
        {"pre_tokenizer": {"type": "Sequence", "pretokenizers": pieces}},
    ):
        assert not cuts_at_spaces(state | change), change


@pytest.mark.parametrize("options", [{}, {"enable_thinking": False}, {"enable_thinking": True}])
def test_prompt_is_the_templates_generation_prompt(extended, chat, options):
    """Whatever is asked of the template: a server passes nothing, and gets what was trained."""
    for question in ("What time is it?", "\n\nhi \n", ""):
        theirs = extended.apply_chat_template(
            [{"role": "user", "content": question}],
            add_generation_prompt=True, return_dict=False, **options,
        )  # fmt: skip
        assert chat.prompt_ids(question) == theirs
        [sample] = chat.encode_batch([question], ["a"], [CODES])
        assert sample.input_ids[: len(theirs)].tolist() == theirs


# As Qwen3's later templates: the last answer has an empty thinking block, its prompt has not.
LATER_QWEN3 = (
    "{%- for m in messages %}{%- if m.role == 'user' %}"
    "{{- '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' }}{%- elif loop.last %}"
    "{{- '<|im_start|>assistant\\n<think>\\n\\n</think>\\n\\n' + m.content.lstrip('\\n')"
    " + '<|im_end|>\\n' }}{%- else %}"
    "{{- '<|im_start|>assistant\\n' + m.content + '<|im_end|>\\n' }}"
    "{%- endif %}{%- endfor %}{%- if add_generation_prompt %}{{- 'PROMPT' }}{%- endif %}\n"
)


@pytest.mark.parametrize("fmt", FORMATS)
@pytest.mark.parametrize("asks", ["", "<think>\\n", "{{ }} \\'\"\\\\"])
def test_a_template_that_asks_otherwise_than_it_renders_is_saved_as_trained(
    qwen3_tokenizer, tmp_path, fmt, asks
):
    base = copy.deepcopy(qwen3_tokenizer)
    base.chat_template = LATER_QWEN3.replace("PROMPT", f"<|im_start|>assistant\\n{asks}")
    extend_tokenizer(base, N_CODES, fmt).save_pretrained(tmp_path)
    saved = AutoTokenizer.from_pretrained(tmp_path)
    history = [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello"},
        {"role": "user", "content": "q"},
    ]
    rendered = saved.apply_chat_template(history, tokenize=False, add_generation_prompt=True)
    assert rendered == (
        "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nHello<|im_end|>\n"
        "<|im_start|>user\nq<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"
    )
    chat = ChatFormat.from_tokenizer(saved)
    asked = Conversation((("Hi", "Hello"),), "q")
    assert chat.prompt_ids(asked) == saved.encode(rendered, add_special_tokens=False)
    [sample] = chat.encode_batch([asked], ["a"], [CODES])
    after_text = {"v1": "a", "v1.1": "<text>a</text><speech>"}[fmt]
    assert saved.decode(sample.input_ids.tolist()) == f"{rendered}{after_text}{SPOKEN}" + (
        "</speech><|im_end|>" if fmt == "v1.1" else "<|im_end|>"
    )
    exchange = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]
    assert saved.apply_chat_template(exchange, tokenize=False) == base.apply_chat_template(
        exchange, tokenize=False
    )


def test_a_template_that_asks_as_it_renders_stays_as_it_is(smollm2_tokenizer):
    extended = extend_tokenizer(smollm2_tokenizer, N_CODES, "v1.1")
    assert extended.chat_template == smollm2_tokenizer.chat_template


def test_a_template_with_the_date_of_today_is_refused(smollm2_tokenizer):
    tokenizer = copy.deepcopy(smollm2_tokenizer)
    tokenizer.chat_template = (
        "{{ '<|im_start|>system\nToday: ' + strftime_now('%d %B %Y') + '<|im_end|>\n' }}"
        + tokenizer.chat_template
    )
    with pytest.raises(VoxtwistError, match="writes today's date"):
        ChatFormat.from_tokenizer(extend_tokenizer(tokenizer, N_CODES, "v1.1"))


def test_a_template_that_refuses_to_render_is_named(smollm2_tokenizer):
    tokenizer = copy.deepcopy(smollm2_tokenizer)
    tokenizer.chat_template = "{{ raise_exception('no assistant, please') }}"
    with pytest.raises(VoxtwistError, match="cannot be rendered: no assistant, please"):
        extend_tokenizer(tokenizer, N_CODES, "v1.1")


def test_literal_control_tokens_stay_text(extended, chat):
    control = extended.get_added_vocab()
    for token in [*list(control)[:30], *MODALITY_TOKENS, speech_token(3), "</think>"]:
        [plain] = chat.encode_batch(["a b"], ["a b"], [CODES])
        question, answer = f"a {token} b{token}", f"{token}a {token} b"
        [sample] = chat.encode_batch([question], [answer], [CODES])

        def control_ids(ids):
            return [i for i in ids.tolist() if i in control.values()]

        assert control_ids(sample.input_ids) == control_ids(plain.input_ids), token
        rendered = extended.decode(sample.input_ids.tolist())
        assert f"user\n{question}<|im_end|>" in rendered
        assert answer in rendered.rpartition("assistant\n")[2]


def test_qwen3_ids_are_the_documented_ones(qwen3_tokenizer):
    marked = SpeechVocabulary.from_tokenizer(extend_tokenizer(qwen3_tokenizer, 4096, "v1.1"))
    assert marked.marks == (151_669, 151_670, 151_671, 151_672)
    assert (marked.text_size, marked.code_offset, marked.size) == (151_669, 151_673, 155_769)
    plain = SpeechVocabulary.from_tokenizer(extend_tokenizer(qwen3_tokenizer, 4096, "v1"))
    assert (plain.text_size, plain.code_offset, plain.size) == (151_669, 151_669, 155_765)
    assert plain.marks is None
    assert plain.im_end == marked.im_end == 151_645


def test_saved_tokenizer_keeps_the_ids_and_drops_only_marks(smollm2_tokenizer, tmp_path):
    extended = extend_tokenizer(smollm2_tokenizer, N_CODES, "v1.1")
    extended.save_pretrained(tmp_path)
    for loaded in (AutoTokenizer.from_pretrained(tmp_path), load_fast_tokenizer(tmp_path)):
        vocabulary = SpeechVocabulary.from_tokenizer(loaded)
        assert vocabulary == SpeechVocabulary.from_tokenizer(extended)
        ids = [vocabulary.text_start, *loaded.encode("hi"), vocabulary.text_end]
        ids += vocabulary.codes_to_ids([7, 8]).tolist()
        assert loaded.decode(ids, skip_special_tokens=True) == "hi<|s_7|><|s_8|>"
    assert len(load_extended_tokenizer(tmp_path, N_CODES, "v1.1")) == len(extended)
    assert len(load_extended_tokenizer(tmp_path)) == len(extended)
    with pytest.raises(VoxtwistError, match=r"format v1\.1 and 64 codes; asked for are v1 and 64"):
        load_extended_tokenizer(tmp_path, N_CODES, "v1")


@settings(
    deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(text.filter(str.strip), st.lists(st.integers(0, N_CODES - 1), min_size=1))
def test_parsing_undoes_encoding(extended, chat, answer, codes):
    if chat.answer_trim == "leading newlines":  # Qwen3, which also normalises
        answer = unicodedata.normalize("NFC", answer.lstrip("\n"))
    # SmolLM2 has no token for some bytes, and drops them.
    assume(extended.decode(extended.encode(answer)) == answer)
    [sample] = chat.encode_batch(["q"], [answer], [np.array(codes)])
    prompt = chat.prompt_ids("q")
    merged = sample.input_ids[: len(prompt)].tolist() != prompt
    assert not (merged and chat.format == "v1.1")
    assume(not merged)  # in v1 the answer's first newline may merge with the prompt's last
    generated = np.append(sample.input_ids[len(prompt) :], [chat.vocabulary.im_end, 0, 0])
    spoken = parse_generated(generated, chat.vocabulary, extended)
    assert (spoken.well_formed, spoken.problem) == (True, None)
    assert spoken.codes.tolist() == codes
    assert spoken.text == answer


T, TE, S, SE = MODALITY_TOKENS
A, B, END = speech_token(1), speech_token(2), "<|im_end|>"


@pytest.mark.parametrize(
    ("fmt", "generated", "problem"),
    [
        ("v1.1", f"{T}hi{TE}{S}{A}{B}{SE}{END}", None),
        ("v1.1", f"{T}hi{TE}{S}{A}{B}{SE}", "ended by length"),
        ("v1.1", f"{T}hi{TE}{S}{A}{B}", "ended by length"),
        ("v1.1", f"{T}hi", "ended by length"),
        ("v1.1", "", "ended by length"),
        ("v1.1", f"{T}hi{TE}{S}{A}{B}{END}", "no </speech>"),
        ("v1.1", f"hi{TE}{S}{A}{SE}{END}", "no <text>"),
        ("v1.1", f"{T}hi{TE}{T}{S}{A}{SE}{END}", "<text> more than once"),
        ("v1.1", f"{S}{A}{SE}{T}hi{TE}{END}", "modality tokens out of order"),
        ("v1.1", f"{T}hi{A}{TE}{S}{A}{SE}{END}", "speech token inside text"),
        ("v1.1", f"{T}hi<|im_start|>{TE}{S}{A}{SE}{END}", "control token inside text"),
        ("v1.1", f"{T}hi{TE}{S}{A}x{SE}{END}", "other token inside speech"),
        ("v1.1", f"{T}hi{TE}x{S}{A}{SE}{END}", "tokens outside text and speech"),
        ("v1.1", f"{T}{TE}{S}{A}{SE}{END}", "no text"),
        ("v1.1", f"{T}hi{TE}{S}{SE}{END}", "no speech"),
        ("v1", f"hi{A}{B}{END}", None),
        ("v1", f"hi{A}{B}", "ended by length"),
        ("v1", f"hi{A}x{B}{END}", "other token inside speech"),
        ("v1", f"hi{END}", "no speech"),
        ("v1", f"{A}{END}", "no text"),
    ],
)
def test_malformed_answers_are_named(smollm2_tokenizer, fmt, generated, problem):
    tokenizer = extend_tokenizer(smollm2_tokenizer, 4, fmt)
    vocabulary = SpeechVocabulary.from_tokenizer(tokenizer)
    spoken = parse_generated(tokenizer.encode(generated), vocabulary, tokenizer)
    assert (spoken.problem, spoken.well_formed) == (problem, problem is None)


def test_ids_in_the_padding_rows_are_not_speech(smollm2_tokenizer):
    tokenizer = extend_tokenizer(smollm2_tokenizer, 4, "v1.1")
    v = SpeechVocabulary.from_tokenizer(tokenizer)
    ids = [v.text_start, *tokenizer.encode("hi"), v.text_end, v.speech_start, v.size, v.speech_end]
    spoken = parse_generated([*ids, v.im_end], v, tokenizer)
    assert spoken.problem == "other token inside speech"
    assert (spoken.text, spoken.codes.tolist()) == ("hi", [])


@pytest.mark.parametrize("codes", [[64], [-1], [0, 63, 64]])
def test_codes_outside_the_vocabulary_are_refused(smollm2_tokenizer, codes):
    tokenizer = extend_tokenizer(smollm2_tokenizer, N_CODES, "v1.1")
    with pytest.raises(VoxtwistError, match="this vocabulary has 0 to 63"):
        SpeechVocabulary.from_tokenizer(tokenizer).codes_to_ids(codes)


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{% for m in messages %}[{{ m.role }}] {{ m.content }}\n{% endfor %}", "is not ChatML"),
        (
            "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content | upper"
            " + '<|im_end|>\n' }}{% endfor %}",
            "is not supported",
        ),
        (
            "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content.rstrip()"
            " + '<|im_end|>\n' }}{% endfor %}",
            "in a way that Voxtwist does not know",
        ),
    ],
)
def test_other_templates_are_refused(smollm2_tokenizer, template, message):
    tokenizer = extend_tokenizer(smollm2_tokenizer, N_CODES, "v1.1")
    tokenizer.chat_template = template
    with pytest.raises(VoxtwistError, match=message):
        ChatFormat.from_tokenizer(tokenizer)


def test_trimming_templates_are_followed(smollm2_tokenizer):
    tokenizer = extend_tokenizer(smollm2_tokenizer, N_CODES, "v1.1")
    tokenizer.chat_template = (
        "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content.strip()"
        " + '<|im_end|>\n' }}{% endfor %}"
    )
    chat = ChatFormat.from_tokenizer(tokenizer)
    padded, bare = chat.encode_batch(["\n q ", "q"], [" \na\n", "a"], [CODES, CODES])
    np.testing.assert_array_equal(padded, bare)


def test_only_a_base_tokenizer_is_extended(smollm2_tokenizer):
    extended = extend_tokenizer(smollm2_tokenizer, N_CODES, "v1.1")
    with pytest.raises(VoxtwistError, match="already has"):
        extend_tokenizer(extended, N_CODES, "v1.1")
    with pytest.raises(VoxtwistError, match="no speech tokens"):
        SpeechVocabulary.from_tokenizer(smollm2_tokenizer)
    with pytest.raises(VoxtwistError, match=r"format is 'v2'; it must be one of v1, v1\.1"):
        extend_tokenizer(smollm2_tokenizer, N_CODES, "v2")
