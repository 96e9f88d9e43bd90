# Compiles for ARM boards and runs what it compiled: cross compilers and C libraries for AArch64 and ARMv7, and QEMU.
#
# Build, from the root of the repository, on an x86-64 machine:
#   docker build -f docker/aarch64.Dockerfile -t edgecompile-aarch64 .
#
# Use, with the models in the current folder:
#   docker run --rm --user "$(id -u):$(id -g)" -v "$PWD:/work" edgecompile-aarch64 \
#     compile model.onnx --target rpi4 -o build/net
#   docker run --rm --user "$(id -u):$(id -g)" -v "$PWD:/work" edgecompile-aarch64 verify build/net --emulate
FROM debian:12-slim

RUN apt-get update \
 && apt-get install -y --no-install-recommends \
      ca-certificates g++ gcc libc6-dev python3 python3-venv \
      g++-aarch64-linux-gnu libc6-dev-arm64-cross \
      g++-arm-linux-gnueabihf libc6-dev-armhf-cross \
      qemu-user \
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
