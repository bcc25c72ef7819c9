# An image of cxr-audit: no root, read-only file system, no network.
#
#   docker build -t cxr-audit .
#   docker run --rm --network none --read-only --tmpfs /tmp --user "$(id -u):$(id -g)" \
#     -v "$PWD/audit:/work" cxr-audit run /work/audit.yaml
#
# /work holds config, model and radiographs; run.output must lie in it. The build needs a network, runs do not. Every run
# writes a bill of materials of its Python packages; `syft cxr-audit` makes one of the whole image.
FROM python:3.13-slim-bookworm AS build
WORKDIR /src
COPY requirements.lock ./
RUN python -m venv /opt/cxr-audit \
    && /opt/cxr-audit/bin/pip install --no-cache-dir --require-hashes -r requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY configs configs
COPY templates templates
COPY pipeline pipeline
RUN /opt/cxr-audit/bin/pip install --no-cache-dir --no-deps --no-build-isolation --no-index . \
    && /opt/cxr-audit/bin/python -m compileall -q /opt/cxr-audit/lib

FROM python:3.13-slim-bookworm
# What WeasyPrint draws with; versions are those of the Debian release of the base image.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends \
        libpango-1.0-0 libpangoft2-1.0-0 libharfbuzz0b libharfbuzz-subset0 libfontconfig1 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin auditor
COPY --from=build /opt/cxr-audit /opt/cxr-audit
# A read-only file system: caches and temporary files go to /tmp.
ENV PATH=/opt/cxr-audit/bin:$PATH \
    HOME=/tmp \
    KERAS_HOME=/tmp/keras \
    MPLCONFIGDIR=/tmp/matplotlib \
    XDG_CACHE_HOME=/tmp/cache \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
USER auditor
WORKDIR /work
ENTRYPOINT ["cxr-audit"]
CMD ["--help"]
