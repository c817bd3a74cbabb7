# The gateway as a small image: three stages, so that neither Node nor a compiler nor pip is in what runs.
# Every downloaded package is checked against the hashes in requirements/ and web/package-lock.json.

FROM node:22-slim AS page
WORKDIR /src/web
COPY web/package.json web/package-lock.json web/.npmrc ./
RUN npm ci --no-audit --no-fund
COPY web/ ./
# The page uses the client library as sources; its package.json says that unused parts may be left out.
COPY clients/web/package.json ../clients/web/
COPY clients/web/src/ ../clients/web/src/
# Writes ../gateway/static.
RUN npm run build

FROM python:3.11-slim AS build
WORKDIR /src
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
COPY requirements/build.txt requirements/archive.txt requirements/
RUN python -m venv /opt/build \
 && /opt/build/bin/pip install --require-hashes -r requirements/build.txt \
 && python -m venv --without-pip /opt/gateway \
 && pip --python /opt/gateway/bin/python install --require-hashes --only-binary :all: -r requirements/archive.txt
COPY pyproject.toml README.md LICENSE ./
COPY collector/ collector/
COPY gateway/ gateway/
COPY --from=page /src/gateway/static/ gateway/static/
RUN /opt/build/bin/pip wheel --no-deps --no-build-isolation --wheel-dir /tmp/wheel . \
 && pip --python /opt/gateway/bin/python install --no-deps --no-index /tmp/wheel/*.whl

FROM python:3.11-slim
LABEL org.opencontainers.image.title="kline-gateway" \
      org.opencontainers.image.description="WebSocket streaming gateway for crypto klines and tickers" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="0.1.0"
RUN python -m pip uninstall --yes --quiet --root-user-action ignore setuptools wheel pip \
 && groupadd --gid 10001 gateway \
 && useradd --uid 10001 --gid gateway --no-create-home --shell /usr/sbin/nologin gateway
COPY --from=build /opt/gateway /opt/gateway
COPY config.toml /etc/kline-gateway/config.toml
# Nothing is written at run time: the container's file system may be read-only.
ENV PATH=/opt/gateway/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
USER 10001:10001
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s \
    CMD ["python", "-c", "import urllib.request as http; http.urlopen('http://127.0.0.1:8000/healthz', timeout=2)"]
ENTRYPOINT ["gateway"]
CMD ["serve", "--config", "/etc/kline-gateway/config.toml", "--host", "0.0.0.0"]
