# make demo | demo-orthanc | test | lint | lock | generated | dist | clean. Every target brings its own set-up; the second call is quick.

# macOS: ctypes does not look where Homebrew installs. Given in front of each command, since /bin/sh drops DYLD_*.
BIN := $(if $(filter Darwin,$(shell uname -s)),DYLD_FALLBACK_LIBRARY_PATH=/opt/homebrew/lib:/usr/local/lib:/usr/lib )PYTHONUNBUFFERED=1 .venv/bin
READY := .venv/.ready
ROOT := $(if $(filter-out 0,$(shell id -u)),sudo)

.PHONY: demo demo-orthanc test lint lock generated dist clean
.DEFAULT_GOAL := demo

# Exit code 4 is what the demo means to show: one of its files is no radiograph, is recorded as such, and the run goes on.
demo: $(READY)
	@rm -rf reports/demo
	@$(BIN)/cxr-audit run configs/demo.yaml || [ $$? -eq 4 ]
	@echo "The PDFs:"; find reports/demo -name '*.pdf' | sort | sed 's/^/  /'

demo-orthanc: $(READY)
	@PATH=$$PATH:/usr/sbin; for program in Orthanc dciodvfy dsrdump; do command -v $$program >/dev/null || \
		{ $(ROOT) sh -c 'apt-get update && apt-get install -y orthanc orthanc-dicomweb dcmtk dicom3tools'; break; }; done
	@$(BIN)/python -m benchmarks.orthanc

test: $(READY)
	@$(BIN)/python -m pytest -n auto --dist loadfile $(PYTEST)

lint: $(READY)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

# The index is named so that a machine's own mirrors and local folders do not leak into the lock.
lock: $(READY)
	$(BIN)/uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 --fork-strategy fewest \
		--generate-hashes --no-header --no-emit-index-url --no-config --default-index https://pypi.org/simple \
		--quiet --output-file requirements.lock

# After a change of the vocabulary, of a config key or of words. New messages come empty, to be translated by hand.
generated: $(READY)
	@$(BIN)/python -m cxr_audit.config configs/demo.yaml
	@$(BIN)/cxr-audit schema > configs/audit.schema.json
	@$(BIN)/python -m cxr_audit.vocabulary.page > docs/vocabulary.md
	@$(BIN)/python -m cxr_audit.report.catalogue

# Wheel and sdist, checked as an index would; a release is the tag v and the version of pyproject.toml.
dist: $(READY)
	@rm -rf dist
	@$(BIN)/uv build --quiet --no-build-isolation --python .venv/bin/python --out-dir dist .
	@$(BIN)/uv tool run twine check --strict dist/*

clean: ## what can be made again; runs below reports/ stay
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .import_linter_cache build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(READY): requirements.lock pyproject.toml setup.sh
	@sh setup.sh
	@touch $@
