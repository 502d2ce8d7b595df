# The evaluator's image: predictions joined with outcomes (docs/quality.md). No model's pod has it. Build context: the
# repository's root.
ARG BASE_IMAGE=python:3.12-slim
FROM ${BASE_IMAGE} AS dependencies
COPY inference_image/evaluate.lock /
RUN python3 -m venv --copies /opt/venv \
    && /opt/venv/bin/pip install --no-compile --require-hashes -r /evaluate.lock \
    && /opt/venv/bin/pip uninstall --yes pip setuptools \
    && find /opt/venv -depth -type d -name tests -exec rm -r {} + \
    && python3 -m compileall -q -j 0 /opt/venv/lib

FROM ${BASE_IMAGE}
COPY --from=dependencies /opt/venv /opt/venv
COPY inference_image/modelward_evaluate /opt/modelward/modelward_evaluate
COPY inference_image/modelward_monitor /opt/modelward/modelward_monitor
COPY inference_image/modelward_quality /opt/modelward/modelward_quality
COPY inference_image/modelward_telemetry /opt/modelward/modelward_telemetry
RUN /opt/venv/bin/python3 -m compileall -q /opt/modelward
# The root file system is read-only in the cluster: what wants a home gets /tmp.
ENV PYTHONPATH=/opt/modelward PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 HOME=/tmp
USER 65532:65532
ENTRYPOINT ["/opt/venv/bin/python3", "-m", "modelward_evaluate.job"]
