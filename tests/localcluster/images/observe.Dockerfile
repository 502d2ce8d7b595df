# Debian's Prometheus and Alertmanager, for clusters that can't pull the official images.
ARG BASE_IMAGE=python:3.12-slim
FROM ${BASE_IMAGE}
RUN apt-get update \
    && apt-get install --yes --no-install-recommends prometheus prometheus-alertmanager \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/archives/*.deb
USER 65532:65532
