# The appliance as a container: how to run it, docs/operate/install.md; why it is so, docs/decisions/0037-container.md.
#
#   slim      espeak-ng alone
#   default   and imported neural voices, which speak without torch
#   importer  makes such voices of Coqui's models, with torch, and ends when they are there
ARG BASE_IMAGE=debian:bookworm-slim

FROM ${BASE_IMAGE} AS base
RUN export DEBIAN_FRONTEND=noninteractive \
 && apt-get update -q && apt-get upgrade -q -y \
 && apt-get install -q -y --no-install-recommends ca-certificates python3 tini tzdata \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/cache/debconf/*-old /var/log/*.log /var/log/apt \
 && find / -xdev -perm /6000 -type f -exec chmod ug-s {} + \
 && groupadd --gid 10001 tts \
 && useradd --uid 10001 --gid tts --no-create-home --home-dir /var/lib/tts --shell /usr/sbin/nologin tts \
 && install -d -o tts -g tts -m 0700 /var/lib/tts /run/tts

FROM base AS build
RUN apt-get update -q \
 && DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends python3-venv \
 && python3 -m venv /opt/venv
COPY image/install.sh requirements/run.txt /tmp/
RUN --mount=type=secret,id=pip --mount=type=secret,id=ca sh /tmp/install.sh /tmp/run.txt

FROM build AS neural
COPY requirements/image.txt /tmp/
RUN --mount=type=secret,id=pip --mount=type=secret,id=ca sh /tmp/install.sh /tmp/image.txt

FROM neural AS coqui
RUN --mount=type=secret,id=pip --mount=type=secret,id=ca sh /tmp/install.sh torch==2.13.0+cpu
COPY requirements/importer.txt /tmp/
RUN --mount=type=secret,id=pip --mount=type=secret,id=ca sh /tmp/install.sh /tmp/importer.txt

FROM build AS made-slim
COPY . /app
RUN --mount=type=bind,from=base,source=/var/lib/dpkg,target=/mnt/dpkg cd /app && sh image/finish.sh

FROM neural AS made-default
COPY . /app
RUN --mount=type=bind,from=base,source=/var/lib/dpkg,target=/mnt/dpkg cd /app && sh image/finish.sh

FROM coqui AS made-importer
COPY . /app
RUN --mount=type=bind,from=base,source=/var/lib/dpkg,target=/mnt/dpkg cd /app && sh image/finish.sh keep-setuptools

FROM base AS runtime
ARG VERSION=0.1.0
ARG REVISION=unknown
ARG CREATED
LABEL org.opencontainers.image.title="TTS appliance" \
      org.opencontainers.image.description="A self-hosted text-to-speech appliance for a home or office LAN" \
      org.opencontainers.image.licenses="GPL-3.0-or-later" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}" \
      org.opencontainers.image.documentation="docs/operate/install.md" \
      tts-appliance.min_version="0.1.0" \
      tts-appliance.schema="6"
# The settings of a container; everything else comes from `.env`. The exporter's port is never published.
ENV PATH=/opt/venv/bin:/usr/local/bin:/usr/bin:/bin \
    HOME=/tmp \
    LANG=C.UTF-8 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    APPLIANCE_DATA_DIR=/var/lib/tts \
    APPLIANCE_RUN_DIR=/run/tts \
    APPLIANCE_EXPORTER_HOST=0.0.0.0
WORKDIR /app
VOLUME ["/var/lib/tts"]
USER 10001:10001
ENTRYPOINT ["/usr/bin/tini", "--"]

FROM runtime AS importer
COPY --from=made-importer /opt/venv /opt/venv
COPY --from=made-importer /app /app
HEALTHCHECK NONE
CMD ["tts-importer", "--appliance"]

FROM runtime AS slim
COPY --from=made-slim /opt/venv /opt/venv
COPY --from=made-slim /app /app
EXPOSE 8000 10200
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 CMD ["ttsctl", "live"]
CMD ["tts-launcher"]

# The last one is what a build makes that names none.
FROM runtime AS default
COPY --from=made-default /opt/venv /opt/venv
COPY --from=made-default /app /app
EXPOSE 8000 10200
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 CMD ["ttsctl", "live"]
CMD ["tts-launcher"]
