#include "commands.hpp"

#include <cmath>
#include <unordered_map>

namespace pika_face
{

namespace
{
using pika_emotion::msg::EmotionTag;

constexpr float kLargestArmDegrees = 60.0F;

std::string face_for(const std::string & emotion)
{
  static const std::unordered_map<std::string, std::string> faces = {
    {EmotionTag::HAPPY, "^_^"}, {EmotionTag::EXCITED, "*o*"}, {EmotionTag::PLAYFUL, "^o~"},
    {EmotionTag::PROUD, "^-^"}, {EmotionTag::THATS_RIGHT, "^o^"}, {EmotionTag::CALM, "-_-"},
    {EmotionTag::SURPRISED, "O_O"}, {EmotionTag::SAD, "T_T"}, {EmotionTag::ANGRY, ">:("},
  };
  const auto found = faces.find(emotion);
  return found == faces.end() ? "._." : found->second;
}
}  // namespace

std::string commands_for(const EmotionTag & tag)
{
  const auto degrees = std::lround(kLargestArmDegrees * tag.arousal);
  return "face " + face_for(tag.emotion) + " (" + tag.emotion + ") arms " +
         std::to_string(degrees) + " deg" + (tag.celebrate ? " confetti" : "");
}

}  // namespace pika_face
