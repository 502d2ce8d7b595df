# Seldon's MLServer with its runtime for scikit-learn. Build context: the repository's root.
ARG BASE_IMAGE=python:3.12-slim
FROM ${BASE_IMAGE} AS dependencies
COPY tests/seldonserver/requirements.lock /
RUN python3 -m venv --copies /opt/venv \
    && /opt/venv/bin/pip install --no-compile --require-hashes --no-deps -r /requirements.lock \
    && /opt/venv/bin/pip uninstall --yes pip setuptools \
    && find /opt/venv -depth -type d -name tests -exec rm -r {} + \
    && python3 -m compileall -q -j 0 /opt/venv/lib

FROM ${BASE_IMAGE}
COPY --from=dependencies /opt/venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
WORKDIR /opt/mlserver
USER 1000:1000
ENTRYPOINT ["/opt/venv/bin/mlserver"]
