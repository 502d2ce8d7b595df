# A real MLflow server, which is also what training scripts that log to it need. Build context: the repository's root.
ARG BASE_IMAGE=python:3.12-slim
FROM ${BASE_IMAGE} AS dependencies
COPY tests/mlflowserver/requirements.lock tests/localcluster/images/mlflow.requirements /
RUN python3 -m venv --copies /opt/venv \
    && /opt/venv/bin/pip install --no-compile --require-hashes --no-deps -r /requirements.lock -r /mlflow.requirements \
    && /opt/venv/bin/pip uninstall --yes pip setuptools \
    && find /opt/venv -depth -type d -name tests -exec rm -r {} + \
    && python3 -m compileall -q -j 0 /opt/venv/lib

FROM ${BASE_IMAGE}
COPY --from=dependencies /opt/venv /opt/venv
# What `pip install modelward` brings to a training script (docs/training.md).
COPY inference_image/modelward_drift /opt/modelward/modelward_drift
COPY inference_image/modelward_inference /opt/modelward/modelward_inference
COPY inference_image/modelward_training /opt/modelward/modelward
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 HOME=/tmp PYTHONPATH=/opt/modelward GIT_PYTHON_REFRESH=quiet
USER 65532:65532
ENTRYPOINT ["/opt/venv/bin/mlflow"]
