// Prints face and servo commands from Pika's emotion tags: a consumer to start from.
#include <iostream>
#include <memory>

#include "commands.hpp"
#include "rclcpp/rclcpp.hpp"

int main(int argc, char ** argv)
{
  rclcpp::init(argc, argv);
  auto node = std::make_shared<rclcpp::Node>("face");
  // Volatile, the default: a face that starts late must not replay a celebration.
  auto tags = node->create_subscription<pika_emotion::msg::EmotionTag>(
    "emotion_tag", rclcpp::QoS(10), [](const pika_emotion::msg::EmotionTag & tag) {
      std::cout << pika_face::commands_for(tag) << std::endl;
    });
  rclcpp::spin(node);
  rclcpp::shutdown();
  return 0;
}
