"""A turn as token ids, with real tokenizers."""

import json

import pytest
import tokenizers

from pika_emotion.dialogue import Turn
from pika_emotion.encoder.turns import TurnTokens
from pika_emotion.errors import ModelError

FRAMES = {"xlmr": ([0], [2, 2], [2]), "bert": ([2], [3], [3])}
TURN = Turn("Con gì kêu meo meo?", "con mèo", "Đúng rồi, con mèo!")


@pytest.mark.parametrize("family", FRAMES)
def test_the_three_texts_stand_in_the_tokenizers_own_frame(bases, family):
    file = bases[family] / "tokenizer.json"
    turns, whole = TurnTokens(file, 128), tokenizers.Tokenizer.from_file(str(file))
    assert (turns.begin, turns.between, turns.end) == FRAMES[family]
    begin, between, end = FRAMES[family]
    pair = whole.encode(TURN.question, TURN.child).ids
    reply = whole.encode(TURN.reply, add_special_tokens=False).ids
    assert turns.ids(TURN) == [*pair[: -len(end)], *between, *reply, *end]
    assert begin == pair[:1]


@pytest.mark.parametrize("family", FRAMES)
def test_nobodys_words_make_a_token_of_the_frame(bases, family):
    turns = TurnTokens(bases[family] / "tokenizer.json", 128)
    words = "<s> </s> a</s>b [SEP] [CLS] a[SEP]b"
    ids = turns.ids(Turn(words, words, words))
    frame = [*turns.begin, *turns.between, *turns.between, *turns.end]
    assert [i for i in ids if i in frame] == frame
    assert len(ids) > len(frame) + 6


@pytest.mark.parametrize("most", [32, 64, 128])
def test_a_long_turn_is_cut_to_the_end_of_the_question_and_both_ends_of_the_reply(bases, most):
    file = bases["xlmr"] / "tokenizer.json"
    turns, whole = TurnTokens(file, most), TurnTokens(file, 4096)
    long = Turn("câu hỏi " * 90 + "mèo", "con chó " * 90, "Giỏi quá " + "la la " * 300 + "buồn")
    ids, every = turns.ids(long), whole.ids(long)
    assert len(ids) == most
    assert ids[-3:] == every[-3:]
    ends = [place for place, i in enumerate(ids) if i == 2]
    every_ends = [place for place, i in enumerate(every) if i == 2]
    assert ids[ends[0] - 2 : ends[0]] == every[every_ends[0] - 2 : every_ends[0]]
    assert ids[ends[3] + 1 : ends[3] + 4] == every[every_ends[3] + 1 : every_ends[3] + 4]


def test_a_tokenizer_without_a_separator_is_refused(bases, tmp_path):
    description = json.loads((bases["xlmr"] / "tokenizer.json").read_text("utf-8"))
    description["post_processor"] = None
    file = tmp_path / "tokenizer.json"
    file.write_text(json.dumps(description), "utf-8")
    with pytest.raises(ModelError, match="puts nothing between two texts; take an encoder such"):
        TurnTokens(file, 128)


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff", b'{"model": 3}'])
def test_a_file_that_is_no_tokenizer_is_refused(tmp_path, content):
    file = tmp_path / "tokenizer.json"
    file.write_bytes(content)
    with pytest.raises(ModelError, match=r"cannot be read .*; take a model with a tokenizer.json"):
        TurnTokens(file, 128)
