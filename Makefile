# Two commands do most of the work:  make lab   and   make test.   `make` alone lists the rest.

PY := .venv/bin/python
STAMP := .venv/.stamp
PICTURE := .github/architecture.svg
NOTEBOOKS ?= notebooks/*.ipynb
# Nothing in these depends on the machine: every output must come out as it is recorded.
STRICT := $(addprefix notebooks/,01_sound.ipynb 03_windows.ipynb 05_lora.ipynb)
IN_FULL = $(filter $(STRICT),$(wildcard $(NOTEBOOKS)))
IN_PART = $(filter-out $(STRICT),$(wildcard $(NOTEBOOKS)))
NBVAL = $(PY) -m pytest -n 2 --dist loadscope --nbval-cell-timeout 600 --nbval-sanitize-with tests/nbval_sanitize.cfg
# More arguments for JupyterLab, say: make lab LAB="--no-browser --port=9999"
LAB ?=
# Where the course lies on GitHub, say: make badges REPOSITORY=owner/name
REPOSITORY ?=

.PHONY: help env lab test lint browser kill grading cards both samples notebooks badges slides students figures lock
.DELETE_ON_ERROR:

help: ## list these targets
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/make \1\t\2/p' Makefile | expand -t 18

env: $(STAMP) ## the environment alone, in .venv

# Exactly what requirements.lock names, checked by its hashes; then this project, editable. Bytecode is compiled here:
# where Python may not write it (PYTHONDONTWRITEBYTECODE), every start would compile torch and transformers again.
$(STAMP): pyproject.toml requirements.lock
	@python=$$(PYTHON="$(PYTHON)" .ci/find-python) || exit 2; \
	    $(PY) -c "" 2>/dev/null || { rm -rf .venv && "$$python" -m venv .venv; }
	$(PY) -m pip install --quiet --disable-pip-version-check uv
	VIRTUAL_ENV="$(CURDIR)/.venv" $(PY) -m uv pip sync --compile-bytecode requirements.lock
	VIRTUAL_ENV="$(CURDIR)/.venv" $(PY) -m uv pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

lab: $(STAMP) ## JupyterLab on notebooks/, at the tour
	$(PY) -m jupyterlab --ip=127.0.0.1 --ServerApp.root_dir=notebooks --LabApp.default_url=/lab/tree/00_tour.ipynb \
	    $$([ "$$(id -u)" -ne 0 ] || echo --allow-root) $(LAB)

test: $(STAMP) ## lint, unit tests, every notebook (ten to twenty minutes on two cores)
	@echo "1/4 lint"
	@$(MAKE) --no-print-directory lint
	@echo "2/4 unit tests: some 2,800 on two processes, first collected, then counted up to 100 %"
	@$(PY) -m pytest -n 2 --dist worksteal
	@echo "3/4 notebooks, their checked cells compared: $(words $(IN_PART))"
	@$(if $(IN_PART),$(NBVAL) --nbval-lax $(IN_PART))
	@echo "4/4 notebooks, every cell compared: $(words $(IN_FULL))"
	@$(if $(IN_FULL),$(NBVAL) --nbval $(IN_FULL))
	@echo "All of it passed."

lint: $(STAMP) ## ruff and mypy alone
	$(PY) -m ruff check
	$(PY) -m ruff format --check
	$(PY) -m mypy

browser: $(STAMP) ## drive `make lab` in headless Chromium: needs chromium on the PATH
	$(PY) tests/browser/drive.py $(NOTEBOOKS)

kill: $(STAMP) ## SIGKILL a training run 50 times, and compare every resume bit for bit
	$(PY) tests/kill.py --kills 50

grading: $(STAMP) ## mark forty submissions, hostile ones among them, twice: the second time with a kill midway
	$(PY) tests/grading.py

cards: $(STAMP) ## run the notebooks, and tell what each took beside its card: time and memory
	$(PY) tests/measure.py $(NOTEBOOKS)

both: $(STAMP) ## run each notebook with its stubs, then again with its solutions in the same kernel
	$(PY) tests/both.py $(NOTEBOOKS)

samples: $(STAMP) ## make data_samples/ anew
	$(PY) -m salmonn_mini data samples

notebooks: $(STAMP) ## run and record the notebooks (NOTEBOOKS="…" for some)
	$(PY) tests/record.py $(NOTEBOOKS)

badges: $(STAMP) ## Colab badges and slide tags in the notebooks, brought up to date (REPOSITORY=owner/name)
	$(PY) -m tools.badges $(if $(REPOSITORY),--repository $(REPOSITORY))

slides: $(STAMP) ## slides of all notebooks, in slides/: they need no network
	$(PY) -m tools.slides

students: $(STAMP) ## the students' set, in students/: no outputs, no solutions (REPOSITORY=owner/name)
	$(PY) -m tools.students $(if $(REPOSITORY),--repository $(REPOSITORY))

figures: $(STAMP) ## draw the README's picture
	$(PY) -m salmonn_mini.course.diagrams $(PICTURE)

lock: $(STAMP) ## resolve requirements.lock anew out of pyproject.toml
	$(PY) -m uv pip compile --quiet --universal --python-version 3.10 --no-emit-index-url --generate-hashes \
	    --group dev pyproject.toml --output-file requirements.lock
