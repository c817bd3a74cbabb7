# Each target sets up what it needs by itself, from an empty clone, with Python 3.11+, Node 20.19+ and git.
# Set-up is remembered in stamp files: it is repeated only when a lock file or the page's sources change.

VENV := .venv
BIN := $(VENV)/bin
PYTHON ?=
BROWSER ?= 1
CLIENTS ?= 1
PROXIES ?= 1
ARGS ?=
LONG ?=

CLIENT := clients/web
REACT := clients/react
# React 18 is in a folder of its own, so that react-dom 18 finds it.
REACT_18 := $(REACT)/test/react-18
NPM_FOLDERS := web $(CLIENT) $(REACT) $(REACT_18)
SOURCES_OF = $(shell find $(1) -name node_modules -prune -o -name dist -prune -o -type f -print 2>/dev/null)
WEB_SOURCES := $(call SOURCES_OF,web $(CLIENT))
REACT_SOURCES := $(call SOURCES_OF,$(REACT))
PAGE := gateway/static/index.html
DOCS := gateway/site/index.html
CLIENT_BUILT := $(CLIENT)/dist/client/index.js
REACT_BUILT := $(REACT)/dist/index.js
NODE_FOUND := $(shell node -e 'const [a, b] = process.versions.node.split("."); process.exit(a > 20 || (a == 20 && b >= 19) ? 0 : 1)' 2>/dev/null && npm --version 2>/dev/null)
NO_NODE := Node 20.19 or newer with npm was not found

PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
NPM := npm --no-fund --no-audit --no-update-notifier --prefix

.DEFAULT_GOAL := help
# What runs side by side says so (SIDE_BY_SIDE=1): a `make -j` of one's own must not mix the output of everything.
ifndef SIDE_BY_SIDE
.NOTPARALLEL:
endif
.PHONY: help demo docs test check bench compare fuzz lint format build version release lock audit clean page check-web check-units check-python client-libraries programs

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 10
	@echo
	@echo 'Variables: PYTHON=python3.11 (interpreter), BROWSER=0 (test without Chromium), CLIENTS=0 (without client libraries), PROXIES=0 (without nginx and the like), CHROMIUM=/path, ARGS="..." (for demo, bench and pytest)'

# What has built the documentation once keeps it new; a first demo does not wait for it.
demo: $(VENV)/demo.stamp page $(if $(wildcard $(VENV)/docs.stamp),$(DOCS)) ## the gateway with a simulated market on http://127.0.0.1:8000; Ctrl-C ends it
	@$(BIN)/python scripts/foreground.py $(BIN)/gateway demo $(ARGS)

test: ## lint, types, and the tests; LONG=1 adds those that repeat a fault in all its forms, and coverage
	$(MAKE) SIDE_BY_SIDE=1 --jobs=3 --output-sync=target lint $(if $(ARGS),,check-units) check-web client-libraries programs
	$(MAKE) check-python

check: lint ## style, types, unit and property tests of Python: the quick part of `make test`
	$(BIN)/pytest -q -n $(JOBS) $(SLOW:%=--ignore=%)

docs: $(DOCS) ## the documentation as a site, in gateway/site; the demo serves it at /docs/

bench: $(VENV)/dev.stamp ## load test: what this machine serves, and how fast
	$(BIN)/python -m loadtest run $(or $(ARGS),mission)

compare: $(VENV)/dev.stamp $(VENV)/compare.stamp ## the gateway beside other servers, under the same load: ARGS="few_clients --runs 1"
	$(BIN)/python -m loadtest compare $(ARGS)

# `tests.fuzz run` alone needs no more than the tests do.
FUZZ_S ?= 20
fuzz: $(VENV)/dev.stamp $(VENV)/fuzz.stamp ## a million hostile inputs, and fuzzers that follow the code and the API's description
	$(BIN)/python -m tests.fuzz run
	for target in native_commands binance_commands feed_tickers feed_klines frames offers; do \
		$(VENV)/fuzz/bin/python -m tests.fuzz guided $$target --seconds $(FUZZ_S) || exit 1; done
	$(VENV)/fuzz/bin/python -m tests.fuzz api

lint: $(VENV)/dev.stamp ## style and types
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

format: $(VENV)/dev.stamp ## rewrite the Python sources in the project's style
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

build: $(VENV)/demo.stamp page $(if $(NODE_FOUND),$(REACT_BUILT)) ## the page, a wheel with it, and the client libraries' packages, in dist/
	$(BIN)/python -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir dist . ./clients/python
ifneq ($(NODE_FOUND),)
	for folder in $(CLIENT) $(REACT); do \
		(cd $$folder && npm pack --silent --ignore-scripts --pack-destination $(abspath dist)) || exit 1; done
endif
	@ls dist/*.whl $(if $(NODE_FOUND),dist/*.tgz)

version: $(VENV)/demo.stamp ## write VERSION=0.x.y wherever the version stands, and open its section in the changelog
	@$(BIN)/python -m scripts.release.version $(VERSION)

release: $(VENV)/dev.stamp ## all that release VERSION=0.x.y consists of, in dist/, built twice: see CONTRIBUTING.md; IMAGE=0 leaves out the image
	@$(BIN)/python -m scripts.release $(VERSION) $(if $(REPOSITORY),--repository $(REPOSITORY)) $(if $(filter 0,$(IMAGE)),--no-image)

# The order matters: the others may only use versions that dev.txt has, but for what runs in an environment of its own.
COMPILE = UV_CUSTOM_COMPILE_COMMAND="make lock" $(VENV)/lock/bin/uv pip compile --quiet pyproject.toml \
	--universal --python-version 3.11 --generate-hashes --no-annotate $(if $(UPGRADE),--upgrade)
lock: $(BIN)/python ## write the lock files anew after a change in pyproject.toml or package.json (UPGRADE=1: newest versions for Python)
	@test -x $(VENV)/lock/bin/uv || { $(BIN)/python -m venv $(VENV)/lock && $(VENV)/lock/bin/pip install --quiet uv; }
	$(COMPILE) --group dev --group build --extra demo -o requirements/dev.txt
	$(COMPILE) --group build --extra demo -c requirements/dev.txt -o requirements/demo.txt
	$(COMPILE) -c requirements/dev.txt -o requirements/serve.txt
	$(COMPILE) --extra archive -c requirements/dev.txt -o requirements/archive.txt
	$(subst pyproject.toml,--group build,$(COMPILE)) -c requirements/dev.txt -o requirements/build.txt
	$(COMPILE) --extra collect -o requirements/collect.txt
	$(subst pyproject.toml,--group docs,$(COMPILE)) -o requirements/docs.txt
	$(COMPILE) --group fuzz --extra demo -c requirements/dev.txt -o requirements/fuzz.txt
	$(subst pyproject.toml,--group compare,$(COMPILE)) -c requirements/dev.txt -o requirements/compare.txt
	for name in clients clients-connector clients-cryptofeed audit; do \
		$(subst pyproject.toml,requirements/$$name.in,$(COMPILE)) -o requirements/$$name.txt || exit 1; done
	for folder in $(NPM_FOLDERS); do (cd $$folder && npm install --package-lock-only --ignore-scripts) || exit 1; done

audit: $(VENV)/audit.stamp ## known holes in what is locked; asks osv.dev and the npm registry, and fails where they cannot be reached
	for name in serve archive demo dev collect; do $(VENV)/audit/bin/pip-audit --strict --progress-spinner off --vulnerability-service osv \
		--disable-pip --require-hashes -r requirements/$$name.txt || exit 1; done
	for folder in $(NPM_FOLDERS); do npm --prefix $$folder audit --no-fund --no-update-notifier || exit 1; done

clean: ## remove everything that the other targets made
	rm -rf $(VENV) $(foreach folder,$(NPM_FOLDERS),$(folder)/node_modules $(folder)/dist) gateway/site gateway/static build dist reports .coverage* .hypothesis
	rm -rf tests/clients/node/node_modules test-results .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Parts of the targets above

check-web: page $(VENV)/dev.stamp $(if $(NODE_FOUND),$(REACT_BUILT) $(REACT_18)/node_modules/.package-lock.json)
ifneq ($(NODE_FOUND),)
	for folder in $(CLIENT) $(REACT) web; do \
		$(NPM) $$folder run typecheck && $(NPM) $$folder run lint && $(NPM) $$folder test || exit 1; done
endif

# Client libraries live in environments of their own: their pins would fight with ours.
CC_FOUND := $(shell command -v cc 2>/dev/null)
GO_FOUND := $(shell go version 2>/dev/null | sed -nE 's/.*go1\.([0-9]+).*/\1/p' | awk '$$1 >= 23')
GO_CLIENT := $(VENV)/clients-go/client
# Helm, for the tests of its chart: of the Go module, where none is installed. It takes minutes, so with LONG=1 only.
HELM_FOUND := $(shell command -v helm 2>/dev/null)
HELM := $(if $(or $(HELM_FOUND),$(if $(LONG),,1)),,$(shell go version 2>/dev/null | sed -nE 's/.*go1\.([0-9]+).*/\1/p' | awk '$$1 >= 26 {print "$(VENV)/helm/helm"}'))
RUST_FOUND := $(shell cargo --version 2>/dev/null | sed -nE 's/^cargo 1\.([0-9]+).*/\1/p' | awk '$$1 >= 89')
OPENSSL_FOUND := $(shell pkg-config --modversion openssl 2>/dev/null)
# Building it takes a minute of two cores: LONG=1.
RUST_CLIENT := $(and $(LONG),$(CC_FOUND),$(OPENSSL_FOUND),$(RUST_FOUND:%=$(VENV)/clients-rust/debug/client))
JAVA_FOUND := $(shell javac -version 2>&1 | sed -nE 's/^javac ([0-9]+).*/\1/p' | awk '$$1 >= 17')
MAVEN_FOUND := $(shell command -v mvn 2>/dev/null)
JAVA_CLIENT := $(if $(MAVEN_FOUND),$(JAVA_FOUND:%=$(VENV)/clients-java/Client.class))
MAVEN_DEPENDENCIES := org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies
COMPILED := tests/clients/test_compiled_clients.py
CRYPTOFEED := tests/clients/test_python_clients.py::test_cryptofeed_reads_candles_behind_tls
ifneq ($(CLIENTS),0)
ifneq ($(NODE_FOUND),)
CLIENT_STAMPS := $(VENV)/clients.stamp $(VENV)/clients-connector.stamp \
	$(if $(CC_FOUND),$(VENV)/clients-cryptofeed.stamp) $(if $(GO_FOUND),$(GO_CLIENT)) $(RUST_CLIENT) $(JAVA_CLIENT) \
	tests/clients/node/node_modules/.package-lock.json
endif
endif

client-libraries: $(CLIENT_STAMPS) $(VENV)/collect.stamp $(VENV)/docs.stamp $(HELM)

# What tests need of other programs. Installing takes little of a processor, so it goes on beside the rest.
programs:
	@$(if $(filter 0,$(BROWSER))$(if $(NODE_FOUND),,0),,scripts/chromium.sh >/dev/null)
	@$(if $(filter 0,$(PROXIES)),,scripts/proxies.sh)
	@scripts/prometheus.sh && scripts/postgres.sh

# Property tests are left to the others: coverage, which is asked of unit tests alone, makes them several times as slow.
# It makes unit tests twice as slow too: LONG=1.
SLOW := tests/integration tests/clients tests/browser
check-units: $(VENV)/dev.stamp
	$(if $(LONG),$(BIN)/coverage erase)
	$(BIN)/$(if $(LONG),coverage run -m )pytest -q -n 2 --dist loadfile $(SLOW:%=--ignore=%) --ignore=tests/property
ifdef LONG
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report
	$(BIN)/python -m scripts.pure_coverage
endif

# Tests with real servers wait most of their time, and so run side by side, but for those that want the machine.
JOBS ?= 5

check-python: $(VENV)/dev.stamp $(VENV)/collect.stamp page $(DOCS) $(if $(NODE_FOUND),$(REACT_BUILT)) $(CLIENT_STAMPS) $(HELM)
	@set -eu; without=; set --; \
	if [ "$(BROWSER)" = 0 ]; then echo 'Without the browser tests, as asked.'; without='not browser'; \
	elif [ -z "$(NODE_FOUND)" ]; then echo 'Without the browser tests: there is no page to test.'; without='not browser'; \
	else CHROMIUM=$$(scripts/chromium.sh); export CHROMIUM; fi; \
	if [ "$(PROXIES)" = 0 ]; then echo 'Without the proxies, as asked.'; without="$${without:+$$without and }not proxies"; \
	else scripts/proxies.sh; fi; \
	if [ -z "$(CLIENT_STAMPS)" ]; then echo 'Without the client libraries.'; without="$${without:+$$without and }not clients"; \
	elif [ -z "$(CC_FOUND)" ]; then echo 'Without cryptofeed, which needs a C compiler.'; \
		test -z "$(CI)" || exit 1; set -- --deselect=$(CRYPTOFEED); fi; \
	if [ -n "$(CLIENT_STAMPS)" ] && [ -z "$(GO_FOUND)" ]; then echo 'Without go-binance, which needs Go 1.23.'; \
		test -z "$(CI)" || exit 1; set -- "$$@" --deselect=$(COMPILED)::test_go_library_asks_and_streams; fi; \
	if [ -n "$(CLIENT_STAMPS)" ] && [ -z "$(RUST_CLIENT)" ]; then echo 'Without the crate binance, which needs LONG=1, Rust 1.89, a C compiler, pkg-config, OpenSSL.'; \
		test -z "$(CI)" || test -z "$(LONG)" || exit 1; set -- "$$@" --deselect=$(COMPILED)::test_rust_library_asks_and_streams; fi; \
	if [ -n "$(CLIENT_STAMPS)" ] && [ -z "$(JAVA_CLIENT)" ]; then echo 'Without binance-connector-java, which needs JDK 17 and Maven.'; \
		test -z "$(CI)" || exit 1; set -- "$$@" --deselect=$(COMPILED)::test_java_library_asks_and_streams; fi; \
	scripts/prometheus.sh; scripts/postgres.sh; \
	if [ -n "$(ARGS)" ]; then $(BIN)/pytest "$$@" $${without:+-m "$$without"} $(ARGS); exit; fi; \
	without="$${without:+ and $$without}$(if $(LONG),, and not long)"; \
	$(BIN)/pytest -q -n $(JOBS) --dist loadscope --no-loadscope-reorder --durations=20 "$$@" -m "not alone$$without" tests/property $(SLOW) || \
	{ test $$? = 1; echo 'What has failed beside others is run once more by itself, and must pass.'; \
		$(BIN)/pytest -q --last-failed --last-failed-no-failures none "$$@" -m "not alone$$without" tests/property $(SLOW); }; \
	$(BIN)/pytest -q -n 2 --dist loadscope --durations=8 "$$@" -m "alone and not browser$$without" tests/integration; \
	case "$$without" in *'not browser'*) ;; *) $(BIN)/pytest -q --durations=5 "$$@" -m "alone and browser$$without" tests/browser;; esac

$(VENV)/%.stamp: requirements/%.txt | $(BIN)/python
	$(BIN)/python -m venv $(VENV)/$*
	$(VENV)/$*/bin/pip --disable-pip-version-check --quiet install --no-compile --require-hashes -r $<
	@touch $@

tests/clients/node/node_modules/.package-lock.json: tests/clients/node/package.json tests/clients/node/package-lock.json
	$(NPM) tests/clients/node ci --ignore-scripts
	@touch $@

# The modules are held by the hashes in go.sum.
$(GO_CLIENT): tests/clients/go/go.mod tests/clients/go/go.sum tests/clients/go/main.go
	mkdir -p $(@D)
	cd tests/clients/go && GOFLAGS='-mod=readonly -trimpath -buildvcs=false' GOTOOLCHAIN=local go build -o $(abspath $@) .

# The modules are held by the hashes in go.sum.
$(VENV)/helm/helm: tests/helm/go.mod tests/helm/go.sum
	mkdir -p $(@D)
	cd tests/helm && GOFLAGS='-mod=readonly -trimpath -buildvcs=false' GOTOOLCHAIN=local \
		go build -ldflags='-s -w' -o $(abspath $@) helm.sh/helm/v3/cmd/helm

# The crates are held by the hashes in Cargo.lock.
$(VENV)/clients-rust/debug/client: tests/clients/rust/Cargo.toml tests/clients/rust/Cargo.lock tests/clients/rust/main.rs
	CARGO_TARGET_DIR=$(VENV)/clients-rust cargo build --quiet --locked --manifest-path $<
	@touch $@

# Maven has no lock file: what it brings must be exactly the files that are listed, with their hashes.
$(VENV)/clients-java/Client.class: tests/clients/java/pom.xml tests/clients/java/libraries.sha256 tests/clients/java/Client.java
	rm -rf $(@D)
	mvn --batch-mode -Dstyle.color=never --quiet --strict-checksums --file $< $(MAVEN_DEPENDENCIES) \
		-DincludeScope=runtime -DoutputDirectory=$(abspath $(@D))/lib
	cd $(@D)/lib && LC_ALL=C sha256sum *.jar | diff $(abspath tests/clients/java/libraries.sha256) -
	javac --release 17 -Xlint:all -Werror -classpath '$(@D)/lib/*' -d $(@D) tests/clients/java/Client.java

ifneq ($(NODE_FOUND),)
page: $(PAGE) $(CLIENT_BUILT)
else
page:
	@echo '$(NO_NODE): the page is left out, everything else works.'
	@test -z "$(CI)" || { echo 'In CI nothing may be left out.'; exit 1; }
endif

$(PAGE): web/node_modules/.package-lock.json $(WEB_SOURCES)
	$(NPM) web run build
	@touch $@

$(CLIENT_BUILT): $(CLIENT)/node_modules/.package-lock.json $(WEB_SOURCES)
	$(NPM) $(CLIENT) run build
	$(NPM) $(CLIENT) run build:examples
	@touch $@

# Its examples are put beside those of the client library.
$(REACT_BUILT): $(REACT)/node_modules/.package-lock.json $(CLIENT_BUILT) $(REACT_SOURCES)
	$(NPM) $(REACT) run build
	$(NPM) $(REACT) run build:examples
	@touch $@

# Its pages are the repository's documents, and what is generated out of these sources.
DOCS_SOURCES := $(shell git ls-files '*.md' 2>/dev/null) $(call SOURCES_OF,docs) \
	$(wildcard scripts/docs/*.py clients/python/kline_gateway_client/*.py) config.toml gateway/cli.py gateway/http/openapi.json gateway/http/asyncapi.json gateway/ops/metrics.py
$(DOCS): $(VENV)/demo.stamp $(VENV)/docs.stamp $(DOCS_SOURCES) $(if $(NODE_FOUND),$(CLIENT_BUILT))
	PYTHONPATH=clients/python $(BIN)/python -m scripts.docs
	@touch $@

%/node_modules/.package-lock.json: %/package.json %/package-lock.json
	$(NPM) $* ci
	@touch $@

$(BIN)/python:
	@scripts/venv.sh $(VENV) $(PYTHON)

$(VENV)/dev.stamp: requirements/dev.txt pyproject.toml | $(BIN)/python
	$(PIP) install $(if $(CI),--no-compile) --require-hashes -r requirements/dev.txt
	$(PIP) install --no-build-isolation --no-deps --editable . --editable ./clients/python
	@touch $(VENV)/demo.stamp $@

$(VENV)/demo.stamp: requirements/demo.txt pyproject.toml | $(BIN)/python
	$(PIP) install $(if $(CI),--no-compile) --require-hashes -r requirements/demo.txt
	$(PIP) install --no-build-isolation --no-deps --editable .
	@touch $@
