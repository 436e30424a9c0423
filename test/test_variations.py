"""A turn with other lesson words means the same: its labels may stay."""

from random import Random

import pytest

from pika_emotion.corpus import Row
from pika_emotion.dialogue import make_turn
from pika_emotion.variations import Variations


def row(question, child, reply):
    return Row(make_turn(question, child, reply), ("thats_right",), "yes", asks="right")


@pytest.fixture(scope="module")
def variations():
    said = ("lantern", "turtle", "window", "bánh mì", "con mèo", "green")
    # What is in many rows is no lesson word.
    common = [row("What is this here?", "it is", "Yes, right!") for _ in range(300)]
    return Variations([*common, *(row("", words, "Yes, right!") for words in said)])


def test_a_word_that_texts_share_is_another_one_in_all_of_them(variations):
    given = row('Say "lantern"!', "lantern", "Lantern, yes! LANTERN it is.")
    changed = variations.reworded(given, Random(1))
    new = changed.turn.child
    assert new not in ("lantern", "")
    assert changed.turn.question == f'Say "{new}"!'
    assert changed.turn.reply == f"{new.title()}, yes! {new.upper()} it is."
    assert (changed.emotions, changed.celebrate, changed.asks) == (
        given.emotions, given.celebrate, given.asks,
    )  # fmt: skip


def test_the_same_draw_gives_the_same_words(variations):
    given = row("Turtle?", "turtle", "A turtle, right!")
    drawn = [variations.reworded(given, Random(seed)).turn.child for seed in (3, 3, 4, 5, 6)]
    assert drawn[0] == drawn[1]
    assert len(set(drawn)) > 1


@pytest.mark.parametrize(
    "given",
    [
        row("What is this here?", "it is", "Yes, right!"),  # nothing but common words
        row("Where is the turtle?", "here", "Yes, right!"),  # said once: nothing to keep together
        row("Press for the lantern!", "BUTTON_LEFT", "The lantern, right!"),  # an event
    ],
)
def test_what_has_no_lesson_word_stays_as_it_is(variations, given):
    assert variations.reworded(given, Random(1)) == given
