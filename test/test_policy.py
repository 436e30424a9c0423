"""The SROS2 policy allows what the running programs use, and nothing else."""

import importlib.util
import sys

import pytest
from conftest import ROOT
from ros import until

sys.path.insert(0, str(ROOT / "scripts"))
import make_policy

# Older ROS 2 has no such service.
UNKNOWN = (
    set()
    if importlib.util.find_spec("rclpy.type_description_service")
    else {("reply", "~/get_type_description")}
)


@pytest.fixture(scope="module")
def graph():
    with make_policy.Graph() as graph:
        yield graph


@pytest.mark.parametrize(
    ("enclave", "node", "program"), make_policy.PROGRAMS, ids=lambda value: str(value)[:30]
)
def test_a_program_uses_just_what_its_enclave_may(graph, enclave, node, program):
    told_node, namespace, allowed = make_policy.read(make_policy.FILE)[f"/{enclave}"]
    assert (told_node, namespace) == (node, "/")
    place, last = f"/policy_{enclave}", []

    def same():
        last[:] = [graph.rights(node, place)]
        return last[0] == allowed - UNKNOWN

    with make_policy.running(program, place, ()):
        try:
            until(same, 120)
        except AssertionError:
            missing, more = sorted(allowed - last[0]), sorted(last[0] - allowed)
            pytest.fail(f"allowed and not used: {missing}; used and not allowed: {more}")


def test_nobody_but_the_node_may_tag_and_only_one_monitor_hears_the_child():
    policy = make_policy.read(make_policy.FILE)
    taggers = [
        path for path, (*_, rights) in policy.items() if ("publish", "emotion_tag") in rights
    ]
    assert taggers == ["/emotion_node"]
    hearers = {
        p for p, (*_, rights) in policy.items() if ("subscribe", "child/transcript") in rights
    }
    assert hearers == {"/emotion_node", "/emotion_monitor_with_text"}
    names = {name for *_, rights in policy.values() for _, name in rights}
    assert not any("*" in name for name in names)


def test_what_is_written_reads_back(tmp_path):
    policy = make_policy.read(make_policy.FILE)
    assert len(policy) == len(make_policy.PROGRAMS)
    file = tmp_path / "again.xml"
    file.write_text(make_policy.written(policy), encoding="utf-8")
    assert make_policy.read(file) == policy
    assert file.read_bytes() == make_policy.FILE.read_bytes()


def test_the_policy_is_valid_for_sros2():
    policy = pytest.importorskip("sros2.policy", reason="sros2 is not installed")
    policy.load_policy(make_policy.FILE)  # raises where the file does not fit its schema
