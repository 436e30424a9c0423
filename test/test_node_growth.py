"""A node that is activated again and again keeps nothing of the times before."""

import gc
import weakref

import pytest
import rclpy
import ros  # noqa: F401  (a domain of this test run's own)
from rclpy.context import Context
from rclpy.parameter import Parameter

from pika_emotion.node import EmotionNode


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
