# Every target makes what it needs first; see README.md.
.DEFAULT_GOAL := help
.PHONY: help setup setup-vllm setup-encoder demo demo-web test test-vllm test-encoder test-web lint bench train bag clean

export PYTHON WORKER_PYTHON MODEL PORT RATE
RUN := scripts/in_env.sh
TOOL := install/pika_emotion/lib/pika_emotion/pika-emotion

help: ## show this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: ## make .venv and install/ (quick when there is nothing to do)
	@scripts/setup.sh

setup-vllm: ## make .venv-vllm, the environment of the vLLM tagger's worker
	@scripts/setup_vllm.sh

setup-encoder: ## make .venv-encoder, the environment that trains and serves the encoder tagger
	@scripts/setup_encoder.sh

demo: setup ## replay a recorded conversation through a real node and print its tags
	@$(RUN) scripts/demo.sh $(ARGS)

demo-web: setup ## replay it in a loop beside the monitor's page; prints the page's address
	@$(RUN) scripts/demo_web.sh

test: setup ## run all tests
	@$(RUN) pytest $(ARGS)

test-vllm: setup setup-vllm ## run the vLLM tagger's tests with the real engine and tiny models
	@scripts/test_vllm.sh $(ARGS)

test-encoder: setup setup-encoder ## run the encoder tagger's tests: a tiny one is trained and served
	@scripts/test_encoder.sh $(ARGS)

test-web: setup ## run the monitor page's tests in headless Chromium
	@scripts/test_web.sh $(ARGS)

lint: setup ## ruff, mypy --strict, xmllint
	@$(RUN) scripts/lint.sh

bench: setup ## measure speed: the taggers alone, then publisher to tag
	@$(RUN) $(TOOL) bench && $(RUN) $(TOOL) bench --ros

train: setup ## train resource/reflex.npz from data/dialogues
	@$(RUN) $(TOOL) train

bag: setup ## make the demo's bag from its text
	@$(RUN) python scripts/make_demo_bag.py

clean: ## remove everything that the other targets made
	rm -rf .venv .venv-vllm .venv-encoder .venv-web build install log .mypy_cache .ruff_cache .pytest_cache .hypothesis .nox
