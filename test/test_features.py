import unicodedata

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pika_emotion import features
from pika_emotion.dialogue import Turn, make_turn
from pika_emotion.relations import DENSE, Asked, Said, relate


def same(one, other):
    return (
        np.array_equal(one.grams.buckets, other.grams.buckets)
        and np.array_equal(one.grams.blocks, other.grams.blocks)
        and np.array_equal(one.dense, other.dense)
    )


def dense(question, child, reply):
    return dict(zip(DENSE, features.extract(make_turn(question, child, reply)).dense, strict=True))


def buckets(block, turn):
    seen = features.extract(turn).grams
    return set(seen.buckets[seen.blocks == features.BLOCKS.index(block)].tolist())


@pytest.mark.parametrize(
    ("text", "folded"),
    [
        ("Đúng RỒI, giỏi Quá!", "dung roi, gioi qua!"),
        (unicodedata.normalize("NFD", "Tuyệt vời"), "tuyet voi"),
        ("ＯＫ  café", "ok cafe"),
        ("", ""),
    ],
)
def test_fold_drops_capitals_and_diacritics(text, folded):
    assert features.fold(text) == folded


@pytest.mark.parametrize(
    "change",
    [
        str.upper,
        lambda text: text.replace(" ", "   "),
        lambda text: unicodedata.normalize("NFD", text),
        lambda text: text.translate(str.maketrans("ĐđàớắọứiÀ", "DdaoaouiA")),
        lambda text: text + " 🎉",
    ],
)
def test_how_a_text_is_written_makes_no_difference(change):
    texts = ("Con gà trống kêu sao?", "ò ó o", "Đúng rồi, gà gáy ắt là vậy! Giỏi ghê")
    plain = features.extract(make_turn(*texts))
    assert same(features.extract(make_turn(*map(change, texts))), plain)
    assert not same(features.extract(make_turn(texts[0], texts[1], "Sai rồi")), plain)


def test_every_block_reads_its_own_piece():
    base = Turn("One two? Red or blue?", "red", "Yes! It is. Well done")
    other = Turn("One two? Red or blue?", "red", "Yes! It is. Well gone")
    changed = {block for block in features.BLOCKS if buckets(block, base) != buckets(block, other)}
    assert changed == {
        *("reply.words", "reply.pairs", "reply.chars", "closing.words"),
        *("marked.words", "marked.pairs"),
    }


def test_signs_stand_for_what_the_others_said():
    fork = Turn("What is this?", "a fork", "Fork. Good! This is it")
    lamp = Turn("What is this?", "a lamp", "Lamp. Good! This is it")
    other = Turn("What is this?", "a lamp", "Fork. Good! This is it")
    for block in ("marked.words", "marked.pairs", "echoed.words"):
        same = buckets(block, fork) == buckets(block, lamp)
        assert same == (block != "echoed.words"), block
    assert buckets("marked.words", fork) != buckets("marked.words", other)
    repeated = Turn('Say "my blue boat"!', "my blue boat", "Yes")
    again = Turn('Say "two red cars"!', "two red cars", "Yes")
    assert buckets("echoed.words", repeated) == buckets("echoed.words", again)


def test_an_event_is_no_word_that_a_reply_could_repeat():
    spoken = Turn("Which one?", "BUTTON_LEFT", "button left it is")
    pressed = Turn("Which one?", "BUTTON_LEFT", "button left it is", event=True)
    plain = Turn("Which one?", "", "button left it is")
    assert buckets("marked.words", pressed) == buckets("marked.words", plain)
    assert buckets("marked.words", spoken) != buckets("marked.words", plain)


def test_the_same_words_differ_by_piece():
    turn = Turn("yes", "yes", "yes")
    places = [buckets(block, turn) for block in features.BLOCKS if block.endswith(".words")]
    assert len(set.union(*places)) == len(places)


@given(st.text(), st.text(), st.text(min_size=1))
def test_any_text_has_finite_features(question, child, reply):
    seen = features.extract(make_turn(question, child, reply))
    assert seen.dense.shape == (len(DENSE),)
    assert np.isfinite(seen.dense).all()
    assert np.abs(seen.dense).max() <= 3
    grams = seen.grams
    assert len(grams.buckets) == len(grams.blocks)
    if len(grams.buckets):
        assert 0 <= grams.buckets.min() <= grams.buckets.max() < 1 << features.BUCKET_BITS


def test_the_child_repeats_the_quoted_phrase():
    right = dense('Say it fast: "pass the salt"', "Pass, the salt.", "Great!")
    near = dense('Say it fast: "pass the salt"', "pass the sold", "Great!")
    wrong = dense('Say it fast: "pass the salt"', "nothing at all", "Great!")
    assert (right["quote_equal"], right["quote_match"]) == (1, 1)
    assert (near["quote_equal"], near["quote_near"], near["quote_miss"]) == (0, 1, 0)
    assert (wrong["quote_near"], wrong["quote_miss"]) == (0, 1)


def test_the_reply_takes_up_what_the_child_said():
    taken = dense("What colour is grass?", "green", "Right, grass is green! Next one.")
    left = dense("What colour is grass?", "green", "Right! Next one.")
    assert (taken["new_in_reply"], taken["whole_in_opening"]) == (1, 1)
    assert (left["new_in_reply"], left["whole_in_opening"]) == (0, 0)


def test_the_reply_asks_for_the_same_phrase_or_another():
    again = dense('Say "red car"', "led car", 'Almost! Say "red car"')
    further = dense('Say "red car"', "red car", 'Yes! Now say "blue car"')
    assert (again["same_quote_again"], again["other_quote"]) == (1, 0)
    assert (further["same_quote_again"], further["other_quote"]) == (0, 1)


@pytest.mark.parametrize(
    ("child", "kind"),
    [("BUTTON_LEFT", "button"), ("[NEXT]", "bracket"), ("SILENCE", "silent"), ("--", "silent")],
)
def test_events_are_told_apart_and_are_no_words(child, kind):
    seen = dense("Left or right? Silence please, next button left", child, "Good!")
    assert [name for name in ("button", "bracket", "silent") if seen[name]] == [kind]
    assert seen["event"] == 1
    assert seen["child_in_question"] == 0


def test_a_turn_of_nothing_has_features():
    values = relate(Asked.of("", "", event=True), Said.of(""))
    assert values[DENSE.index("no_question")] == 1
    assert len(features.extract(Turn("", "", "", event=True)).grams.buckets) == 0
