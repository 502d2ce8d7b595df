# `make help` lists the targets. Everything that is built or downloaded is kept in $(CACHE), outside of the checkout.
SHELL := /bin/bash
.DEFAULT_GOAL := help

CACHE := $(or $(MODELWARD_CACHE),$(or $(XDG_CACHE_HOME),$(HOME)/.cache)/modelward)
LOCK := tests/requirements.lock
VENV := $(CACHE)/venv-$(shell sha256sum $(LOCK) | cut -c1-12)
READY := $(VENV)/.complete
BIN := $(VENV)/bin
export PYTHONPATH := operator:inference_image:integrations/cli:tests:.
export MYPYPATH := $(PYTHONPATH)
LOCALCLUSTER := python3 -m localcluster
# Our own distributions are sources here, never packages of a registry.
COMPILE = $(BIN)/uv pip compile -q --upgrade --universal --python-version 3.11 --generate-hashes --no-header \
	--no-emit-package modelward --no-emit-package modelward-inference

.PHONY: help demo demo-down observe observe-down check-observe test-integrations check-integrations check-airflow check-flux check-jenkins test-spark check-pipelines test check lint format types unit property api integration e2e gateway chaos scale fuzz parity attack setup \
	cluster-up cluster-down cluster-status gateway-up gateway-down policies-up policies-down kubeconfig images install grpc-types docs alerts runbooks argocd chart dashboards \
	plugin sbom pinned release lock lock-peers \
	bench-serving bench-rollout bench-drift bench-quality bench-batch

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  %-16s %s\n", $$1, $$2}'

demo: $(READY) ## a cluster, the operator, a trained model, and predictions through the router
	@$(BIN)/python -m examples.demo up

demo-down: $(READY) ## take the demo away, and the cluster with it
	@$(BIN)/python -m examples.demo down
	@$(LOCALCLUSTER) down

observe: $(READY) ## Prometheus and Alertmanager for the demo's cluster
	@$(BIN)/python -m examples.observe up

observe-down: $(READY) ## take them away
	@$(BIN)/python -m examples.observe down

check-observe: $(READY) ## six faults on the cluster, and whether the right alert tells of each: half an hour; a table, and one line of JSON
	@$(BIN)/python -m faults

test: $(READY) check ## set everything up and run every test
	@$(BIN)/python -m tiers

check: lint types ## what needs no running

lint: $(READY) ## style and layers
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/lint-imports --no-logo

types: $(READY) ## mypy, strict
	@$(BIN)/mypy

format: $(READY) ## put the code into the project's form
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

unit property: $(READY) ## one tier of the tests
	@$(BIN)/python -m pytest -n auto --dist=loadfile tests/$@

api integration e2e gateway scale: $(READY)
	@$(BIN)/python -m pytest tests/$@

chaos: $(READY) ## break things: an operator and its API server, then 10,000 random steps with foreign hands, minutes (CHAOS="50000 1": steps, seed)
	@failed=0; $(BIN)/python -m pytest tests/chaos || failed=1; \
		$(BIN)/python -W ignore -m property.longrun $(CHAOS) || failed=1; exit $$failed

fuzz: $(READY) ## change requests, files and native libraries' files at random, a minute each, and watch what reads them (FUZZ=-max_total_time=600: ten)
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes --no-deps --upgrade --target $(CACHE)/atheris \
		-r tests/fuzz/requirements.lock
	@PYTHONPATH=$(PYTHONPATH):$(CACHE)/atheris $(BIN)/python tests/fuzz/parsers.py $(or $(FUZZ),-max_total_time=60)
	@PYTHONPATH=$(PYTHONPATH):$(CACHE)/atheris $(BIN)/python tests/fuzz/files.py $(or $(FUZZ),-max_total_time=60)
	@$(BIN)/python -W ignore -m fuzz.contained $(or $(FUZZ),-max_total_time=60)

parity: $(READY) ## draw models of every kind and compare what is served with the library's own answers (PARITY="500 1": how many, seed)
	@$(BIN)/python -W ignore -m parity $(PARITY)

test-integrations: $(READY) ## the packages for Airflow and Prefect in these, the action and workflows by act, each in an environment of its own: minutes once
	@$(BIN)/python -m integrationscheck --short

check-integrations: $(READY) ## everything that goes into a pipeline of others, end to end; a table, and one line of JSON
	@$(BIN)/python -m integrationscheck

check-airflow: $(READY) ## drift starts a DAG of a real Airflow 3 (1.6 GB, ten minutes), whose answers are kept for the tests
	@$(BIN)/python -m airflowserver

check-flux: $(READY) ## Flux's own kustomize-controller and the operator: canary, revert, prune, retrained (built once, up to an hour)
	@$(BIN)/python -m pytest tests/flux

check-jenkins: $(READY) ## the Jenkinsfiles are Groovy, by npm-groovy-lint (Node 20 and Java), two minutes
	@$(BIN)/python -m jenkinslint

check-pipelines: $(READY) ## the GitHub action and the workflows of docs and examples by act, without Docker, and by actionlint, seconds
	@act=$$($(BIN)/python -m foreign act integrations/github-action/requirements.lock) && \
	ACT=$$act/act $(BIN)/python -m pytest -c /dev/null -o asyncio_default_fixture_loop_scope=function -p no:cacheprovider -q \
		--rootdir integrations/github-action integrations/github-action/tests

test-spark: $(READY) ## batches as a function of Spark, and evaluations by it, by real Spark (500 MB once, and a Java), minutes
	@home=$(CACHE)/spark-$$(sha256sum integrations/spark/requirements.lock | cut -c1-12); \
	if [ ! -e $$home/.complete ]; then \
		rm -rf $$home && $(BIN)/uv pip install -q --python $(BIN)/python --target $$home --require-hashes \
			-r integrations/spark/requirements.lock && touch $$home/.complete || exit 1; \
	fi; \
	PYTHONPATH=$(PYTHONPATH):$$home $(BIN)/python -m pytest -c /dev/null -o asyncio_default_fixture_loop_scope=function -p no:cacheprovider -q \
		--rootdir integrations/spark integrations/spark/tests

attack: $(READY) ## attack the product's own processes in every spelling; a table, and one line of JSON (ATTACK="pickle": a part)
	@$(BIN)/python -W ignore -m attack $(ATTACK)

setup: $(READY) ## the Python environment of the tests and the demo

# No prerequisite: the folder is named by the lock's content, and a fresh clone's lock is always newer than the marker.
$(READY):
	@echo "setting up the Python environment (a minute, once) …"
	@rm -rf $(VENV) && mkdir -p $(CACHE)
	@python3 -m venv $(VENV) || { echo "python3 -m venv failed; install python3-venv (Python 3.11 or newer)"; exit 1; }
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r $(LOCK)
	@touch $(READY)

cluster-up: ## a Kubernetes cluster: kind where Docker answers, else one node without Docker
	@$(LOCALCLUSTER) up

cluster-status: ## what of the cluster runs
	@$(LOCALCLUSTER) status

cluster-down: ## take the cluster away; what was built stays in the cache
	@$(LOCALCLUSTER) down

kubeconfig: ## print the path of the cluster's kubeconfig
	@$(LOCALCLUSTER) kubeconfig

install: cluster-up ## install the operator of this checkout into the cluster
	@$(LOCALCLUSTER) install

gateway-up: cluster-up ## install a Gateway API implementation into the cluster; ten minutes once
	@$(LOCALCLUSTER) gateway-up

gateway-down: ## take it away
	@$(LOCALCLUSTER) gateway-down

policies-up: cluster-up ## enforce NetworkPolicies in the cluster; a minute once
	@$(LOCALCLUSTER) policies-up

policies-down: ## let everything through again
	@$(LOCALCLUSTER) policies-down

images: ## build the images and load them into the cluster
	@$(LOCALCLUSTER) images

grpc-types: $(READY) ## generate the Python types of the gRPC adapter
	@$(BIN)/python inference_image/generate_grpc.py

bench-serving: $(READY) ## our server and its peers side by side, ten minutes (BENCH=--short: two)
	@$(BIN)/python -m benchmarks.serving $(BENCH)

bench-rollout: $(READY) ## rollouts by simulation, and twenty under load on the cluster (BENCH=--short: quicker)
	@$(BIN)/python -m benchmarks.rollout $(BENCH)

bench-drift: $(READY) ## what drift costs, ours and other tools, and false alarms by simulation, an hour (BENCH=--short: minutes)
	@$(BIN)/python -m benchmarks.drift $(BENCH)

bench-quality: $(READY) ## what the evaluation of outcomes costs beside pandas and scikit-learn (BENCH="--rows 10000000": long)
	@$(BIN)/python -m benchmarks.quality $(BENCH)

bench-batch: $(READY) ## batches beside scikit-learn's own predict, their memory, and twenty kills, five minutes
	@$(BIN)/python -m benchmarks.batch $(BENCH)

docs: $(READY) ## generate the reference of the CRD, and the page of metrics
	@$(BIN)/python docs/generate_reference.py
	@$(BIN)/python -m docs.generate_metrics

dashboards: $(READY) ## generate the Grafana dashboards in manifests/dashboards
	@$(BIN)/python -m manifests.dashboards.generate

plugin: $(READY) ## make the kubectl plugin and krew's manifest, in dist/plugin (URL=https://…: where the .tar.gz will be)
	@$(BIN)/python integrations/cli/package.py dist/plugin --url '$(URL)'

sbom: $(READY) ## what is in the images, as CycloneDX, and its licences, in dist/
	@$(BIN)/python manifests/sbom.py dist

pinned: $(READY) ## a kustomization with images by digest, in dist/pinned (OPERATOR=…@sha256:… INFERENCE=… EVALUATE=… ROUTER=…)
	@$(BIN)/python manifests/pin.py dist/pinned --operator '$(OPERATOR)' --inference '$(INFERENCE)' --evaluate '$(EVALUATE)' --router '$(ROUTER)'

release: $(READY) ## one file that installs all of it, images by digest, dist/modelward.yaml (OPERATOR=…@sha256:… INFERENCE=… EVALUATE=… ROUTER=…)
	@$(BIN)/python -m manifests.release dist --kubectl "$$(command -v kubectl || $(LOCALCLUSTER) kubectl)" \
		--operator '$(OPERATOR)' --inference '$(INFERENCE)' --evaluate '$(EVALUATE)' --router '$(ROUTER)'

alerts: $(READY) ## generate the rules of Prometheus (RUNBOOKS=https://…: where docs/runbooks can be read, for their links)
	@$(BIN)/python -m manifests.alerts.generate $(if $(RUNBOOKS),'--runbooks=$(RUNBOOKS)')

runbooks: $(READY) ## where docs/runbooks of this clone can be read in a browser, by the address of its remote
	@$(BIN)/python -m manifests.alerts.published

chart: $(READY) ## generate what charts/modelward has of crds and manifests
	@$(BIN)/python -m manifests.chart

argocd: $(READY) ## generate the patch that shows Argo CD what a ModelDeployment is
	@$(BIN)/python manifests/argocd/generate.py

lock: $(READY) ## pin the newest versions that pyproject.toml allows
	@$(COMPILE) operator/pyproject.toml -o operator/requirements.lock
	@$(COMPILE) --extra image inference_image/pyproject.toml -o inference_image/requirements.lock
	@$(COMPILE) --extra evaluate --extra log inference_image/pyproject.toml -o inference_image/evaluate.lock
	@$(COMPILE) --extra image --extra evaluate --group dev pyproject.toml operator/pyproject.toml inference_image/pyproject.toml -o $(LOCK)

lock-peers: $(READY) ## pin what the peers of the benchmarks need, and the servers of others that tests ask
	@for peer in benchmarks/*/peers/*.in; do \
		$(BIN)/uv pip compile -q --upgrade --universal --python-version 3.11 --no-header --no-annotate \
			$$peer -o $${peer%.in}.txt || exit 1; done
	@for server in tests/*server/requirements.in integrations/*/requirements.in tests/browser/requirements.in tests/panderaschema/requirements.in; do \
		$(BIN)/uv pip compile -q --upgrade --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
			$$server -o $${server%.in}.lock || exit 1; done
