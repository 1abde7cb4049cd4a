# All roles in one image: `docker build -t rideshare .`
#
# The stages stand in this order so that one that ends at `ready` needs no Rust image: a classic
# builder carries out all stages before its target.

ARG BASE_IMAGE=debian:bookworm-slim
ARG RUST_IMAGE=rust:1.95-slim-bookworm

# What every image of the program has but the program.
FROM ${BASE_IMAGE} AS runtime
RUN groupadd --gid 10001 rideshare \
    && useradd --uid 10001 --gid rideshare --home-dir /var/lib/rideshare --create-home \
        --shell /usr/sbin/nologin rideshare
# A container has an address to itself, and each role one port: the health check's.
ENV RIDESHARE_HTTP__LISTEN=0.0.0.0 \
    RIDESHARE_HTTP__PORT=8080 \
    RIDESHARE_WORKER__HTTP=true
WORKDIR /var/lib/rideshare
USER 10001:10001
EXPOSE 8080
ENTRYPOINT ["rideshare"]
CMD ["--help"]
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s --retries=3 \
    CMD ["rideshare", "healthcheck"]
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Rideshare" \
    org.opencontainers.image.description="A fault-tolerant, self-scaling document database as a service" \
    org.opencontainers.image.licenses="Apache-2.0" \
    org.opencontainers.image.version="${VERSION}" \
    org.opencontainers.image.revision="${REVISION}"

# With a binary that is there already, built on the same Debian or an older one:
# docker build --target ready --build-arg BINARY=target/release/rideshare .
FROM runtime AS ready
# Some file that is always there: a classic builder comes by here on its way to the last stage too.
ARG BINARY=Cargo.toml
COPY ${BINARY} /usr/local/bin/rideshare

FROM ${RUST_IMAGE} AS build
WORKDIR /source
# The dependencies are a layer of their own, built again only when they change. The benchmarks are
# there because the manifest names them.
COPY Cargo.toml Cargo.lock ./
COPY benches benches
RUN mkdir src \
    && echo 'fn main() {}' >src/main.rs \
    && touch src/lib.rs \
    && cargo build --release --locked \
    && rm -r src
COPY config config
COPY src src
# Newer than what was built from the empty ones, whatever their files say.
RUN touch src/main.rs src/lib.rs \
    && cargo build --release --locked

FROM runtime
COPY --from=build /source/target/release/rideshare /usr/local/bin/rideshare
