# Built and run on the same base image: the virtual environment refers to its python. Pin it by digest for a build that
# can be repeated: --build-arg BASE_IMAGE=python:3.13-slim@sha256:...
ARG BASE_IMAGE=python:3.13-slim

FROM ${BASE_IMAGE} AS build
WORKDIR /src
# Two environments: what builds (pip, flit_core) stays behind in this stage.
RUN python3 -m venv /opt/build && python3 -m venv --without-pip /opt/gate

# Locked by hash, and wheels only, so that no package's code runs here. Before the source, so that editing gate keeps the layer.
COPY requirements-build.lock requirements.lock ./
RUN /opt/build/bin/python -m pip install --no-cache-dir --only-binary :all: --no-deps --require-hashes -r requirements-build.lock
RUN /opt/build/bin/python -m pip --python /opt/gate/bin/python install --no-cache-dir --no-compile --only-binary :all: \
      --no-deps --require-hashes -r requirements.lock
# The asynchronous half of the Kubernetes client is not used, and takes 68 MB with its compiled files.
RUN rm -r /opt/gate/lib/python3*/site-packages/kubernetes/aio

COPY LICENSE README.md pyproject.toml ./
COPY gate gate
RUN /opt/build/bin/python -m pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir /opt/wheels . \
 && /opt/build/bin/python -m pip --python /opt/gate/bin/python install --no-cache-dir --no-compile --no-deps --no-index \
      /opt/wheels/*.whl
# Compiled here, because nothing can be written when it runs; by hash, because copying a layer may change the times of files.
RUN /opt/gate/bin/python -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/gate/lib

FROM ${BASE_IMAGE}
LABEL org.opencontainers.image.title="config-sync-gate" org.opencontainers.image.licenses="Apache-2.0"
ENV PATH=/opt/gate/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
COPY --from=build /opt/gate /opt/gate
# By number, so that the kubelet can see that it is not root.
USER 65532:65532
EXPOSE 10250
ENTRYPOINT ["gate"]
CMD ["serve"]
