# One image for migration, API and workers; docker-compose.yml says which of them a container is.
FROM python:3.11-slim

ENV PIP_NO_CACHE_DIR=1 PYTHONUNBUFFERED=1 GRPO_HOME=/var/lib/grpo
RUN useradd --create-home --uid 10001 grpo && install -d -o grpo /var/lib/grpo
WORKDIR /app

COPY requirements.txt pyproject.toml README.md LICENSE ./
RUN sed '/^-e /d' requirements.txt > /tmp/requirements.txt \
    && pip install --extra-index-url https://download.pytorch.org/whl/cpu -r /tmp/requirements.txt

COPY grpo grpo
COPY service service
COPY workers workers
COPY migrations migrations
RUN pip install --no-deps -e .

USER grpo
EXPOSE 8000
CMD ["grpo", "--help"]
