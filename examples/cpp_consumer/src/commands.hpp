// Face and servo commands from an emotion tag.
#pragma once

#include <string>

#include "pika_emotion/msg/emotion_tag.hpp"

namespace pika_face
{

// Returns one line with the face to draw, the arms' angle in degrees, and confetti if any.
std::string commands_for(const pika_emotion::msg::EmotionTag & tag);

}  // namespace pika_face
