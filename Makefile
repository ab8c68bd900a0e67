# make run    train, evaluate and predict on the real MNIST, in .venv
# make test   run the tests, in .venv; slow ones with a few of their cases, drawn for each run
# make test-all  run the tests with all their cases
# make cuda-test run the tests of the CUDA build, without a GPU, in .venv-cuda (4 GB)
# make check  lint, types, and workflows
# make audit  look the pins of the images and the model server up among known vulnerabilities
# make fuzz   fuzz the readers, each for SECONDS
# make yaml   compile the committed pipelines and components again
# make docs   write the tables of the documents again
# make notebook  run docs/tutorial.ipynb on MNIST again
# make pictures  make the pictures of the documents again (needs Chromium and pngquant)
# make locks  write the requirements of the images again
# make newest  pin the newest versions that go together
# make licences  write the licences of the packages in the images again (4 GB for CUDA)
# make wheel  build the wheel that the images install, in dist/
# make release-dry-run  make every file of a release, twice, in dist/; and the images, if it can
# make smoke-test-wheel  install the wheel on a bare Python, in a container if it can, and use it
# make images build the images (docker or podman; REGISTRY, IMAGES, TAG, BUILD_ARGS)

BIN := .venv/bin
TRIALS := [{"activation": "relu"}, {"activation": "tanh"}, \
	{"optimizer": "adam", "learning_rate": 0.002}]
IMAGES ?= mxnet-cpu mxnet-gpu
REGISTRY ?= kfp-mnist-mxnet
VERSION := $(shell sed -n 's/^__version__ = "\(.*\)"/\1/p' kfp_mnist_mxnet/__init__.py)
TAG ?= $(VERSION)
SECONDS ?= 600
ENGINE ?= $(shell command -v docker || command -v podman)

.PHONY: run test test-all cuda-test check audit fuzz yaml docs notebook pictures locks newest licences wheel images \
	release-dry-run smoke-test-wheel
run: .venv/ready
	$(BIN)/python pipeline.py run

test: .venv/ready
	$(BIN)/python -m pytest -n auto --dist worksteal

test-all: .venv/ready
	$(BIN)/python -m pytest -n auto --dist worksteal --all-cases

cuda-test: .venv/ready .venv-cuda/ready
	CUDA_PYTHON=$(CURDIR)/.venv-cuda/bin/python $(BIN)/python -m pytest tests/test_cuda.py

check: .venv/ready
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/zizmor --quiet --offline --persona pedantic .github/workflows

audit: .venv/ready
	for pins in images/*/requirements.txt kfp_mnist_mxnet/cli/serve/model_server.txt; do \
	$(BIN)/python -m pip_audit --progress-spinner off --disable-pip --no-deps --requirement $$pins \
	$$(sed -n 's/^\([A-Z][^ ]*\) .*/--ignore-vuln \1/p' .ci/accepted-vulnerabilities) || exit 1; done

fuzz: .venv/ready
	for reader in idx artifacts; do mkdir -p build/fuzz/$$reader && \
	$(BIN)/python tests/fuzz/fuzz_$$reader.py -max_total_time=$(SECONDS) -max_len=8192 -timeout=60 \
	-dict=tests/fuzz/words.dict -artifact_prefix=build/fuzz/ -print_final_stats=1 \
	build/fuzz/$$reader tests/corpus/$$reader || exit 1; done

yaml: .venv/ready
	$(BIN)/python scripts/compile.py

docs: .venv/ready
	$(BIN)/python scripts/tables.py

notebook: .venv/ready
	$(BIN)/python scripts/notebook.py

pictures: .venv/ready
	$(BIN)/python pipeline.py run --output-dir build/pictures/train
	$(BIN)/python pipeline.py run --pipeline sweep --output-dir build/pictures/sweep -p epochs=2 \
	-p trials='$(TRIALS)'
	$(BIN)/python scripts/pictures.py build/pictures/train/latest build/pictures/sweep/latest

locks: .venv/ready
	$(BIN)/python scripts/lock.py

newest: .venv/ready
	$(BIN)/python scripts/newest.py
	$(BIN)/python scripts/lock.py --upgrade
	$(MAKE) licences yaml docs

licences: .venv/ready
	for image in mxnet-cpu mxnet-gpu; do \
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python build/licences/$$image && \
	$(BIN)/uv pip sync --quiet --require-hashes --python build/licences/$$image \
	images/$$image/requirements.txt && \
	$(BIN)/pip-licenses --python build/licences/$$image/bin/python --with-system --format markdown \
	--output-file images/$$image/licences.md || exit 1; done

wheel: .venv/ready
	rm -f dist/*.whl
	$(BIN)/python scripts/release.py wheel dist

# Without a cache: podman's does not see that a file that is mounted has changed, such as the wheel.
images: wheel
	@test -n "$(ENGINE)" || { echo "make images needs docker or podman"; exit 1; }
	for image in $(IMAGES); do \
	$(ENGINE) build --no-cache --build-arg VERSION=$(VERSION) $(BUILD_ARGS) \
	-f images/$$image/Dockerfile -t $(REGISTRY)/$$image:$(TAG) . || exit 1; done

release-dry-run: .venv/ready
	rm -rf dist build/again
	for directory in dist build/again; do \
	$(BIN)/python scripts/release.py all $$directory --registry $(REGISTRY) || exit 1; done
	diff --recursive dist build/again
	@if test -n "$(ENGINE)"; then $(MAKE) images; else echo "no docker or podman: no images"; fi

smoke-test-wheel: .venv/ready
	$(BIN)/python scripts/smoke_test_wheel.py --engine '$(ENGINE)'

.venv-cuda/ready: images/mxnet-gpu/requirements.txt
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python .venv-cuda
	$(BIN)/uv pip sync --quiet --require-hashes --python .venv-cuda $<
	@touch $@

.venv/ready: requirements.lock setup.cfg scripts/environment
	@PYTHON='$(PYTHON)' scripts/environment
