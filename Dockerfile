# Runs what `make repro` runs. The recordings are mounted, never copied into the image:
#   docker build -t attune .
#   docker run --rm --user "$(id -u):$(id -g)" -v "$PWD":/project attune
FROM python:3.11-slim-bookworm

RUN apt-get update \
    && apt-get install --no-install-recommends --yes git make \
    && rm -rf /var/lib/apt/lists/*

# The environment is a layer of its own: it changes only with the versions.
ENV VIRTUAL_ENV=/opt/attune PATH=/opt/attune/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
WORKDIR /opt/source
COPY pyproject.toml constraints.txt README.md LICENSE ./
RUN python -m venv "$VIRTUAL_ENV" \
    && mkdir -p src/attune && touch src/attune/__init__.py \
    && pip install --no-cache-dir --constraint constraints.txt .
COPY src src
RUN pip install --no-cache-dir --no-deps .

RUN useradd --create-home --uid 1000 attune
USER attune
ENV HOME=/home/attune
WORKDIR /project
CMD ["sh", "-c", "dvc repro && attune where"]
