# Two commands are enough on a fresh machine: `make run` and `make test`.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
BUNDLED := mail_reply_or_not mail_smart_reply phrases_en_de office_trigger office_suggest qa_stories table_qa
PROVEN = $(shell grep -rlE 'mark\.(prove|volume)' tests --include='test_*.py' | sort)

.PHONY: setup run check test prove pictures lock clean

setup: $(VENV)/installed

# Dependencies are pinned by hash; the package itself is installed without resolving dependencies.
$(VENV)/installed: pyproject.toml requirements.lock
	$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(None if (3, 11) <= v <= (3, 13) else f"textpipe needs Python 3.11, 3.12 or 3.13, found {v[0]}.{v[1]}; choose another: make PYTHON=python3.12")'
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps --editable .
	touch $@

run: setup
	@for name in $(BUNDLED); do $(BIN)/textpipe run pipelines/$$name.toml --show 3 || exit $$?; done

# Lint, format and types, in a separate small environment without TensorFlow.
check: $(VENV)-check/installed
	$(VENV)-check/bin/ruff check .
	$(VENV)-check/bin/ruff format --check .
	$(VENV)-check/bin/mypy

$(VENV)-check/installed: requirements-check.lock
	$(PYTHON) -m venv --clear $(VENV)-check
	$(VENV)-check/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements-check.lock
	touch $@

test: setup
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder

# The randomized tests in full volume: kills, fuzzing, flipped bits, version swaps under load, dropout on every path.
prove: setup
	TEXTPIPE_PROVE=1 $(BIN)/python -m pytest --numprocesses 2 -m "prove or volume" $(PROVEN)

# The extra `ray`, which the suite goes without: tests/test_engine_ray.py skips where it is not installed.
$(VENV)/ray: $(VENV)/installed requirements-ray.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements-ray.lock
	touch $@

# The README's pictures, from the pipelines of `make run`.
pictures: setup
	$(BIN)/python docs/pictures.py pipelines/phrases_en_de.toml "The polite customer should wear the yellow shirt." docs/pictures

# Rewrites the lock files for Python 3.11 to 3.13; needs `pip install uv`.
lock:
	uv pip compile pyproject.toml --extra test --extra build --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --no-emit-find-links --no-annotate --no-header --quiet --output-file requirements.lock
	uv pip compile pyproject.toml --extra ray --constraint requirements.lock --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --no-emit-find-links --no-annotate --no-header --quiet --output-file requirements-ray.lock
	uv pip compile --group check --constraint requirements.lock --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --no-emit-find-links --no-annotate --no-header --quiet --output-file requirements-check.lock

clean:
	rm -rf $(VENV) $(VENV)-check data/artifacts
