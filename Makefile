# Two commands do most of the work:  make lab   and   make test.   `make` alone lists the rest.

PY := .venv/bin/python
PICTURE := .github/architecture.svg
NOTEBOOKS ?= notebooks/*.ipynb
# On Linux, `make env CPU=1` leaves out CUDA's libraries.
CPU ?=
# More arguments for JupyterLab, say: make lab LAB="--no-browser --port=9999"
LAB ?=
# Where the course lies on GitHub, say: make badges REPOSITORY=owner/name; the book then links to the copies online
REPOSITORY ?=
# `make lock UPGRADE=1` takes the newest of everything.
UPGRADE ?=
# What needs no make: Windows calls tools/make.py itself.
MAKE_PY = python=$$(PYTHON="$(PYTHON)" .ci/find-python) || exit 2; exec "$$python" tools/make.py

.PHONY: help env lab test lint coverage browser kill grading cards both failed wheel links samples notebooks tags badges \
    book slides students figures lock
.DELETE_ON_ERROR:

help: ## list these targets
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/make \1\t\2/p' Makefile | expand -t 18

env: ## the environment alone, in .venv (on Linux, CPU=1: without CUDA's libraries)
	@$(MAKE_PY) env $(if $(CPU),--cpu)

lab: ## JupyterLab on notebooks/, at the tour
	@$(MAKE_PY) lab $(LAB)

test: ## lint, unit tests, every notebook (ten to twenty minutes on two cores)
	@$(MAKE_PY) test $(if $(filter file,$(origin NOTEBOOKS)),,$(NOTEBOOKS))

lint: ## ruff, mypy and the spelling alone
	@$(MAKE_PY) lint

coverage: env ## the unit tests, and which lines they reach
	$(PY) -m pytest -n 2 --dist worksteal --cov

browser: env ## drive `make lab`, the recorder, the page and the book in headless Chromium: needs chromium on the PATH
	$(PY) tests/browser/drive.py $(NOTEBOOKS)
	$(PY) tests/browser/microphone.py
	$(PY) tests/browser/serve.py
	PYTHONPATH=. $(PY) tests/browser/book.py

kill: env ## SIGKILL a training run 50 times, and compare every resume bit for bit
	$(PY) tests/kill.py --kills 50

grading: env ## mark forty submissions, hostile ones among them, twice: the second time with a kill midway
	$(PY) tests/grading.py

cards: env ## run the notebooks, and tell what each took beside its card: time and memory
	$(PY) tests/measure.py $(NOTEBOOKS)

both: env ## run each notebook with its stubs, then again with its solutions in the same kernel
	$(PY) tests/both.py $(NOTEBOOKS)

failed: env ## after `make test`: run the notebooks that failed once more, into failed/, with their figures
	$(PY) tests/failed.py

wheel: env ## build the wheel, install it in an empty folder, and use it there
	$(PY) tests/wheel.py

links: env ## follow every link of the pages and notebooks, out into the web too
	$(PY) tests/links.py

samples: env ## make data_samples/ anew
	$(PY) -m salmonn_mini data samples

notebooks: env ## run and record the notebooks (NOTEBOOKS="…" for some)
	$(PY) tests/record.py $(NOTEBOOKS)

tags: env ## slide tags in the notebooks and the table of cards, brought up to date
	$(PY) -m tools.slide_tags

badges: env ## copies of the notebooks to open in Colab and Binder, in online/ (REPOSITORY=owner/name)
	$(PY) -m tools.badges "$(REPOSITORY)" $(NOTEBOOKS)

book: env ## a site of all chapters, as they are committed, in site/ (REPOSITORY=owner/name: with links to Colab and Binder)
	$(PY) -m tools.book $(if $(REPOSITORY),--repository $(REPOSITORY))

slides: env ## slides of all notebooks, in slides/: they need no network
	$(PY) -m tools.slides

students: env ## the students' set, in students/: no outputs, no solutions
	$(PY) -m tools.students

figures: env ## draw the README's picture
	$(PY) -m salmonn_mini.course.diagrams $(PICTURE)

lock: env ## resolve requirements.lock anew out of pyproject.toml (UPGRADE=1: the newest of everything)
	$(PY) -m tools.lock $(if $(UPGRADE),--upgrade)
