# Runs textpipe serve on the models mounted or copied to /models:
#
#     docker build --tag textpipe .
#     docker run --rm --publish 8501:8501 --publish 8500:8500 --volume "$PWD/saved_models:/models:ro" textpipe
#
# Options follow the image name: docker run ... textpipe --processes 2 --token-file /run/secrets/tokens
FROM python:3.12-slim

WORKDIR /textpipe
COPY requirements.lock pyproject.toml README.md LICENSE ./
RUN python -m pip install --no-cache-dir --require-hashes --requirement requirements.lock
COPY textpipe textpipe
COPY pipelines pipelines
COPY data data
RUN python -m pip install --no-cache-dir --no-build-isolation --no-deps . \
    && useradd --create-home --uid 10001 textpipe

USER textpipe
WORKDIR /home/textpipe
EXPOSE 8501 8500
# Lets the server finish open requests; `docker stop --time 35` gives it enough time.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8501/readyz', timeout=4)"]
ENTRYPOINT ["textpipe", "serve", "/models", "--host", "0.0.0.0"]
