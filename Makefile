# Every target makes what it needs first; see README.md.
.DEFAULT_GOAL := help
.PHONY: help coverage mutation setup setup-vllm setup-encoder demo demo-web test test-vllm test-encoder test-web lint bench soak fuzz faults train bag docs docs-serve clean

export JOBS TESTS PYTHON WORKER_PYTHON MODEL PORT RATE
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

coverage: setup setup-vllm setup-encoder ## run all tests and tell which lines they run; see docs/testing.md
	@scripts/coverage.sh $(ARGS)

mutation: setup ## change the core in small ways and see that tests notice; a quarter of an hour
	@scripts/mutation.sh $(ARGS)

bench: setup ## measure speed: the taggers alone, then publisher to tag
	@$(RUN) $(TOOL) bench && $(RUN) $(TOOL) bench --ros

faults: setup ## break everything that can break, and judge what became of the tags
	@$(RUN) python scripts/faults/campaign.py $(ARGS)

soak: setup ## run the node for an hour (SECONDS=3600) through its lifecycle: what grows?
	@$(RUN) python scripts/soak.py --seconds $(or $(SECONDS),3600) $(ARGS)

fuzz: setup ## run the tests' properties with new cases for 15 minutes (MINUTES=15)
	@MINUTES=$(or $(MINUTES),15) scripts/fuzz.sh $(ARGS)

train: setup ## train resource/reflex.npz from data/dialogues
	@$(RUN) $(TOOL) train

bag: setup ## make the demo's bag from its text
	@$(RUN) python scripts/make_demo_bag.py

docs: ## make the documentation's site in build/site
	@scripts/docs.sh

docs-serve: ## show the documentation's site on http://127.0.0.1:7864
	@scripts/docs.sh serve

clean: ## remove everything that the other targets made
	rm -rf .venv .venv-vllm .venv-encoder .venv-web .venv-coverage .venv-mutation .venv-docs build install log .mypy_cache .ruff_cache .pytest_cache .hypothesis .nox
