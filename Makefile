# make run    train, evaluate and predict on the real MNIST, in .venv
# make test   run the tests, in .venv
# make check  lint and types
# make yaml   compile the committed pipelines again
# make pictures  make the pictures of the documents again (needs Chromium and pngquant)
# make locks  write the requirements of the images again
# make images build the images (docker or podman; REGISTRY, IMAGES, TAG, BUILD_ARGS)

PYTHON ?= $(shell for p in python3.11 python3.10 python3.9 python3; do \
	$$p -c 'import sys; sys.exit(not (3, 9) <= sys.version_info < (3, 12))' 2>/dev/null \
	&& { echo $$p; break; }; done)
BIN := .venv/bin
TRIALS := [{"activation": "relu"}, {"activation": "tanh"}, \
	{"optimizer": "adam", "learning_rate": 0.002}]
PIPELINES := train sweep batch_predict
IMAGES ?= mxnet-cpu mxnet-gpu
REGISTRY ?= kfp-mnist-mxnet
TAG ?= 0.1.0
ENGINE ?= $(shell command -v docker || command -v podman)

.PHONY: run test check yaml pictures locks images
run: .venv/ready
	$(BIN)/python pipeline.py run

test: .venv/ready
	$(BIN)/python -m pytest -n auto --dist worksteal

check: .venv/ready
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

yaml: .venv/ready
	for pipeline in $(PIPELINES); do for target in gpu cpu; do \
	$(BIN)/python pipeline.py compile --pipeline $$pipeline --target $$target || exit 1; done; done

pictures: .venv/ready
	$(BIN)/python pipeline.py run --output-dir build/pictures/train
	$(BIN)/python pipeline.py run --pipeline sweep --output-dir build/pictures/sweep -p epochs=2 \
	-p trials='$(TRIALS)'
	$(BIN)/python docs/pictures.py build/pictures/train/latest build/pictures/sweep/latest

locks: .venv/ready
	$(BIN)/python images/lock.py

images:
	@test -n "$(ENGINE)" || { echo "make images needs docker or podman"; exit 1; }
	for image in $(IMAGES); do \
	$(ENGINE) build $(BUILD_ARGS) -f images/$$image/Dockerfile -t $(REGISTRY)/$$image:$(TAG) . \
	|| exit 1; done

.venv/ready: setup.cfg components/requirements.txt
	@test -n "$(PYTHON)" || { echo "MXNet 1.9.1 needs Python 3.9, 3.10 or 3.11, and none is on the" \
	"PATH: install one (Debian: apt install python3.11-venv; else: uv python install 3.11)" \
	"and run make PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@
