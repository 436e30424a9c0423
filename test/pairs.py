"""What DESIGN.md says about pairing, written another way than dialogue.py: from each reply back."""

from hypothesis import strategies as st

from pika_emotion.dialogue import Message, Role, Turn

S = 1_000_000_000

# Who speaks, and how long after the one before; messages_of scales the gaps.
UTTERANCES = st.lists(
    st.tuples(st.sampled_from([Role.CHILD, Role.REPLY]), st.integers(1, 40)), max_size=14
)


def messages_of(utterances, scale, received_s=0.0):
    """Return messages in the order of their times; a scale of 12 makes gaps over both timeouts."""
    messages, at_ns = [], 0
    for number, (role, gap) in enumerate(utterances):
        at_ns += gap * scale * S
        messages.append(Message(role, f"{role.name} {number}", at_ns, received_s))
    return messages


def expected_pairs(messages, turn_timeout_s=30, session_timeout_s=300):
    """Return the turns of the replies among messages in the order of their times."""
    return [
        _turn_of(place, messages, turn_timeout_s, session_timeout_s)
        for place, message in enumerate(messages)
        if message.role is Role.REPLY
    ]


def _turn_of(place, messages, turn_timeout_s, session_timeout_s):
    reply = messages[place].text

    def before(place, role, timeout_s):
        return (
            place > 0
            and messages[place - 1].role is role
            and messages[place].source_ns - messages[place - 1].source_ns <= timeout_s * S
        )

    while before(place, Role.REPLY, min(turn_timeout_s, session_timeout_s)):
        place -= 1
    heard = []
    while before(place, Role.CHILD, session_timeout_s):
        place -= 1
        heard.insert(0, messages[place].text)
    asked = heard and before(place, Role.REPLY, session_timeout_s)
    question = messages[place - 1].text if asked else ""
    return Turn(question, " ".join(heard), reply, event=not heard)
