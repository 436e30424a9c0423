"""A node that is activated again and again keeps nothing of the times before."""

import gc
import weakref
from pathlib import Path

import pytest
import rclpy
from rclpy.context import Context
from rclpy.parameter import Parameter
from ros import NodeProcess, Robot

from pika_emotion.errors import TaggerError
from pika_emotion.node import EmotionNode
from pika_emotion.taggers.http_breaker import Breaker

# What glibc reserves for a heap that is not the main one: so much, and from a multiple of it.
HEAP = 64 << 20


@pytest.fixture
def node():
    context = Context()
    rclpy.init(context=context)
    overrides = [Parameter("tagger", value="reflex"), Parameter("autostart", value=False)]
    node = EmotionNode(context=context, parameter_overrides=overrides)
    yield node
    node.stop()
    node.destroy_node()
    rclpy.try_shutdown(context=context)
    gc.unfreeze()


def test_activations_leave_nothing_in_the_nodes_callback_group(node):
    node.trigger_configure()
    group = node.default_callback_group.entities
    before = len(group)
    for _ in range(5):
        node.trigger_activate()
        node.trigger_deactivate()
    assert node.state == "inactive"
    assert len(group) == before


def test_configuring_again_frees_what_was_configured_before(node):
    node.trigger_configure()
    before = weakref.ref(node._serving.tagger)
    node.trigger_cleanup()
    node.trigger_configure()
    assert before() is None


def test_a_problem_whose_figures_change_is_told_and_kept_once(node):
    breaker = Breaker()
    breaker.failed(TaggerError("server 'http://a:80' has a fault (503); see its log"), 30.0)
    for _ in range(3):
        with pytest.raises(TaggerError) as told:
            breaker.check()
        node._warn_once(str(told.value))
        breaker._until += 0.5
    assert len(node._told) == 1


def test_activation_gives_threads_no_heaps_of_their_own(tmp_path):
    node = NodeProcess(tmp_path, params={"autostart": "false"})
    try:
        with Robot(node) as robot:
            assert robot.state == "unconfigured"
            before = heaps_of(node.process.pid)
            assert robot.transition("configure")
            assert robot.transition("activate")
            assert heaps_of(node.process.pid) == before
    finally:
        node.close()


def heaps_of(pid):
    """How many heaps a process has beside the main one: a used part and a reserved one each."""
    count = end = begin = 0
    for line in Path(f"/proc/{pid}/maps").read_text(encoding="utf-8").splitlines():
        addresses, access, *_ = line.split()
        low, high = (int(address, 16) for address in addresses.split("-"))
        reserved = access == "---p" and low == end
        count += reserved and begin % HEAP == 0 and high - begin == HEAP
        begin, end = (low, high) if access == "rw-p" else (0, 0)
    return count
