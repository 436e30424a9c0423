"""What the node has from configure to cleanup: taggers, topics and the pipeline between them."""

import time
from collections.abc import Callable, Mapping
from typing import Any

from rclpy.lifecycle import LifecycleNode

from pika_emotion import message_types, taggers
from pika_emotion.deadline import Answer, DeadlineTagger, Source
from pika_emotion.dialogue import Dialogue, EventRules, Message, Role, Turn
from pika_emotion.errors import ConfigError, where
from pika_emotion.health import Health, Report
from pika_emotion.labels import load_labels
from pika_emotion.pipeline import Pipeline
from pika_emotion.taggers.calibrated import CalibratedTagger
from pika_emotion.topics import Input, TagPublisher

# Messages older than this were held up on their way; then this long is waited for the others,
# and again as long as some come.
_HELD_UP_NS = 20_000_000
_SETTLE_S = 0.01
_SETTLE_ROUNDS = 3
# So long the executor gives way to the pipeline after it has handed messages over.
_PATIENCE_S = 0.005


class Serving:
    """A configured node's insides.

    Args:
        node: the lifecycle node.
        values: every parameter by name.
        publisher: of the tags.
        health: counts what happens.

    Raises:
        PikaEmotionError: a parameter, the label file or the reflex model cannot work.
    """

    def __init__(
        self,
        node: LifecycleNode,
        values: Mapping[str, Any],
        publisher: TagPublisher,
        health: Health,
    ) -> None:
        self._node = node
        self._publisher = publisher
        self._health = health
        self._rules = EventRules(tuple(values["events"]), tuple(values["silences"]))
        transcript = message_types.resolve(values["transcript.type"], values["transcript.field"])
        reply = message_types.resolve(
            values["reply.type"], values["reply.field"], values["reply.id_field"]
        )
        labels = load_labels(values["labels_file"] or None)
        self._reflex = taggers.create("reflex", labels, values)
        self._reflex.load()
        warm = self._reflex.tag(Turn("Is it?", "yes", "Yes, it is!"), time.monotonic())
        publisher.warm_up(Answer(warm, Source.REFLEX))
        self._primary: CalibratedTagger | None = None
        if values["tagger"] != "reflex":
            primary = taggers.create(values["tagger"], labels, values)
            self._primary = CalibratedTagger(primary, self._reflex, labels, values)
        self.tagger = DeadlineTagger(
            labels, self._reflex, self._primary, slots=values["primary_slots"]
        )
        self._dialogue = Dialogue(self._rules)
        self.follow(values)
        depth = values["qos.depth"]
        self._most = 10 * depth
        self._inputs = [
            Input(node, "child/transcript", transcript, (Role.CHILD, Role.CHILD_PARTIAL),
                  depth, self._health),
            Input(node, "pika/reply", reply, (Role.REPLY, Role.REPLY_PARTIAL),
                  depth, self._health),
            Input(node, "pika/reply_partial", reply, (Role.REPLY_PARTIAL, Role.REPLY_PARTIAL),
                  depth, self._health),
        ]  # fmt: skip
        self._pipeline: Pipeline | None = None

    def start(self, load_timeout_s: float | None, unless: Callable[[], bool]) -> None:
        """Begin to load the primary; with a timeout, wait for it, unless that is true meanwhile.

        Raises:
            TaggerError: it failed to load, did not in time, or the wait was ended.
        """
        self.tagger.start()
        if load_timeout_s is not None:
            self.tagger.wait_loaded(load_timeout_s, patient=True, unless=unless)

    def follow(self, values: Mapping[str, Any]) -> None:
        """Take over the parameters that may change while the node runs."""
        self._threshold = values["celebrate_threshold"]
        self.tagger.deadline_ms = self._health.deadline_ms = values["deadline_ms"]
        self.tagger.publish_margin_ms = values["publish_margin_ms"]
        self._dialogue.turn_timeout_s = values["turn_timeout_s"]
        self._dialogue.session_timeout_s = values["session_timeout_s"]

    def activate(self) -> None:
        """Subscribe, with the conversation forgotten.

        Raises:
            ConfigError: a topic cannot be subscribed to; then none is.
        """
        self._dialogue.forget()
        self._pipeline = Pipeline(self._dialogue, self.tagger, self._publish, self._failed)
        self._pipeline.start()
        for source in self._inputs:
            try:
                source.subscribe(self._take)
            except Exception as error:  # rclpy's have no kind in common
                self.deactivate()
                raise ConfigError(
                    f"topic '{source.topic}' cannot be subscribed to ({error}); "
                    "correct its qos_overrides"
                ) from error

    def deactivate(self) -> None:
        """Unsubscribe, and answer what was received before; does nothing if not active."""
        if self._pipeline is None:
            return
        self._take()
        for source in self._inputs:
            source.unsubscribe()
        self._pipeline.stop()
        self._pipeline = None

    def close(self) -> None:
        """End the taggers."""
        self.tagger.close()
        self._reflex.close()
        self._health.keep(self.tagger, self._lost)

    @property
    def warning(self) -> str | None:
        """What is wrong about the primary as it is set, though it answers; None where nothing."""
        return self._primary.warning if self._primary is not None else None

    def report(self, state: str) -> Report:
        """Return the node's health, with the taggers' cards."""
        cards = {
            f"{tagger.name}: {key}": value
            for tagger in (self._reflex, self._primary)
            if tagger is not None
            for key, value in tagger.describe().items()
        }
        note = ""
        if self._primary is not None and self._primary.uncalibrated:
            note = f"{self._primary.name} is UNCALIBRATED"
        return self._health.report(state, self.tagger, cards, self._lost, note, self.warning)

    @property
    def _lost(self) -> int:
        return sum(source.losses.lost for source in self._inputs)

    def _take(self) -> None:
        """Hand everything that all topics have ready to the pipeline at once."""
        assert self._pipeline is not None
        batch = self._drain()
        oldest_ns = min((message.source_ns for message in batch), default=0)
        if batch and time.time_ns() - oldest_ns > _HELD_UP_NS:
            # Something held these up (a paused process, a network that came back). The middleware
            # is still handing over what waited, each topic in a thread of its own.
            for _ in range(_SETTLE_ROUNDS):
                time.sleep(_SETTLE_S)
                new = self._drain()
                batch += new
                if not new:
                    break
        now = time.monotonic()
        for message in batch:
            if message.role is Role.REPLY:
                self._health.waited(1000 * (now - message.received_s))
        self._pipeline.put(batch, _PATIENCE_S)

    def _drain(self) -> list[Message]:
        batch = [message for source in self._inputs for message in source.woken_by()]
        # A pass may miss what arrives on one topic while it reads the next; what came before a
        # message that it did read is there by the following pass.
        while new := [message for source in self._inputs for message in source.take()]:
            batch += new
            if len(batch) > self._most:
                break
        return batch

    def _publish(self, reply: Message, answer: Answer) -> None:
        latency_s = self._publisher.publish(reply, answer, self._threshold)
        self._health.answered(answer.source, 1000 * latency_s)

    def _failed(self, error: Exception) -> None:
        self._health.count("internal errors")
        self._node.get_logger().error(f"a message was not handled: {where(error)}")
