# Compiles for x86-64 machines: an image with the edgecompile command and the C compiler that it calls.
#
# Build, from the root of the repository:
#   docker build -f docker/host.Dockerfile -t edgecompile .
#
# Use, with the models in the current folder:
#   docker run --rm --user "$(id -u):$(id -g)" -v "$PWD:/work" edgecompile compile model.onnx --target host -o build/net
#
# The target `host` means the machine that runs the container.
FROM debian:12-slim

RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates g++ gcc libc6-dev python3 python3-venv \
 && rm -rf /var/lib/apt/lists/*

WORKDIR /opt/edgecompile
COPY pyproject.toml README.md LICENSE ./
COPY edgecompile edgecompile
COPY schedules schedules
COPY targets targets
RUN python3 -m venv /opt/venv \
 && /opt/venv/bin/python -m pip install --no-cache-dir ".[zoo]"

# A user without a home directory may run the image: the cache has a place that anyone can write.
ENV PATH=/opt/venv/bin:$PATH \
    EDGECOMPILE_CACHE=/tmp/edgecompile
WORKDIR /work
ENTRYPOINT ["edgecompile"]
CMD ["--help"]
