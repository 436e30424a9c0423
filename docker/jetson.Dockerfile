# The node with the vLLM tagger, for a Jetson. NOT RUN: there was none to build it on.
#
# JetPack 7.2 or later (Ubuntu 24.04, CUDA 13; Orin and Thor):
#   docker build -f docker/jetson.Dockerfile -t pika_emotion .
#
# JetPack 6 (Ubuntu 22.04, CUDA 12.6; Orin). vLLM's own wheels hold no code for Orin's compute
# capability 8.7 there, so that the image to begin with must bring both vLLM and ROS 2;
# github.com/dusty-nv/jetson-containers builds one:
#   jetson-containers build --name=humble_vllm vllm ros:humble-ros-base
#   docker build -f docker/jetson.Dockerfile -t pika_emotion \
#     --build-arg BASE=<the image it names> --build-arg VLLM= --build-arg WORKER=python3 .
#
# To run it, with a folder that holds the model and a parameter file. The file names both:
# vllm.model: /opt/models/phi3-mini-awq, and as vllm.python what WORKER is below.
#   docker run --rm --runtime nvidia --network host --ipc host -v /opt/models:/opt/models:ro \
#     pika_emotion ros2 launch pika_emotion pika_emotion.launch.py params_file:=/opt/models/pika.yaml
ARG BASE=ros:jazzy-ros-base
FROM ${BASE}

# What pip installs for the worker; empty where the image brings vLLM.
ARG VLLM=vllm==0.24.0
# The worker's interpreter: the value of vllm.python.
ARG WORKER=/opt/vllm/bin/python

RUN apt-get update \
 && apt-get install -y --no-install-recommends build-essential python3-numpy python3-venv python3-yaml \
 && rm -rf /var/lib/apt/lists/*
RUN if [ -n "$VLLM" ]; then \
      python3 -m venv /opt/vllm && /opt/vllm/bin/pip install --no-cache-dir "$VLLM"; \
    fi \
 && "$WORKER" -c 'from importlib.metadata import version; print("vLLM", version("vllm"))'

WORKDIR /robot
COPY . src/pika_emotion
RUN /ros_entrypoint.sh colcon build --packages-select pika_emotion \
 && rm -rf build log

# No model is asked for elsewhere.
ENV HF_HUB_OFFLINE=1
ENTRYPOINT ["/ros_entrypoint.sh", "bash", "-c", "source /robot/install/setup.bash && exec \"$@\"", "--"]
CMD ["ros2", "launch", "pika_emotion", "pika_emotion.launch.py"]
