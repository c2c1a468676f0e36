# Runs what `make repro` runs. The project with its recordings is mounted, never copied into the image:
#   docker build -t attune .
#   docker run --rm --init --user "$(id -u):$(id -g)" -v "$PWD":/project attune
# docs/cluster.md says more. The digest is that of the tag's image for all processors.
FROM python:3.11.14-slim-bookworm@sha256:65a93d69fa75478d554f4ad27c85c1e69fa184956261b4301ebaf6dbb0a3543d

SHELL ["/bin/bash", "-euo", "pipefail", "-c"]
# Debian keeps no old versions to pin. A user of any number finds a home; git and DVC trust the mounted project, whoever owns it.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --no-install-recommends --yes git make \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 1000 --user-group --create-home attune \
    && chmod 1777 /home/attune \
    && git config --system --add safe.directory /project

# LOGNAME: DVC asks for a user's name, and one that `--user` names by number has none here.
ENV VIRTUAL_ENV=/opt/attune PATH=/opt/attune/bin:$PATH HOME=/home/attune LOGNAME=attune \
    PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 DVC_NO_ANALYTICS=1
WORKDIR /opt/source
# The environment is a layer of its own: it changes only with the versions. A second package index may be named in the build.
ARG PIP_EXTRA_INDEX_URL=
COPY pyproject.toml constraints.txt README.md LICENSE ./
RUN python -m venv "$VIRTUAL_ENV" \
    && mkdir -p src/attune && touch src/attune/__init__.py \
    && pip install --no-cache-dir --constraint constraints.txt ".[s3,ssh]" \
    && rm -rf build src
COPY src src
RUN pip install --no-cache-dir --no-deps . && rm -rf build

USER 1000:1000
WORKDIR /project
# The mounted project's code is what DVC takes note of, so it goes before the copy in the image.
ENV PYTHONPATH=/project/src
CMD ["sh", "-c", "dvc repro && attune where"]
