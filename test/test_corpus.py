import pytest

from pika_emotion.corpus import data_hash, expand, read_file, read_rows
from pika_emotion.errors import CorpusError

HEADER = "question\tchild\treply\temotions\tcelebrate"
ROW = "What is it?\ta dog\tYes, a dog!\tthats_right,happy\tyes"


@pytest.fixture
def write(tmp_path):
    def write(*lines, name="turns.tsv"):
        file = tmp_path / name
        file.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return file

    return write


def test_a_row_has_its_turn_and_labels(write, labels):
    (row,) = read_file(write(HEADER, ROW), labels)
    assert row.turn.question == "What is it?"
    assert row.turn.child == "a dog"
    assert row.turn.reply == "Yes, a dog!"
    assert not row.turn.event
    assert row.emotions == ("thats_right", "happy")
    assert row.celebrate == "yes"


def test_other_columns_are_ignored_in_any_order(write, labels):
    file = write(
        "note\tcelebrate\temotions\treply\tchild\tquestion\tscenario\tcontrast",
        "n\teither\tidle\tGood job!\t[NEXT]\t\tlesson\tnothing:a1",
    )
    (row,) = read_file(file, labels)
    assert (row.turn.reply, row.turn.event, row.celebrate) == ("Good job!", True, "either")
    assert (row.scenario, row.contrast) == ("lesson", "nothing:a1")


def test_what_is_asked_may_be_said(write, labels):
    asked, unsaid = read_file(write(f"{HEADER}\tasks", f"{ROW}\tright", f"{ROW}\t"), labels)
    assert (asked.asks, unsaid.asks) == ("right", "")


def test_quotes_mean_nothing(write, labels):
    (row,) = read_file(write(HEADER, '"\ta "b\tSay "c" now\tidle\tno'), labels)
    assert (row.turn.question, row.turn.child, row.turn.reply) == ('"', 'a "b', 'Say "c" now')


def test_texts_are_cleaned_as_in_a_live_conversation(write, labels):
    (row,) = read_file(write(HEADER, "Ha\u0300\t a\u0001 b \tOK\u2028then\tidle\tno"), labels)
    assert (row.turn.question, row.turn.child, row.turn.reply) == ("Hà", "a b", "OK then")


def test_a_windows_file_reads_the_same(tmp_path, write, labels):
    windows = tmp_path / "windows.tsv"
    windows.write_bytes(b"\xef\xbb\xbf" + f"{HEADER}\r\n{ROW}\r\n".encode())
    assert read_file(windows, labels) == read_file(write(HEADER, ROW), labels)


def test_several_files_and_folders_read_in_order(tmp_path, write, labels):
    write(HEADER, ROW.replace("a dog!", "two!"), name="b.tsv")
    write(HEADER, ROW.replace("a dog!", "one!"), name="a.tsv")
    write("not read", name="readme.txt")
    replies = [row.turn.reply for row in read_rows([tmp_path, tmp_path / "a.tsv"], labels)]
    assert replies == ["Yes, one!", "Yes, two!", "Yes, one!"]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (
            ["question\tchild\treply\temotions", "a\tb\tc\tidle"],
            r"turns.tsv:1: no column 'celebrate' in the header; it needs question, child, reply",
        ),
        ([HEADER + "\treply", ROW + "\tx"], r"turns.tsv:1: column 'reply' is there twice; drop"),
        ([HEADER], r"turns.tsv:1: no row below the header; add one"),
        ([HEADER + "\tasks", ROW + "\tmaybe"], r"turns.tsv:2: asks 'maybe' must be right, free"),
        ([HEADER, ROW, "a\tb\tc"], r"turns.tsv:3: 3 cells where the header has 5; write a tab"),
        ([HEADER, ROW + "\tmore"], r"turns.tsv:2: 6 cells where the header has 5; write a tab"),
        ([HEADER, "", ROW], r"turns.tsv:2: 1 cells where the header has 5"),
        (
            [HEADER, "a\tb\tc\thappy,glad\tno"],
            r"turns.tsv:2: unknown label 'glad'; choose from happy, excited",
        ),
        ([HEADER, "a\tb\tc\t\tno"], r"turns.tsv:2: unknown label ''; choose from"),
        ([HEADER, "a\tb\tc\tsad,sad\tno"], r"turns.tsv:2: label 'sad' is there twice; drop"),
        (
            [HEADER, "a\tb\tc\tsad\tmaybe"],
            r"turns.tsv:2: celebrate 'maybe' must be yes, no or either",
        ),
        ([HEADER, "a\tb\t \tsad\tno"], r"turns.tsv:2: no reply; a tag is about the reply"),
    ],
)
def test_a_fault_is_named_with_its_line(write, labels, lines, message):
    with pytest.raises(CorpusError, match=message):
        read_file(write(*lines), labels)


def test_an_empty_file_has_no_header(tmp_path, labels):
    (tmp_path / "empty.tsv").write_bytes(b"")
    with pytest.raises(CorpusError, match=r"empty.tsv:1: no column 'question' in the header"):
        read_file(tmp_path / "empty.tsv", labels)


def test_a_missing_file_is_named(tmp_path, labels):
    with pytest.raises(CorpusError, match=r"none.tsv' cannot be read .*; name a readable UTF-8"):
        read_file(tmp_path / "none.tsv", labels)
    with pytest.raises(CorpusError, match=r"none.tsv' cannot be read .*; name a readable UTF-8"):
        data_hash([tmp_path / "none.tsv"])


def test_a_file_that_is_not_utf8_is_named(tmp_path, labels):
    (tmp_path / "latin.tsv").write_bytes(b"question\xe9")
    with pytest.raises(CorpusError, match=r"latin.tsv' cannot be read .*; name a readable UTF-8"):
        read_file(tmp_path / "latin.tsv", labels)


def test_a_folder_without_data_is_named(tmp_path):
    with pytest.raises(CorpusError, match=r"holds no .tsv file; name one that does"):
        expand([tmp_path])


def test_the_hash_follows_the_content_and_its_order_alone(write):
    a, b = write("one", name="a.tsv"), write("two", name="b.tsv")
    copy = write("one", name="copy.tsv")
    assert data_hash([a, b]) == data_hash([copy, b])
    assert len({data_hash(files) for files in ([a], [b], [a, b], [b, a], [a, a])}) == 5
