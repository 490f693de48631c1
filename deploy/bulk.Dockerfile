# plackett bulk on the nodes of a Ray cluster. Build from the root of the repository:
#   docker build -f deploy/bulk.Dockerfile -t plackett-bulk:0.1.0 .
FROM python:3.13-slim AS build
COPY . /source
RUN python -m venv /opt/plackett \
    && /opt/plackett/bin/pip install --no-cache-dir --constraint /source/constraints.txt "/source[bulk]" "ray[default]==2.60.0"

# KubeRay submits jobs through the dashboard, which is ray[default], and its probes call wget.
FROM python:3.13-slim
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends wget \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --create-home plackett
COPY --from=build /opt/plackett /opt/plackett
ENV PATH=/opt/plackett/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    HF_HUB_OFFLINE=1 \
    RAY_USAGE_STATS_ENABLED=0
USER 10001
