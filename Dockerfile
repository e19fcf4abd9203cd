# chaosbot as an image: small, without root, on a read-only file system (mount a volume at /runs for the results).
#
#   docker build -t chaosbot .
#   docker run --rm --network host --read-only --tmpfs /tmp -v "$PWD/runs:/runs" -e TELEGRAM_SECRET_TOKEN \
#     chaosbot fuzz http://127.0.0.1:8000/webhook/telegram --out /runs/fuzz
FROM python:3.13-slim AS build
WORKDIR /src
# Optional parts: --build-arg EXTRAS=demo,cluster
ARG EXTRAS=demo
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY chaosbot ./chaosbot
RUN python -m venv /opt/chaosbot \
    && /opt/chaosbot/bin/pip install --no-cache-dir -c constraints.txt ".[$EXTRAS]" \
    && /opt/chaosbot/bin/pip uninstall -y pip

FROM python:3.13-slim
COPY --from=build /opt/chaosbot /opt/chaosbot
RUN useradd --create-home --uid 10001 chaosbot && mkdir /runs && chown chaosbot /runs
ENV PATH=/opt/chaosbot/bin:$PATH PYTHONDONTWRITEBYTECODE=1 XDG_CONFIG_HOME=/tmp XDG_DATA_HOME=/tmp
USER 10001
WORKDIR /runs
ENTRYPOINT ["chaosbot"]
CMD ["--help"]
