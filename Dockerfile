# The bot without anything it was built with. `docker compose up --build` runs it with a PostgreSQL of its own;
# alone it brings its own server, in the volume /data.
#
# BASE must be a Debian-like Python 3.12: change it where images come from a mirror.
ARG BASE=python:3.12-slim

FROM ${BASE} AS build
ENV UV_PROJECT_ENVIRONMENT=/opt/arbitrade \
    UV_COMPILE_BYTECODE=1 \
    UV_LINK_MODE=copy \
    UV_PYTHON_DOWNLOADS=never
RUN python -m pip install --no-cache-dir uv==0.13.9
WORKDIR /build
# Dependencies first: they change less often than the code.
COPY pyproject.toml ./
RUN uv sync --no-dev --extra fast --extra statarb --no-install-project --no-cache
COPY README.md LICENSE ./
COPY migrations/ migrations/
COPY plugins/ plugins/
COPY arbitrade_core/ arbitrade_core/
RUN uv sync --no-dev --extra fast --extra statarb --no-editable --no-cache

FROM ${BASE}
LABEL org.opencontainers.image.title="arbitrade" \
      org.opencontainers.image.description="A triangular-arbitrage bot for Kraken: measures, explains and, on paper, trades" \
      org.opencontainers.image.licenses="MIT"
RUN groupadd --gid 10001 arbitrade \
    && useradd --uid 10001 --gid arbitrade --home-dir /data --no-create-home --shell /usr/sbin/nologin arbitrade \
    && install --directory --owner=arbitrade --group=arbitrade --mode=0700 /data
COPY --from=build /opt/arbitrade /opt/arbitrade
ENV PATH=/opt/arbitrade/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    ARBITRADE_DATA_DIR=/data
USER 10001:10001
WORKDIR /data
VOLUME /data
# No HEALTHCHECK: Docker restarts nothing that is merely unhealthy, and asking costs a Python process each time. A bot
# that hangs ends by itself with exit code 70; `arbitrade status` asks it how it is.
ENTRYPOINT ["arbitrade"]
CMD ["run"]
