# NVIDIA's Triton as its own image lays it out, from the wheel of PyTriton: 2.51, with the Python backend alone.
# Build context: the repository's root.
ARG BASE_IMAGE=python:3.12-slim
FROM ${BASE_IMAGE} AS wheel
COPY tests/tritonserver/requirements.lock /
RUN python3 -m venv /opt/venv \
    && /opt/venv/bin/pip install --no-compile --require-hashes --no-deps -r /requirements.lock \
    && cd /opt/venv/lib/python3*/site-packages \
    && python=$(python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])') \
    && mkdir -p /opt/tritonserver/bin /opt/tritonserver/python \
    && cp -r pytriton/tritonserver/bin pytriton/tritonserver/backends /opt/tritonserver \
    && cp pytriton/tritonserver/python_backend_stubs/$python/* /opt/tritonserver/backends/python \
    && cp -r nvidia_pytriton.libs /opt/tritonserver/lib \
    && cp -r numpy numpy.libs /opt/tritonserver/python \
    && find /opt/tritonserver -depth -type d -name tests -exec rm -r {} + \
    && python3 -m compileall -q -j 0 /opt/tritonserver

FROM ${BASE_IMAGE}
# What the Python backend starts for a model is linked with Python's library, which Debian has in a package of its own.
RUN python=$(python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])') \
    && if ! ldconfig -p | grep -q "libpython$python.so"; then \
        apt-get update && apt-get install --yes --no-install-recommends libpython$python \
        && rm -rf /var/lib/apt/lists/* /var/cache/apt/archives/*.deb; fi
# It does not heed PYTHONPATH.
RUN echo /opt/tritonserver/python > "$(python3 -c 'import site; print(site.getsitepackages()[0])')/tritonserver.pth"
COPY --from=wheel /opt/tritonserver /opt/tritonserver
ENV PATH=/opt/tritonserver/bin:$PATH LD_LIBRARY_PATH=/opt/tritonserver/lib PYTHONDONTWRITEBYTECODE=1
USER 1000:1000
ENTRYPOINT ["/opt/tritonserver/bin/tritonserver"]
