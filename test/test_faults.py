"""The fault campaign: what its checker finds in CSV files, and one real fault."""

import csv
import dataclasses
import json
import os
import re
import subprocess
import sys

import pytest
from conftest import ROOT

sys.path.insert(0, str(ROOT / "scripts/faults"))
import check
import play
import rows
from catalogue import FAULTS, SERVER_FAULTS, STATES
from rows import CHECK, FAULT, SAID, STALL, Event, Reply

FOLDER = ROOT / "scripts/faults"
PRIMARY_BACK = "worker: raises"
RESTARTED = "worker: killed"
PAUSED = "process: paused"
STORM = "process: storm"
SLOW_NETWORK = "network: cut"
# The fault of every file below: from the 40th reply to the 60th, at 20 replies/s.
BEGIN_S, END_S = 2.0, 3.0
FAULTY = Event(FAULT, BEGIN_S, END_S, 1, "")


def reply(number, ms=5.0, source="PRIMARY", **changes):
    """Return a reply as it should be, or not."""
    sent_s = number / 20
    row = Reply(number, f"r{number}", sent_s, sent_s + ms / 1000, number, source, 1.0, f"r{number}")
    return dataclasses.replace(row, **changes)


def talk(**changed):
    """Return 100 replies: by the reflex during the fault; ``r40=…`` replaces one."""
    found = []
    for number in range(1, 101):
        during = BEGIN_S <= number / 20 < END_S
        row = reply(number, source="ERROR" if during else "PRIMARY")
        found.append(changed.get(f"r{number}", row))
    return found


def lost(number):
    return reply(number, received_s=None, seq=None, source="", latency_ms=None, reply_id="")


def verdict(tmp_path, fault, replies, events=(FAULTY,)):
    """Write the files, and judge them as the checker's command does."""
    rows.write(tmp_path, fault, replies, events)
    done = subprocess.run(
        [sys.executable, str(FOLDER / "check.py"), str(tmp_path)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    (found,) = check.verdicts(tmp_path)
    totals = json.loads(done.stdout)
    assert totals["faults"] == 1
    played = {name for name, each in FAULTS.items() if not each.option}
    assert set(totals["missing"]) == played - {fault}
    assert totals["broken"] == ({fault: found.broken} if found.broken else {})
    assert done.returncode == (1 if found.broken else 0)
    return found


# The verdict.


def test_a_promise_that_was_kept(tmp_path):
    found = verdict(tmp_path, PRIMARY_BACK, talk())
    assert found.broken == []
    assert (found.replies, found.primary, found.reflex) == (100, 80, 20)
    assert (found.late, found.lost, found.duplicated, found.reordered) == (0, 0, 0, 0)
    assert found.latencies_ms == found.during_ms == (5.0, 5.0, 5.0)
    assert found.recovered_s == pytest.approx(0.005)
    assert found.primary_back_s == pytest.approx(0.005)


@pytest.mark.parametrize(
    ("changed", "broken"),
    [
        ({"r20": reply(20, ms=50.5)}, "1 late"),
        ({"r50": reply(50, ms=51.0, source="ERROR")}, "1 late"),
        ({"r20": lost(20)}, "1 lost"),
        ({"r100": lost(100)}, "1 lost"),
        ({"r20": reply(20, seq=21), "r21": reply(21, seq=20)}, "1 reordered"),
        ({"r20": reply(20, seq=19)}, "1 reordered"),
        ({"r20": reply(20, ms=49.0, received_s=1.0499), "r21": reply(21, ms=-1.0)}, "1 reordered"),
    ],
)
def test_a_promise_that_was_broken(tmp_path, changed, broken):
    assert verdict(tmp_path, PRIMARY_BACK, talk(**changed)).broken == [broken]


@pytest.mark.parametrize("reply_id", ["r20", "nobody's"])
def test_a_tag_that_nobody_waited_for(tmp_path, reply_id):
    again = Reply(None, "", None, 1.006, 20, "PRIMARY", 1.0, reply_id)
    found = verdict(tmp_path, PRIMARY_BACK, [*talk(), again])
    assert found.broken == ["1 duplicated"]
    assert (found.replies, found.duplicated) == (100, 1)


def test_times_while_the_fault_lasts_are_told_apart(tmp_path):
    found = verdict(tmp_path, PRIMARY_BACK, talk(r50=reply(50, ms=40.0, source="ERROR")))
    assert found.latencies_ms == (5.0, 5.0, 40.0)
    assert found.during_ms == (5.0, 40.0, 40.0)


def test_a_tag_at_the_deadline_is_in_time(tmp_path):
    assert verdict(tmp_path, PRIMARY_BACK, talk(r20=reply(20, ms=49.9))).broken == []


def test_a_tag_that_only_the_machine_made_late_is_told_apart(tmp_path):
    late = talk(r20=reply(20, ms=52.0), r30=reply(30, ms=54.0))
    stalls = [Event(STALL, 1.01, 1.013, 1, ""), Event(STALL, 1.51, 1.513, 1, "")]
    found = verdict(tmp_path, PRIMARY_BACK, late, [FAULTY, *stalls])
    assert (found.late, found.late_in_stalls) == (1, 1)
    assert found.broken == ["1 late"]
    assert check.totals([found])["late_in_stalls"] == 1


def late_after(seconds):
    """Return replies that are late from the fault's end on, for so long."""
    late = range(60, 60 + round(20 * seconds))
    return {f"r{number}": reply(number, ms=52.0, source="ERROR") for number in late}


def answered_by_reflex(seconds):
    after = range(60, 60 + round(20 * seconds))
    return {f"r{number}": reply(number, source="LOADING") for number in after}


def test_a_tag_that_comes_back_slowly(tmp_path):
    found = verdict(tmp_path, PAUSED, talk(**late_after(1.1)))
    assert found.recovered_s == pytest.approx(1.105)
    assert found.excepted == {"late": 21}
    assert found.broken == ["1 late", "the next tag in time came back 1.10 s after the fault"]
    assert verdict(tmp_path, PAUSED, talk(**late_after(0.9))).broken == []


def test_a_primary_that_comes_back_slowly_or_never(tmp_path):
    slow = talk(**answered_by_reflex(1.1))
    found = verdict(tmp_path, PRIMARY_BACK, slow)
    assert found.broken == ["the primary came back 1.10 s after the fault"]
    assert verdict(tmp_path, PRIMARY_BACK, talk(**answered_by_reflex(0.9))).broken == []


def test_a_restart_may_take_longer_but_must_come(tmp_path):
    found = verdict(tmp_path, RESTARTED, talk(**answered_by_reflex(1.5)))
    assert found.broken == []
    assert check.totals([found])["longest_restart_s"] == pytest.approx(1.505)
    found = verdict(tmp_path, RESTARTED, talk(**answered_by_reflex(3.0)))
    assert found.broken == ["the primary, restarted, did not come back after the fault"]


def test_every_fault_of_several_must_be_recovered_from(tmp_path):
    twice = [FAULTY, Event(FAULT, 4.9, 5.0, 1, "")]
    found = verdict(tmp_path, PRIMARY_BACK, talk(r100=lost(100)), twice)
    assert "the next tag in time did not come back after the fault" in found.broken


def test_a_fault_that_was_not_made_is_no_success(tmp_path):
    assert verdict(tmp_path, PRIMARY_BACK, talk(), ()).broken == [
        "the fault never ended",
        "the fault never ended",
    ]
    assert check.judge(FAULTS["primary: sound"], [], []).broken == ["nothing was measured"]


@pytest.mark.parametrize("fault", [PRIMARY_BACK, RESTARTED])
def test_a_fault_that_nothing_shows_is_no_success(tmp_path, fault):
    sound = [reply(number) for number in range(1, 101)]
    assert verdict(tmp_path, fault, sound).broken == [
        "the fault had no effect: the primary answered every reply"
    ]


@pytest.mark.parametrize("server_fault", SERVER_FAULTS)
def test_a_model_server_that_never_answered_is_no_success(server_fault):
    never = [reply(number, source="ERROR") for number in range(1, 101)]
    (broken,) = check.judge(FAULTS[f"http: {server_fault}"], never, [FAULTY]).broken
    assert broken == "the primary, restarted, did not come back after the fault"


def test_another_check_that_failed(tmp_path):
    failed = Event(CHECK, 4.0, 4.0, 0, "exit code 0 after 0.10 s")
    found = verdict(tmp_path, PRIMARY_BACK, talk(), [FAULTY, failed])
    assert found.broken == ["not so: exit code 0 after 0.10 s"]


# What is excepted.


@pytest.mark.parametrize(
    ("fault", "row", "broken"),
    [
        (PAUSED, reply(59, ms=52.0), []),
        (PAUSED, reply(79, ms=52.0), []),  # within the second of its recovery
        (PAUSED, reply(81, ms=52.0), ["1 late"]),
        (PAUSED, reply(30, ms=52.0), ["1 late"]),
        (PAUSED, lost(50), ["1 lost"]),
        (STORM, lost(50), []),
        (STORM, lost(90), ["1 lost"]),
        (PRIMARY_BACK, reply(50, ms=52.0), ["1 late"]),
    ],
)
def test_what_is_excepted_is_counted_and_only_there(tmp_path, fault, row, broken):
    found = verdict(tmp_path, fault, talk(**{f"r{row.number}": row}))
    assert found.broken == broken
    kind = "lost" if row.received_s is None else "late"
    assert getattr(found, kind) == 1
    assert found.excepted == ({} if broken else {kind: 1})


def test_a_recovery_that_is_excepted_must_still_come(tmp_path):
    late = late_after(1.5)
    found = verdict(tmp_path, SLOW_NETWORK, talk(**late))
    assert found.recovered_s == pytest.approx(1.505)
    assert (found.broken, found.excepted) == ([], {"late": 30})
    never = {f"r{number}": lost(number) for number in range(60, 101)}
    found = verdict(tmp_path, SLOW_NETWORK, talk(**never))
    assert "the next tag in time did not come back after the fault" in found.broken


# Files.


def test_a_file_that_is_cut_off_or_of_another_form_is_no_success(tmp_path):
    rows.write(tmp_path, PAUSED, talk(), [FAULTY])
    path = tmp_path / f"{rows.file_name(PAUSED)}{rows.REPLIES}"
    whole = path.read_text(encoding="utf-8")
    path.write_text(whole[: whole.rindex(",")], encoding="utf-8")
    (found,) = check.verdicts(tmp_path)
    assert "is cut off in line 101" in found.broken[0]
    path.write_text("a,b\n1,2\n", encoding="utf-8")
    (found,) = check.verdicts(tmp_path)
    assert "has other columns" in found.broken[0]


def test_nothing_to_check_is_no_success(tmp_path):
    done = subprocess.run(
        [sys.executable, str(FOLDER / "check.py"), str(tmp_path)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert "run 'make faults' first" in done.stderr


def test_replies_that_were_not_sent_or_whose_rows_are_gone(tmp_path):
    whole = Event(SAID, 0.0, 5.0, 100, "")
    sound = [reply(number) for number in range(1, 101)]
    assert verdict(tmp_path, "primary: sound", sound, [whole]).broken == []
    for left in (0, 99):
        assert verdict(tmp_path, "primary: sound", sound[:left], [whole]).broken == [
            *([] if left else ["nothing was measured"]),
            f"{100 - left} replies were not sent, or have no row",
        ]


def test_a_play_that_fails_is_no_success_for_the_checker_alone(tmp_path):
    command = [sys.executable, str(FOLDER / "campaign.py"), "--only", "primary: sound"]
    command += ["--out", str(tmp_path), "--prefix", "/no/such/program"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    (found,) = check.verdicts(tmp_path)
    assert found.fault == "primary: sound"
    assert found.broken[0].startswith("not so: the play ends by itself")


def test_the_table_has_a_line_for_each_fault(tmp_path):
    rows.write(tmp_path, PRIMARY_BACK, talk(r20=lost(20)), [FAULTY])
    rows.write(tmp_path, STORM, talk(r50=lost(50)), [FAULTY])
    lines = check.table(check.verdicts(tmp_path)).splitlines()
    assert [line.split(" | ")[0].strip("| ") for line in lines[2:]] == [PRIMARY_BACK, STORM]
    assert lines[2].endswith("| 1 lost |")
    assert lines[3].endswith("| 1 lost excepted |")


# The catalogue and its page.


def test_every_fault_can_be_played_and_has_files_of_its_own():
    assert set(play.PLAYS) == set(FAULTS)
    assert len({rows.file_name(name) for name in FAULTS}) == len(FAULTS)


def test_the_page_says_how_each_fault_is_made_and_why_what_is_excepted():
    page = (ROOT / "docs/faults.md").read_text(encoding="utf-8")
    excepted = []
    for name, fault in FAULTS.items():
        if not (fault.option or name.startswith("signal:")):
            assert f"| `{name}` | {fault.made} |" in page
        excepted += [f"| `{name}` | {kind} | {why} |" for kind, why in fault.excepted.items()]
    assert len(excepted) > 5
    for row in excepted:
        assert row in page
    # Nor does it except anything else.
    section = page.split("## What is not promised")[1].split("\n## ")[0]
    assert re.findall(r"^\| `.*\|$", section, re.MULTILINE) == excepted


@pytest.mark.parametrize("state", STATES)
def test_the_page_says_how_each_state_is_reached(state):
    assert f"\n| {state} | " in (ROOT / "docs/faults.md").read_text(encoding="utf-8")


# One real fault.


def test_a_real_fault_from_the_node_to_the_verdict(tmp_path):
    done = subprocess.run(
        [sys.executable, str(FOLDER / "campaign.py"), "--only", "worker: raises",
         "--seconds", "5", "--rate", "10", "--out", str(tmp_path)],
        capture_output=True, text=True, check=False, env=dict(os.environ),
    )  # fmt: skip
    totals = json.loads(done.stdout.splitlines()[-1])
    assert (totals["faults"], totals["replies"], totals["not_run"]) == (1, 50, {})
    # Whether tags are in time depends on the machine; whether they are there does not.
    assert (totals["lost"], totals["duplicated"], totals["reordered"]) == (0, 0, 0)
    found = totals["broken"].get("worker: raises", [])
    assert done.returncode == (1 if found else 0)
    assert not [text for text in found if not re.search(r"\d late|(came|come) back", text)], found
    with (tmp_path / "worker_raises.replies.csv").open(newline="", encoding="utf-8") as file:
        replies = list(csv.DictReader(file))
    assert [row["reply_id"] for row in replies] == [row["id"] for row in replies]
    assert len({row["seq"] for row in replies}) == 50
    with (tmp_path / "worker_raises.events.csv").open(newline="", encoding="utf-8") as file:
        (fault,) = (event for event in csv.DictReader(file) if event["what"] == FAULT)
    begin_s, end_s = float(fault["begin_s"]), float(fault["end_s"])
    during = {r["source"] for r in replies if begin_s < float(r["sent_s"]) < end_s}
    assert during - {"PRIMARY"}
