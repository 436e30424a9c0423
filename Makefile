# Every target makes what it needs first; see README.md.
.DEFAULT_GOAL := help
.PHONY: help setup demo test lint bench train bag clean

export PYTHON
RUN := scripts/in_env.sh
TOOL := install/pika_emotion/lib/pika_emotion/pika-emotion

help: ## show this list
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

setup: ## make .venv and install/ (quick when there is nothing to do)
	@scripts/setup.sh

demo: setup ## replay a recorded conversation through a real node and print its tags
	@$(RUN) scripts/demo.sh $(ARGS)

test: setup ## run all tests
	@$(RUN) pytest $(ARGS)

lint: setup ## ruff, mypy --strict, xmllint
	@$(RUN) scripts/lint.sh

bench: setup ## measure speed: the taggers alone, then publisher to tag
	@$(RUN) $(TOOL) bench && $(RUN) $(TOOL) bench --ros

train: setup ## train resource/reflex.npz from data/dialogues
	@$(RUN) $(TOOL) train

bag: setup ## make the demo's bag from its text
	@$(RUN) python scripts/make_demo_bag.py

clean: ## remove everything that the other targets made
	rm -rf .venv build install log .mypy_cache .ruff_cache .pytest_cache .hypothesis .nox
