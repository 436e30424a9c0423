// Prints the commands for a right answer and for a default-constructed message.
#include <iostream>

#include "commands.hpp"

int main()
{
  pika_emotion::msg::EmotionTag tag;
  std::cout << pika_face::commands_for(tag) << '\n';
  tag.emotion = pika_emotion::msg::EmotionTag::THATS_RIGHT;
  tag.arousal = 0.5F;
  tag.celebrate = true;
  tag.source = pika_emotion::msg::EmotionTag::PRIMARY;
  std::cout << pika_face::commands_for(tag) << '\n';
  return 0;
}
